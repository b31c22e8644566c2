//! The format's version, and which versions can be read.

use std::fmt;

/// A version of the format, as the first bytes of a log have it.
///
/// A reader accepts its own major version whatever the minor: what a newer minor version adds are
/// kinds of blocks and events that an older reader skips by their length and says that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormatVersion {
    /// Changes when an older reader would misread a newer log.
    pub major: u16,
    /// Changes when an older reader would miss something that it can skip.
    pub minor: u16,
}

impl FormatVersion {
    /// What this crate writes.
    pub const CURRENT: Self = Self { major: 1, minor: 1 };

    /// Whether this crate can read a log of this version.
    pub const fn is_readable(self) -> bool {
        self.major == Self::CURRENT.major
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_minor_version_is_readable_and_another_major_is_not() {
        assert!(FormatVersion { major: 1, minor: 999 }.is_readable());
        assert!(!FormatVersion { major: 2, minor: 0 }.is_readable());
        assert!(!FormatVersion { major: 0, minor: 9 }.is_readable());
        assert_eq!(FormatVersion::CURRENT.to_string(), "1.1");
    }
}
