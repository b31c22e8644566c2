//! A line of text that is being typed: what prompts and the palette edit.
//!
//! # Invariant
//! The cursor is at a character's beginning or at the end, so every edit leaves whole characters.

use crate::keymap::{Chord, Key};

/// What the keys do here, for the help screen.
pub(crate) const HELP: [(&str, &str); 8] = [
    ("left right", "One character back or on."),
    ("ctrl-left ctrl-right", "One word back or on; also alt-b, alt-f."),
    ("home end", "To the beginning, to the end; also ctrl-a, ctrl-e."),
    ("backspace delete", "Takes out the character before or under the cursor."),
    ("ctrl-w", "Takes out the word before the cursor; also alt-backspace."),
    ("ctrl-u ctrl-k", "Takes out all before, or all behind the cursor."),
    ("enter", "Done."),
    ("esc", "Leaves it; also ctrl-c."),
];

/// A line with a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// In bytes.
    cursor: usize,
}

/// A text with the cursor behind it.
impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { cursor: text.len(), text }
    }
}

impl Line {
    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor, and the rest.
    pub fn at_cursor(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    /// Does what a key does in a line of text; nothing if it does nothing there.
    pub(crate) fn edit(&mut self, chord: Chord) {
        let plain = !chord.ctrl && !chord.alt;
        match chord.key {
            Key::Char(character) if plain => {
                self.text.insert(self.cursor, character);
                self.cursor += character.len_utf8();
            }
            Key::Char('a') if chord.ctrl => self.cursor = 0,
            Key::Char('e') if chord.ctrl => self.cursor = self.text.len(),
            Key::Char('b') if chord.alt => self.cursor = self.word_before(),
            Key::Char('f') if chord.alt => self.cursor = self.word_behind(),
            Key::Char('w') if chord.ctrl => self.take_out(self.word_before(), self.cursor),
            Key::Char('u') if chord.ctrl => self.take_out(0, self.cursor),
            Key::Char('k') if chord.ctrl => self.take_out(self.cursor, self.text.len()),
            Key::Named("left") if plain => self.cursor = self.before(),
            Key::Named("right") if plain => self.cursor = self.behind(),
            Key::Named("left") => self.cursor = self.word_before(),
            Key::Named("right") => self.cursor = self.word_behind(),
            Key::Named("home") => self.cursor = 0,
            Key::Named("end") => self.cursor = self.text.len(),
            Key::Named("backspace") if plain => self.take_out(self.before(), self.cursor),
            Key::Named("backspace") => self.take_out(self.word_before(), self.cursor),
            Key::Named("delete") => self.take_out(self.cursor, self.behind()),
            _ => {}
        }
    }

    fn take_out(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn before(&self) -> usize {
        let last = self.at_cursor().0.chars().next_back();
        self.cursor - last.map_or(0, char::len_utf8)
    }

    fn behind(&self) -> usize {
        let next = self.at_cursor().1.chars().next();
        self.cursor + next.map_or(0, char::len_utf8)
    }

    /// The beginning of the word before the cursor.
    fn word_before(&self) -> usize {
        let word = self.at_cursor().0.trim_end();
        let space = word.char_indices().rfind(|(_, character)| character.is_whitespace());
        space.map_or(0, |(at, character)| at + character.len_utf8())
    }

    /// The end of the word behind the cursor.
    fn word_behind(&self) -> usize {
        let rest = self.at_cursor().1;
        let word = rest.trim_start();
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        self.cursor + (rest.len() - word.len()) + end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line after these keys; a word that is no key is typed.
    fn typed(keys: &str) -> Line {
        let mut line = Line::default();
        for word in keys.split(' ') {
            let is_key = Chord::named(word).is_some() || word.contains('-');
            match word.parse() {
                Ok(chord) if is_key || word == "space" => line.edit(chord),
                _ => word.chars().for_each(|character| line.edit(Chord::from(character))),
            }
        }
        line
    }

    fn halves(keys: &str) -> (String, String) {
        let line = typed(keys);
        let (before, behind) = line.at_cursor();
        (before.to_owned(), behind.to_owned())
    }

    fn pair(before: &str, behind: &str) -> (String, String) {
        (before.to_owned(), behind.to_owned())
    }

    #[test]
    fn what_is_typed_goes_in_at_the_cursor() {
        assert_eq!(halves("main left left x"), pair("max", "in"));
        assert_eq!(halves("main home x end y"), pair("xmainy", ""));
        assert_eq!(halves("main ctrl-a right right ctrl-e right"), pair("main", ""));
    }

    #[test]
    fn words_are_what_spaces_part() {
        let line = "state:mutex space in space main.go";
        assert_eq!(halves(&format!("{line} ctrl-w")), pair("state:mutex in ", ""));
        assert_eq!(halves(&format!("{line} ctrl-w ctrl-w")), pair("state:mutex ", ""));
        assert_eq!(
            halves(&format!("{line} ctrl-left ctrl-left")),
            pair("state:mutex ", "in main.go")
        );
        assert_eq!(halves(&format!("{line} home alt-f alt-f")), pair("state:mutex in", " main.go"));
        assert_eq!(halves(&format!("{line} ctrl-left ctrl-w")), pair("state:mutex ", "main.go"));
    }

    #[test]
    fn a_part_can_be_taken_out() {
        assert_eq!(halves("main left ctrl-u"), pair("", "n"));
        assert_eq!(halves("main left ctrl-k"), pair("mai", ""));
        assert_eq!(halves("main left left backspace delete"), pair("m", "n"));
        assert_eq!(halves("backspace delete left ctrl-w x"), pair("x", ""));
    }

    #[test]
    fn characters_stay_whole() {
        assert_eq!(halves("säge left left left backspace"), pair("", "äge"));
        assert_eq!(halves("日本 left delete"), pair("日", ""));
        assert_eq!(halves("ää ctrl-u"), pair("", ""));
    }

    #[test]
    fn keys_that_mean_nothing_change_nothing() {
        assert_eq!(halves("main left ctrl-x alt-q tab up f1"), pair("mai", "n"));
    }
}
