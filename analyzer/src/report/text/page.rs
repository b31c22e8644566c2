//! A page of text: indentation, wrapping, and colours if they were asked for.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};

use crate::quantity::grouped;

/// What a piece of text is, for those who see colours. Nothing is said by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Danger,
    Caution,
    Good,
    Place,
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Danger => AnsiColor::Red.on_default().bold(),
            Self::Caution => AnsiColor::Yellow.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Place => AnsiColor::Cyan.on_default(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Text with a tone.
#[derive(Clone, Debug)]
pub(crate) struct Painted {
    tone: Tone,
    text: String,
}

/// `text` in this tone.
pub(crate) fn paint(tone: Tone, text: impl fmt::Display) -> Painted {
    Painted { tone, text: text.to_string() }
}

impl Painted {
    /// Followed by spaces up to this many characters.
    pub(crate) fn padded(mut self, width: usize) -> Self {
        let len = self.text.chars().count();
        self.text.extend(std::iter::repeat_n(' ', width.saturating_sub(len)));
        self
    }
}

impl From<&str> for Painted {
    fn from(text: &str) -> Self {
        paint(Tone::Plain, text)
    }
}

impl From<String> for Painted {
    fn from(text: String) -> Self {
        Self { tone: Tone::Plain, text }
    }
}

/// The text so far.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    width: usize,
    color: bool,
    /// What paths below here need not begin with; empty if they are all to be whole.
    folder: String,
}

impl Page {
    pub(crate) fn new(width: usize, color: bool) -> Self {
        Self { text: String::new(), width: width.max(40), color, folder: String::new() }
    }

    /// The same, with paths below `folder` relative to it.
    pub(crate) fn below(mut self, folder: Option<&str>) -> Self {
        let folder = folder.unwrap_or_default().trim_end_matches('/');
        if !folder.is_empty() {
            self.folder = format!("{folder}/");
        }
        self
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// An empty line, unless there is one already.
    pub(crate) fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A line of pieces. It is never broken: places and names are to be copied whole.
    pub(crate) fn line(&mut self, indent: usize, pieces: impl IntoIterator<Item = Painted>) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        for piece in pieces {
            self.piece(&piece);
        }
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    /// A paragraph, broken at spaces to fit; every line but the first is indented by `hang` more.
    pub(crate) fn paragraph(&mut self, indent: usize, hang: usize, lead: &Painted, text: &str) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.piece(lead);
        let mut column = indent + lead.text.chars().count();
        let mut at_start = true;
        for word in self.relative(text).split(' ') {
            let len = word.chars().count();
            if !at_start && column + 1 + len > self.width {
                self.text.push('\n');
                self.text.extend(std::iter::repeat_n(' ', indent + hang));
                column = indent + hang;
            } else if !at_start {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += len;
            at_start = false;
        }
        self.text.push('\n');
    }

    fn piece(&mut self, piece: &Painted) {
        let text = clean(&self.relative(&piece.text));
        // Codes around nothing would hide the spaces before them from `line`.
        if text.is_empty() {
            return;
        }
        if self.color && piece.tone != Tone::Plain {
            let style = piece.tone.style();
            write!(self.text, "{style}{text}{style:#}").expect("a String takes all text");
        } else {
            self.text.push_str(&text);
        }
    }
}

impl Page {
    fn relative(&self, text: &str) -> String {
        if self.folder.is_empty() { text.to_owned() } else { text.replace(&self.folder, "") }
    }
}

/// Names come from the log: whatever controls a terminal is shown, not done.
fn clean(text: &str) -> String {
    let shown =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// `1 race`, `2 races`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_broken_at_spaces_and_hangs() {
        let mut page = Page::new(40, false);
        page.paragraph(2, 4, &"why ".into(), "one two three four five six seven eight nine");
        assert_eq!(page.into_text(), "  why one two three four five six seven\n      eight nine\n");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let mut page = Page::new(80, true);
        page.line(0, [paint(Tone::Plain, "evil\u{1b}[2J")]);
        assert_eq!(page.into_text(), "evil\\u{1b}[2J\n");
    }
}
