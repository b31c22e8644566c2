//! Running other programs, and what a verb answers.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// How a verb ended, if it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// All of it ran, and passed.
    Passed,
    /// Something weaker ran in its place, and passed; this says what is missing.
    Instead(String),
    /// It cannot run here, for this reason.
    Skipped(String),
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder in the repository").to_owned()
}

/// A program with arguments, to be run at the root of the repository.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Cargo with arguments; `toolchain` is a rustup name.
pub(crate) fn cargo(toolchain: Option<&str>, arguments: &[&str]) -> Command {
    let Some(toolchain) = toolchain else {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        return command(&cargo, arguments);
    };
    let mut command = command("rustup", &["run", toolchain, "cargo"]);
    // What the outer cargo sets belongs to its own toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command.args(arguments);
    command
}

/// Runs a command with our own output, after printing it.
///
/// # Errors
/// It cannot be started, or does not end with success.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = describe(command);
    say(&format!("$ {line}"));
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Whether a command ends with success; its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// What a command prints.
///
/// # Errors
/// It cannot be started, does not end with success, or prints something other than text.
pub(crate) fn text_of(command: &mut Command) -> anyhow::Result<String> {
    let line = describe(command);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed other than text"))
}

/// Whether a nightly toolchain is installed.
pub(crate) fn has_nightly() -> bool {
    succeeds(&mut command("rustup", &["run", "nightly", "rustc", "--version"]))
}

/// Prints a line, at once.
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nobody is left to tell when standard output is closed.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn describe(command: &Command) -> String {
    let settings = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={:?}", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    settings.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_status() {
        let error = run(&mut command("false", &["with", "words"])).unwrap_err();
        assert!(error.to_string().contains("`false with words` ended with"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut command("mmtrace-no-such-program", &[])).unwrap_err();
        assert!(error.to_string().contains("cannot start `mmtrace-no-such-program`"), "{error}");
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("Cargo.lock").exists());
    }
}
