//! What the command line and a recorder agree on: environment variables.
//!
//! | variable | value |
//! |---|---|
//! | `MMTRACE_LOG` | the log to write; unset, empty or `off`: record nothing. `%p` becomes the process id. A folder gets one log for each process. If the file is another process's, `.<process id>` is appended; if it is what this process wrote before it replaced itself, `.2`, `.3` and so on |
//! | `MMTRACE_MAX_LOG` | how long the log may get: bytes, or with a suffix `K`, `M`, `G`; unset: as long as the disk allows |
//! | `MMTRACE_KEEP` | what to keep at that size: `oldest` (stop recording) or `newest` (drop the oldest); unset: `newest` |
//! | `MMTRACE_SLOT` | bytes of a slot, the unit in which threads fill the log; with suffix as above |

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Names the log to write.
pub const LOG: &str = "MMTRACE_LOG";
/// The value of [`LOG`] that records nothing.
pub const LOG_OFF: &str = "off";
/// Says how long the log may get.
pub const MAX_LOG: &str = "MMTRACE_MAX_LOG";
/// Says what to keep when the log has that length.
pub const KEEP: &str = "MMTRACE_KEEP";
/// The value of [`KEEP`] that stops recording.
pub const KEEP_OLDEST: &str = "oldest";
/// The value of [`KEEP`] that drops the oldest.
pub const KEEP_NEWEST: &str = "newest";
/// Bytes of a slot.
pub const SLOT: &str = "MMTRACE_SLOT";

/// The command-line tool's name: it links a recorder, and is not recorded for that.
pub const TOOL: &str = "mmtrace";
/// The tool's command that runs the program which its demonstration records.
pub const TOOL_WORKLOAD: &str = "demo-workload";

/// What to keep when a log has reached the length that it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Stop recording.
    Oldest,
    /// Drop the oldest chunks and go on in their place.
    #[default]
    Newest,
}

/// What the environment asks of a recorder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The log to write; `None` records nothing.
    pub log: Option<PathBuf>,
    /// How long it may get.
    pub max_log: Option<u64>,
    /// What to keep then.
    pub keep: Keep,
    /// Bytes of a slot.
    pub slot_len: Option<u32>,
}

/// A variable has a value that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is `{found}`, expected {expected}")]
pub struct HandshakeError {
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub found: String,
    /// What it may be.
    pub expected: &'static str,
}

impl Handshake {
    /// Reads the variables with `variable`, which is `std::env::var_os` outside tests.
    ///
    /// # Errors
    /// [`HandshakeError`] names the variable that cannot be understood.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, HandshakeError> {
        let log = variable(LOG).filter(|log| !log.is_empty() && log != LOG_OFF).map(PathBuf::from);
        let size = |name: &'static str| -> Result<Option<u64>, HandshakeError> {
            let Some(text) = variable(name).filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let size = text.to_str().and_then(parse_size);
            size.map(Some).ok_or_else(|| wrong(name, &text, "a number of bytes, such as 512M"))
        };
        let keep = match variable(KEEP) {
            None => Keep::default(),
            Some(text) if text.is_empty() => Keep::default(),
            Some(text) if text == KEEP_OLDEST => Keep::Oldest,
            Some(text) if text == KEEP_NEWEST => Keep::Newest,
            Some(text) => return Err(wrong(KEEP, &text, "`oldest` or `newest`")),
        };
        let slot_len = match size(SLOT)? {
            None => None,
            Some(len) => Some(u32::try_from(len).map_err(|_| {
                wrong(SLOT, OsStr::new(&len.to_string()), "a number of bytes below 4G")
            })?),
        };
        Ok(Self { log, max_log: size(MAX_LOG)?, keep, slot_len })
    }

    /// The file that the process `pid`, a run of `program`, is to write; `None` if none.
    ///
    /// `is_folder` says whether a path is a folder: then the log is `<program>.<pid>.log` in it.
    pub fn log_file(
        &self,
        program: &Path,
        pid: u32,
        is_folder: impl Fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        let asked = self.log.as_ref()?;
        let mut bytes = Vec::new();
        let mut rest = asked.as_os_str().as_bytes();
        while let Some(at) = rest.windows(2).position(|pair| pair == b"%p") {
            bytes.extend_from_slice(&rest[..at]);
            bytes.extend_from_slice(pid.to_string().as_bytes());
            rest = &rest[at + 2..];
        }
        bytes.extend_from_slice(rest);
        let path = PathBuf::from(OsString::from_vec(bytes));
        if !is_folder(&path) {
            return Some(path);
        }
        let mut name = program.file_name().unwrap_or(OsStr::new("program")).to_owned();
        name.push(format!(".{pid}.log"));
        Some(path.join(name))
    }
}

fn wrong(variable: &'static str, found: &OsStr, expected: &'static str) -> HandshakeError {
    HandshakeError { variable, found: found.to_string_lossy().into_owned(), expected }
}

/// Reads a number of bytes with an optional suffix `K`, `M` or `G` (powers of 1024).
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Handshake, HandshakeError> {
        Handshake::read(|name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn nothing_set_records_nothing() {
        assert_eq!(read(&[]).unwrap().log, None);
        assert_eq!(read(&[(LOG, "off")]).unwrap().log, None);
        assert_eq!(read(&[(LOG, "")]).unwrap().log, None);
    }

    #[test]
    fn every_variable_is_understood() {
        let variables = [(LOG, "a.log"), (MAX_LOG, "3G"), (KEEP, "oldest"), (SLOT, "64k")];
        let expected = Handshake {
            log: Some("a.log".into()),
            max_log: Some(3 << 30),
            keep: Keep::Oldest,
            slot_len: Some(65536),
        };
        assert_eq!(read(&variables).unwrap(), expected);
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        assert_eq!(
            read(&[(KEEP, "all")]).unwrap_err().to_string(),
            "MMTRACE_KEEP is `all`, expected `oldest` or `newest`"
        );
        for size in ["ten", "1T", "-1", "M", "99999999999999999999", "99999999999G"] {
            assert_eq!(read(&[(MAX_LOG, size)]).unwrap_err().variable, MAX_LOG, "{size}");
        }
        assert_eq!(read(&[(SLOT, "4G")]).unwrap_err().variable, SLOT);
    }

    #[test]
    fn processes_that_share_an_environment_can_have_their_own_files() {
        let program = Path::new("/usr/bin/prog");
        let file = |log: &str, folder: bool| {
            let handshake = read(&[(LOG, log)]).unwrap();
            handshake.log_file(program, 7, |_| folder).unwrap()
        };
        assert_eq!(file("run.log", false), Path::new("run.log"));
        assert_eq!(file("%p/run-%p.log", false), Path::new("7/run-7.log"));
        assert_eq!(file("logs", true), Path::new("logs/prog.7.log"));
    }
}
