//! Which file a process records into that was told of one as others were, too.
//!
//! A log is not overwritten as long as the process lives that recorded it, be it this one: a process
//! that replaces itself (`exec`) keeps its number, and what it was told.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use mmtrace_format::layout::{Identity, PAGE_LEN};
use mmtrace_format::live::CreateError;

use crate::clock;

/// How far the clock of the wall may have been moved since a process began its log.
const CLOCK_MOVED_NS: u64 = 1_000_000_000;
/// What `/proc` counts the starts of processes in.
const TICK_NS: u64 = 10_000_000;

/// Begins a log in the file at `path`; in `<path>.<process id>` if another process has that; in
/// `<that>.2` and so on for what a process becomes that has one already.
///
/// # Errors
/// Those of `begin`.
pub(crate) fn begin<T>(
    path: &Path,
    mut begin: impl FnMut(PathBuf) -> Result<T, CreateError>,
) -> Result<T, CreateError> {
    if owner(path) != Owner::Another {
        match begin(unspoilt(path)) {
            Err(CreateError::InUse { .. }) => {}
            begun => return begun,
        }
    }
    begin(unspoilt(&of_child(path)))
}

/// `run.log` of process 7 is `run.log.7`.
pub(crate) fn of_child(log: &Path) -> PathBuf {
    beside(log, std::process::id())
}

/// The first of `run.log`, `run.log.2`, `run.log.3` that this process has not written itself.
fn unspoilt(path: &Path) -> PathBuf {
    let others = (2..=u32::MAX).map(|number| beside(path, number));
    let mut candidates = std::iter::once(path.to_owned()).chain(others);
    candidates.find(|path| owner(path) != Owner::This).unwrap_or_else(|| path.to_owned())
}

fn beside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Who recorded what is in a file, and lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    This,
    Another,
}

fn owner(path: &Path) -> Owner {
    let mut page = [0; PAGE_LEN as usize];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut page));
    let Some(identity) = read.ok().and_then(|()| Identity::decode(&page).ok()) else {
        return Owner::Nobody;
    };
    // Another process may have had the number before.
    let began = started_ns(identity.pid);
    if began.is_none_or(|began| began > identity.start_realtime_ns + CLOCK_MOVED_NS) {
        return Owner::Nobody;
    }
    if identity.pid == std::process::id() { Owner::This } else { Owner::Another }
}

/// When a process was started: ns since 1970; none if it is gone, or if the system does not tell.
fn started_ns(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // What stands in parentheses is the program's name, with whatever is in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let ticks = fields.nth(18)?.parse::<u64>().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = uptime.split_ascii_whitespace().next()?.split_once('.')?;
    let now = seconds.parse::<u64>().ok()? * 100 + hundredths.parse::<u64>().ok()?;
    let age_ns = now.saturating_sub(ticks) * TICK_NS;
    (!is_dead).then(|| clock::realtime_ns().saturating_sub(age_ns))
}

#[cfg(test)]
mod tests {
    use mmtrace_format::ProcessInfo;
    use mmtrace_format::live::{LiveLog, LiveOptions};

    use super::*;

    fn write(path: &Path, pid: u32, start_realtime_ns: u64) {
        let info = ProcessInfo { pid, start_realtime_ns, ..ProcessInfo::default() };
        LiveLog::create(path, &info, LiveOptions::default()).unwrap();
    }

    fn begun_at(path: &Path) -> PathBuf {
        begin(path, Ok).unwrap()
    }

    #[test]
    fn a_log_is_overwritten_once_nobody_lives_who_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let (log, pid) = (folder.path().join("run.log"), std::process::id());
        assert_eq!(begun_at(&log), log);
        // No process has this number: it is above what the system gives.
        write(&log, u32::MAX / 2, clock::realtime_ns());
        assert_eq!(begun_at(&log), log);
        // Somebody had our number long ago.
        write(&log, pid, 1);
        assert_eq!(begun_at(&log), log);
        write(&log, pid, clock::realtime_ns());
        assert_eq!(begun_at(&log), beside(&log, 2));
        write(&beside(&log, 2), pid, clock::realtime_ns());
        assert_eq!(begun_at(&log), beside(&log, 3));
    }

    #[test]
    fn what_a_living_process_wrote_stays_though_it_writes_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.log");
        write(&log, std::os::unix::process::parent_id(), clock::realtime_ns());
        assert_eq!(begun_at(&log), of_child(&log));
        write(&of_child(&log), std::process::id(), clock::realtime_ns());
        assert_eq!(begun_at(&log), beside(&of_child(&log), 2));
    }

    #[test]
    fn a_file_that_is_in_use_is_left_to_its_user() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.log");
        let begin = |path: PathBuf| {
            if path == log { Err(CreateError::InUse { path }) } else { Ok(path) }
        };
        assert_eq!(super::begin(&log, begin).unwrap(), of_child(&log));
    }

    #[test]
    fn a_process_was_started_before_now() {
        let (began, now) = (started_ns(std::process::id()).unwrap(), clock::realtime_ns());
        assert!(began <= now && now - began < 3_600_000_000_000, "{began}, now {now}");
        assert_eq!(started_ns(u32::MAX / 2), None);
    }
}
