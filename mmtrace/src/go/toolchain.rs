//! The Go distribution that the user's shell would run, and the C compiler that it links with.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::anyhow;
use serde::Deserialize;

use super::arguments::Arguments;
use crate::exit::{Failure, note};

/// The oldest Go that is recorded: 1.22.
const OLDEST: (u32, u32) = (1, 22);

/// What `go env` says in the folder where Go is going to work: a module may ask for another version
/// than the one that is installed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Toolchain {
    /// Where the distribution is.
    #[serde(rename = "GOROOT")]
    pub(crate) root: PathBuf,
    /// `go1.26.8`.
    #[serde(rename = "GOVERSION")]
    pub(crate) version: String,
    #[serde(rename = "GOOS")]
    system: String,
    #[serde(rename = "GOARCH")]
    architecture: String,
    #[serde(rename = "CC")]
    compiler: String,
    /// What the user adds to every command.
    #[serde(rename = "GOFLAGS")]
    pub(crate) flags: String,
}

impl Toolchain {
    /// Finds Go as the shell does, and checks that it can build what is to be recorded.
    ///
    /// # Errors
    /// Go, its C compiler or a version and platform that can be recorded is missing.
    pub(crate) fn find(arguments: &Arguments) -> Result<Self, Failure> {
        let mut go = Command::new("go");
        go.arg("env").args(arguments.folder_flag()).arg("-json");
        go.args(["GOROOT", "GOVERSION", "GOOS", "GOARCH", "CC", "GOFLAGS"]);
        let output = go.stdin(Stdio::null()).stderr(Stdio::piped()).output().map_err(|error| {
            Failure::usage(match error.kind() {
                ErrorKind::NotFound => anyhow!(
                    "there is no `go` in PATH: install Go {}.{} or later",
                    OLDEST.0,
                    OLDEST.1
                ),
                _ => anyhow!("cannot run `go`: {error}"),
            })
        })?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::usage(anyhow!("`go env` fails: {}", text.trim())));
        }
        let toolchain: Self = serde_json::from_slice(&output.stdout).map_err(|error| {
            Failure::usage(anyhow!("`go env -json` is not understood: {error}"))
        })?;
        toolchain.check()?;
        Ok(toolchain)
    }

    fn check(&self) -> Result<(), Failure> {
        if (self.system.as_str(), self.architecture.as_str()) != ("linux", "amd64") {
            return Err(Failure::usage(anyhow!(
                "Go builds for {}/{} here, and programs for linux/amd64 alone can be recorded",
                self.system,
                self.architecture
            )));
        }
        // A version that is not numbered is the newest: a build from source.
        if let Some(version) = numbers(&self.version)
            && version < OLDEST
        {
            return Err(Failure::usage(anyhow!(
                "{} at {} is too old to be recorded: Go {}.{} or later is needed",
                self.version,
                self.root.display(),
                OLDEST.0,
                OLDEST.1
            )));
        }
        let compiler = self.compiler.split_whitespace().next().unwrap_or("gcc");
        let mut probe = Command::new(compiler);
        probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = probe.status() {
            return Err(Failure::usage(anyhow!(
                "a recorded program is linked by the C compiler, and `{compiler}` cannot be run \
                 ({error}): install gcc or clang, or set CC"
            )));
        }
        if std::env::var_os("CGO_ENABLED").is_some_and(|enabled| enabled == "0") {
            note("CGO_ENABLED=0 is overruled: the recorder is linked by the C compiler");
        }
        Ok(())
    }

    /// A `go` command that links as a recorded program must be linked.
    pub(crate) fn command() -> Command {
        let mut go = Command::new("go");
        go.env("GO_EXTLINK_ENABLED", "1").env("CGO_ENABLED", "1");
        go
    }

    /// Whether the user's own flags, in the environment or in Go's settings, have this one.
    pub(crate) fn has_flag(&self, name: &str) -> bool {
        self.flags.split_whitespace().any(|flag| {
            let flag = flag.trim_start_matches(['\'', '"']).trim_start_matches('-');
            flag.split('=').next() == Some(name)
        })
    }
}

/// 1 and 26 of `go1.26.8`, `go1.26rc1` and `go1.26.8 X:nodwarf5`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.strip_prefix("go")?.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            root: "/go".into(),
            version: "go1.26.8".to_owned(),
            system: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            compiler: "true".to_owned(),
            flags: "-tags=a -count=2 '-ldflags=-X main.v=1'".to_owned(),
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("go1.26.8"), Some((1, 26)));
        assert_eq!(numbers("go1.27rc2"), Some((1, 27)));
        assert_eq!(numbers("devel go1.28-abcdef"), None);
        assert!(numbers("go1.9.1") < Some(OLDEST));
        assert!(toolchain().check().is_ok());
        let old = Toolchain { version: "go1.21.13".to_owned(), ..toolchain() };
        assert!(old.check().is_err());
    }

    #[test]
    fn other_platforms_and_missing_compilers_are_refused() {
        let arm = Toolchain { architecture: "arm64".to_owned(), ..toolchain() };
        assert!(arm.check().is_err());
        let compiler = "no-such-compiler-here -m64".to_owned();
        assert!(Toolchain { compiler, ..toolchain() }.check().is_err());
    }

    #[test]
    fn flags_of_the_environment_are_known_by_name() {
        let toolchain = toolchain();
        assert!(toolchain.has_flag("count") && toolchain.has_flag("ldflags"));
        assert!(!toolchain.has_flag("cover"));
    }
}
