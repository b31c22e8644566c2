//! Which key does what: the table's keys, unless a file says otherwise.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::action::{ACTIONS, Action};

/// A key without what is held down with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A character, as it comes with shift and all.
    Char(char),
    /// A key that has a name.
    Named(&'static str),
}

/// The keys with names.
const NAMED: [&str; 15] = [
    "left",
    "right",
    "up",
    "down",
    "home",
    "end",
    "pageup",
    "pagedown",
    "enter",
    "esc",
    "tab",
    "backtab",
    "backspace",
    "delete",
    "f1",
];

/// A key with what is held down with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chord {
    /// The key.
    pub key: Key,
    /// Control is held down.
    pub ctrl: bool,
    /// Alt is held down.
    pub alt: bool,
    /// Shift is held down, with a key that is no character.
    pub shift: bool,
}

impl From<char> for Chord {
    fn from(character: char) -> Self {
        Self { key: Key::Char(character), ctrl: false, alt: false, shift: false }
    }
}

impl Chord {
    /// A key by its name, with nothing held down.
    pub fn named(name: &str) -> Option<Self> {
        let name = NAMED.into_iter().find(|known| *known == name)?;
        Some(Self { key: Key::Named(name), ctrl: false, alt: false, shift: false })
    }
}

impl FromStr for Chord {
    type Err = KeyError;

    fn from_str(word: &str) -> Result<Self, KeyError> {
        let mut chord = Self::from(' ');
        let mut rest = word;
        loop {
            rest = if let Some(rest) = rest.strip_prefix("ctrl-").filter(|rest| !rest.is_empty()) {
                chord.ctrl = true;
                rest
            } else if let Some(rest) = rest.strip_prefix("alt-").filter(|rest| !rest.is_empty()) {
                chord.alt = true;
                rest
            } else if let Some(rest) = rest.strip_prefix("shift-").filter(|rest| !rest.is_empty()) {
                chord.shift = true;
                rest
            } else {
                break;
            };
        }
        let mut characters = rest.chars();
        chord.key = match (characters.next(), characters.next()) {
            (Some(character), None) => Key::Char(character),
            _ if rest == "space" => Key::Char(' '),
            _ => NAMED
                .into_iter()
                .find(|known| *known == rest)
                .map(Key::Named)
                .ok_or_else(|| KeyError::NoKey { word: word.to_owned() })?,
        };
        Ok(chord)
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (held, name) in [(self.ctrl, "ctrl-"), (self.alt, "alt-"), (self.shift, "shift-")] {
            if held {
                f.write_str(name)?;
            }
        }
        match self.key {
            Key::Char(' ') => f.write_str("space"),
            Key::Char(character) => write!(f, "{character}"),
            Key::Named(name) => f.write_str(name),
        }
    }
}

/// A key file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A word names no key.
    #[error("`{word}` is no key: expected one like x, ctrl-x, space, enter or pagedown")]
    NoKey {
        /// The word.
        word: String,
    },
    /// A line names no action.
    #[error("line {line}: there is no action `{name}`")]
    NoAction {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        name: String,
    },
    /// A line is not of the form `action = key key`.
    #[error("line {line}: expected `action = key key`, found `{found}`")]
    Form {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// A key would do two things.
    #[error("`{key}` is bound to both `{first}` and `{second}`")]
    Conflict {
        /// The key.
        key: String,
        /// What it does.
        first: &'static str,
        /// What it would do, too.
        second: &'static str,
    },
}

/// Which key does what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    bindings: BTreeMap<Chord, Action>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::with_changes("").expect("the table's own keys do not conflict: a test says so")
    }
}

impl Keymap {
    /// The table's keys, changed by lines like `zoom-in = + ctrl-up`. A line replaces all keys of
    /// its action; none after the `=` leaves it without. `#` begins a comment line.
    ///
    /// # Errors
    /// [`KeyError`] if a line cannot be understood, or a key would do two things.
    pub fn with_changes(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<&str> = ACTIONS.iter().map(|spec| spec.keys).collect();
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let form = || KeyError::Form { line: number, found: content.to_owned() };
            let (name, new) = content.split_once('=').ok_or_else(form)?;
            let name = name.trim();
            let place = ACTIONS.iter().position(|spec| spec.name == name);
            let unknown = || KeyError::NoAction { line: number, name: name.to_owned() };
            keys[place.ok_or_else(unknown)?] = new;
        }
        let mut bindings = BTreeMap::new();
        for (spec, keys) in ACTIONS.iter().zip(keys) {
            for key in keys.split_whitespace() {
                let before = bindings.insert(key.parse()?, spec.action);
                if let Some(first) = before.filter(|&before| before != spec.action) {
                    let first = first.spec().name;
                    let key = key.to_owned();
                    return Err(KeyError::Conflict { key, first, second: spec.name });
                }
            }
        }
        Ok(Self { bindings })
    }

    /// What a key does.
    pub fn action(&self, chord: Chord) -> Option<Action> {
        self.bindings.get(&chord).copied()
    }

    /// The keys of an action, as the help screen shows them.
    pub fn keys(&self, action: Action) -> Vec<Chord> {
        let table: Vec<Chord> =
            action.spec().keys.split_whitespace().filter_map(|key| key.parse().ok()).collect();
        let mut keys: Vec<Chord> = self
            .bindings
            .iter()
            .filter(|(_, bound)| **bound == action)
            .map(|(chord, _)| *chord)
            .collect();
        // The table's order first: it begins with the key to remember.
        keys.sort_by_key(|key| table.iter().position(|known| known == key).unwrap_or(usize::MAX));
        keys
    }

    /// The first key of an action, or its name with a colon before it.
    pub fn hint(&self, action: Action) -> String {
        match self.keys(action).first() {
            Some(key) => key.to_string(),
            None => format!(":{}", action.spec().name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_own_keys_do_not_conflict() {
        assert!(Keymap::with_changes("").is_ok());
    }

    #[test]
    fn a_key_reads_back_as_it_is_shown() {
        for word in ["x", "X", "ctrl-o", "alt-x", "space", "shift-left", "-", "ctrl--", "f1", "["] {
            assert_eq!(word.parse::<Chord>().unwrap().to_string(), word);
        }
        assert!("contrl-x".parse::<Chord>().is_err());
    }

    #[test]
    fn a_line_replaces_the_keys_of_its_action() {
        let keymap = Keymap::with_changes("# mine\nzoom-in = ctrl-a\nmouse =\n").unwrap();
        assert_eq!(keymap.action("ctrl-a".parse().unwrap()), Some(Action::ZoomIn));
        assert_eq!(keymap.action('+'.into()), None);
        assert_eq!(keymap.hint(Action::Mouse), ":mouse");
    }

    #[test]
    fn a_key_that_would_do_two_things_is_refused_with_both_names() {
        let error = Keymap::with_changes("zoom-in = q").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`zoom-in`") && text.contains("`quit`"), "{text}");
        assert!(Keymap::with_changes("nothing = x").is_err());
        assert!(Keymap::with_changes("zoom-in x").is_err());
    }
}
