//! The name of a bug, the same from run to run and from edit to edit.
//!
//! It is a hash of the kind of finding and of its stacks *without lines*: functions, demangled and
//! without the compiler's hash, innermost first, repeats of a recursion counted once. So it
//! survives code that moves, locals that are renamed, and any number of threads; the two sides of a
//! race are ordered, so that it does not matter which came first in a run. (Uber's race pipeline
//! does the same: PLDI 2022, section 3.) Where no function is known, the place stands in: an
//! imported trace has nothing but numbered locations.
//!
//! Several bugs between the same functions are told apart by their rank, by ascending line. A bug
//! that appears above another one in the same function therefore moves the other's fingerprint on
//! by one: the price of not knowing lines.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use crate::symbol::Frame;

/// Changes when the same bug would get another fingerprint than before.
const VERSION: &str = "mmtrace-fingerprint-1";

/// The name of a bug: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of the `rank`-th bug of this kind between these stacks, whose keys are
    /// [`line_free`].
    pub fn new(kind: &str, stacks: &[&str], rank: usize) -> Self {
        let mut sorted = stacks.to_vec();
        sorted.sort_unstable();
        let mut hash = Fnv::default();
        for part in [VERSION, kind].into_iter().chain(sorted) {
            hash.part(part);
        }
        if rank > 0 {
            hash.part(&rank.to_string());
        }
        Self(hash.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A stack as a text that does not change when lines do.
pub fn line_free(stack: &[Frame]) -> String {
    let mut key = String::new();
    let mut last_start = 0;
    for frame in stack {
        let start = key.len();
        match (&frame.function, &frame.file, frame.line, &frame.code) {
            (Some(function), ..) => key.push_str(function),
            (None, Some(file), ..) => key.push_str(file_name(file)),
            (None, None, Some(line), _) => push(&mut key, format_args!("location {line}")),
            (None, None, None, Some(code)) => {
                push(&mut key, format_args!("{}+{:#x}", file_name(&code.module), code.offset));
            }
            (None, None, None, None) => key.push('?'),
        }
        key.push('\n');
        if start > last_start && key[last_start..start] == key[start..] {
            key.truncate(start);
        } else {
            last_start = start;
        }
    }
    key
}

fn push(key: &mut String, text: fmt::Arguments<'_>) {
    key.write_fmt(text).expect("a String takes all text");
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// FNV-1a with 64 bits: the same on every machine and in every version of the standard library.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    /// Takes in a part and its end, so that parts cannot run into each other.
    fn part(&mut self, text: &str) {
        for byte in text.bytes().chain([0xFF]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &[(&str, u32)]) -> Vec<Frame> {
        let frame = |&(function, line): &(&str, u32)| Frame {
            function: Some(function.to_owned()),
            file: Some("src/lib.rs".to_owned()),
            line: Some(line),
            ..Frame::default()
        };
        frames.iter().map(frame).collect()
    }

    fn race(a: &[(&str, u32)], b: &[(&str, u32)]) -> Fingerprint {
        let (a, b) = (line_free(&stack(a)), line_free(&stack(b)));
        Fingerprint::new("race", &[&a, &b], 0)
    }

    #[test]
    fn lines_sides_and_depth_of_recursion_do_not_matter() {
        let one = race(&[("add", 3), ("walk", 7), ("walk", 7), ("main", 1)], &[("get", 20)]);
        let two = race(&[("get", 120)], &[("add", 103), ("walk", 107), ("main", 101)]);
        assert_eq!(one, two);
    }

    #[test]
    fn functions_kinds_and_ranks_do() {
        let base = race(&[("add", 3)], &[("get", 20)]);
        assert_ne!(base, race(&[("add", 3)], &[("put", 20)]));
        assert_ne!(base, race(&[("add", 3), ("get", 20)], &[]));
        let (add, get) = (line_free(&stack(&[("add", 3)])), line_free(&stack(&[("get", 20)])));
        assert_ne!(base, Fingerprint::new("deadlock", &[&add, &get], 0));
        assert_ne!(base, Fingerprint::new("race", &[&add, &get], 1));
    }

    #[test]
    fn a_numbered_location_is_its_own_name() {
        let at = |line| line_free(&[Frame { line: Some(line), ..Frame::default() }]);
        assert_ne!(at(5), at(6));
    }

    /// Baselines on users' disks hold these digits.
    #[test]
    fn the_digits_are_pinned() {
        assert_eq!(race(&[("add", 3)], &[("get", 20)]).to_string(), "665507aa874a1499");
    }
}
