//! Where reports go: standard output with colours when they are wanted, or a file without.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anstream::AutoStream;
use anyhow::{Context as _, anyhow};

use crate::args::Color;
use crate::exit::Failure;
use crate::inputs::begins_as_a_log;

/// Makes a choice of colours hold for everything that is printed after.
pub(crate) fn choose_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Standard output or a file, buffered. Escape codes are taken out where they are not wanted.
pub(crate) enum Output {
    /// Standard output.
    Standard(BufWriter<AutoStream<io::StdoutLock<'static>>>),
    /// Standard error.
    Error(BufWriter<AutoStream<io::StderrLock<'static>>>),
    /// A file.
    File(BufWriter<AutoStream<File>>),
}

impl Output {
    /// Standard output.
    pub(crate) fn standard() -> Self {
        Self::Standard(BufWriter::new(AutoStream::auto(io::stdout().lock())))
    }

    /// Standard error, where standard output is somebody else's.
    pub(crate) fn error() -> Self {
        Self::Error(BufWriter::new(AutoStream::auto(io::stderr().lock())))
    }

    /// A file at `path`, which replaces one that is there; else standard output.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::standard());
        };
        let file = File::create(path)
            .with_context(|| format!("cannot write {}", path.display()))
            .map_err(Failure::usage)?;
        // CLICOLOR_FORCE is about what one sees: a file has colours only by `--color always`.
        let choice = match anstream::ColorChoice::global() {
            anstream::ColorChoice::Always => anstream::ColorChoice::Always,
            _ => anstream::ColorChoice::Never,
        };
        Ok(Self::File(BufWriter::new(AutoStream::new(file, choice))))
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// What the system says; a reader that went away is no failure in the end (see
    /// [`Failure::report`]).
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush().map_err(unwritten)
    }
}

/// Removes the log of an earlier run, so that it cannot be taken for this one's.
///
/// # Errors
/// Something is there that is no log, or cannot be removed.
pub(crate) fn make_way(path: &Path) -> Result<(), Failure> {
    if !may_replace(path)? {
        return Ok(());
    }
    fs::remove_file(path)
        .with_context(|| format!("cannot replace {}", path.display()))
        .map_err(Failure::usage)
}

/// Whether there is a log at `path`, which may be replaced. Anything else is left alone.
fn may_replace(path: &Path) -> Result<bool, Failure> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(false) };
    let is_empty = metadata.is_file() && metadata.len() == 0;
    if is_empty || begins_as_a_log(path) {
        return Ok(true);
    }
    Err(Failure::usage(anyhow!("{} is there and is no log: not replaced", path.display())))
}

/// A log that is being written: it appears under its name when it is whole, or not at all.
#[derive(Debug)]
pub(crate) struct NewLog {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl NewLog {
    /// Begins a log that is to be at `path`. `source` is what it is made from.
    ///
    /// # Errors
    /// Nothing can be written there, or what is there must not be replaced.
    pub(crate) fn create(path: &Path, source: &Path) -> Result<Self, Failure> {
        may_replace(path)?;
        let same = |a: &Path, b: &Path| Some(a.canonicalize().ok()? == b.canonicalize().ok()?);
        if same(path, source) == Some(true) {
            let shown = path.display();
            return Err(Failure::usage(anyhow!("{shown} is what is to be read: not replaced")));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let partial = path.with_file_name(name);
        let file = File::create(&partial)
            .with_context(|| format!("cannot write {}", path.display()))
            .map_err(Failure::usage)?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    /// Where to write.
    pub(crate) fn sink(&self) -> BufWriter<&File> {
        BufWriter::with_capacity(1 << 20, &self.file)
    }

    /// Gives the log its name.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        fs::rename(&self.partial, &self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))
            .map_err(Failure::usage)
    }
}

impl Drop for NewLog {
    fn drop(&mut self) {
        // After a commit there is nothing of that name.
        let _ = fs::remove_file(&self.partial);
    }
}

/// A failure to write output.
pub(crate) fn unwritten(error: io::Error) -> Failure {
    Failure::usage(anyhow::Error::new(error).context("cannot write the output"))
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(stream) => stream.write(bytes),
            Self::Error(stream) => stream.write(bytes),
            Self::File(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(stream) => stream.flush(),
            Self::Error(stream) => stream.flush(),
            Self::File(stream) => stream.flush(),
        }
    }
}
