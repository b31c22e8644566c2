//! How it looks: colours by what is meant, and characters.

#![expect(clippy::unreadable_literal, reason = "colours are written as everybody writes them")]

use ratatui::style::{Color, Modifier, Style};

use crate::index::{Hue, State};
use crate::page::Marks;

/// Which colours there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// For dark backgrounds, 24-bit.
    #[default]
    Dark,
    /// For light backgrounds, 24-bit.
    Light,
    /// The terminal's own 16 colours.
    Sixteen,
    /// None: glyphs and bold, dim, underlined, reversed must do.
    None,
}

impl Palette {
    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Sixteen,
            Self::Sixteen => Self::None,
            Self::None => Self::Dark,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Sixteen => "16 colours",
            Self::None => "no colours",
        }
    }
}

/// How it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// The colours.
    pub palette: Palette,
    /// Whether only ASCII characters are used.
    pub ascii: bool,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// What is less important.
    Faint,
    /// A heading.
    Heading,
    /// A key to press.
    Key,
    /// A finding, or an error.
    Alarm,
    /// A warning.
    Warning,
    /// What a search found.
    Match,
    /// What is selected.
    Selected,
    /// The title and status lines.
    Bar,
}

impl Theme {
    /// The character of a state.
    pub fn glyph(self, state: State) -> char {
        if self.ascii { state.spec().ascii } else { state.spec().glyph }
    }

    /// One of two characters.
    pub fn pick(self, unicode: char, ascii: char) -> char {
        if self.ascii { ascii } else { unicode }
    }

    /// The colour of a state.
    pub fn state(self, state: State) -> Style {
        let hue = state.spec().hue;
        let style = Style::new();
        match self.palette {
            Palette::None => match hue {
                Hue::Nothing => style.add_modifier(Modifier::DIM),
                Hue::Missing => style.add_modifier(Modifier::REVERSED),
                _ => style,
            },
            palette => style.fg(color(palette, hue)),
        }
    }

    /// The look of a piece of text.
    pub fn role(self, role: Role) -> Style {
        let style = Style::new();
        let bold = style.add_modifier(Modifier::BOLD);
        let colored = |style: Style, dark: Color, light: Color, sixteen: Color| match self.palette {
            Palette::Dark => style.fg(dark),
            Palette::Light => style.fg(light),
            Palette::Sixteen => style.fg(sixteen),
            Palette::None => style,
        };
        match role {
            Role::Text => style,
            Role::Faint => match self.palette {
                Palette::None => style.add_modifier(Modifier::DIM),
                _ => colored(style, rgb(0x808890), rgb(0x606870), Color::DarkGray),
            },
            Role::Heading => colored(bold, rgb(0x7cc7ff), rgb(0x0050a0), Color::Cyan),
            Role::Key => colored(bold, rgb(0xffd479), rgb(0x8a5a00), Color::Yellow),
            Role::Alarm => match self.palette {
                Palette::None => bold.add_modifier(Modifier::REVERSED),
                _ => colored(bold, rgb(0xff6b6b), rgb(0xc00020), Color::Red),
            },
            Role::Warning => colored(bold, rgb(0xffb454), rgb(0xa05000), Color::Yellow),
            Role::Match => match self.palette {
                Palette::None => bold.add_modifier(Modifier::UNDERLINED),
                _ => colored(bold, rgb(0xe0a0ff), rgb(0x7000b0), Color::Magenta),
            },
            Role::Selected => style.add_modifier(Modifier::REVERSED),
            Role::Bar => match self.palette {
                Palette::Dark => style.fg(rgb(0xd8dee9)).bg(rgb(0x2b303b)),
                Palette::Light => style.fg(rgb(0x20242c)).bg(rgb(0xd8dee9)),
                _ => style.add_modifier(Modifier::REVERSED),
            },
        }
    }

    /// The look of a cell with these marks in it, if they change it, and its character.
    pub fn marked(self, marks: Marks) -> Option<(char, Style)> {
        let alarm = self.role(Role::Alarm);
        if marks.has(Marks::RACE) {
            Some((self.pick('✗', 'X'), alarm))
        } else if marks.has(Marks::DEADLOCK) {
            Some((self.pick('☒', 'D'), alarm))
        } else if marks.has(Marks::LEAK) {
            Some((self.pick('▲', '^'), self.role(Role::Warning)))
        } else if marks.has(Marks::OTHER) {
            Some((self.pick('●', '@'), self.role(Role::Warning)))
        } else if marks.has(Marks::NOTE) {
            Some((self.pick('⚑', '#'), self.role(Role::Key)))
        } else {
            None
        }
    }

    /// The look of what is concurrent to the shaded event.
    pub fn concurrent(self, style: Style) -> Style {
        match self.palette {
            Palette::Dark => style.bg(rgb(0x3a2a10)),
            Palette::Light => style.bg(rgb(0xffe8c0)),
            Palette::Sixteen | Palette::None => style.add_modifier(Modifier::UNDERLINED),
        }
    }
}

fn rgb(hex: u32) -> Color {
    let [_, red, green, blue] = hex.to_be_bytes();
    Color::Rgb(red, green, blue)
}

fn color(palette: Palette, hue: Hue) -> Color {
    let (dark, light, sixteen) = match hue {
        Hue::Nothing => (0x4c566a, 0xb0b8c4, Color::DarkGray),
        Hue::Running => (0x6ccf70, 0x1a7f37, Color::Green),
        Hue::Runnable => (0xb8e0a0, 0x6a9a2a, Color::LightGreen),
        Hue::Channel => (0x5aa9e6, 0x0969da, Color::Blue),
        Hue::Lock => (0xff8a5c, 0xbc4c00, Color::Red),
        Hue::Rendezvous => (0xc9a0ff, 0x8250df, Color::Magenta),
        Hue::Outside => (0x9aa5b1, 0x57606a, Color::Gray),
        Hue::Missing => (0xffd000, 0x9a6700, Color::Yellow),
    };
    match palette {
        Palette::Dark => rgb(dark),
        Palette::Light => rgb(light),
        Palette::Sixteen | Palette::None => sixteen,
    }
}
