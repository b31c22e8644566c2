//! Puts the runtime of recorded Go programs into the binary, so that it is one self-contained file.
//!
//! The package `mmtrace-go-runtime` is a C library with a profile of its own (nothing may unwind into
//! Go), which no dependency can ask for: cargo builds it once more here, in a folder of this build.
//! Where it cannot be built, `mmtrace go` says why.
//!
//! `MMTRACE_GO_RUNTIME=FILE` brings a library that was built before; `none` leaves it out.

use std::env;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library that was built before, or `none`.
const PREBUILT: &str = "MMTRACE_GO_RUNTIME";
/// Higher levels take minutes to save a few per cent.
const LEVEL: i32 = 12;

/// What cargo and its drivers tell this script, and must not tell the build inside.
const NOT_INHERITED: [&str; 8] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTDOCFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
    "CARGO_PROFILE_RELEASE_LTO",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let packed = output.join("go-runtime.a.zst");
    match library(&output) {
        Ok(library) => {
            let packed_bytes = zstd::bulk::compress(&library, LEVEL).expect("memory to compress");
            fs::write(&packed, packed_bytes).expect("OUT_DIR can be written");
            println!("cargo::rustc-env=MMTRACE_GO_RUNTIME_HASH={:016x}", hash(&library));
            println!("cargo::rustc-env=MMTRACE_GO_RUNTIME_LEN={}", library.len());
        }
        Err(reason) => {
            fs::write(&packed, []).expect("OUT_DIR can be written");
            println!("cargo::rustc-env=MMTRACE_GO_RUNTIME_MISSING={reason}");
        }
    }
}

/// The library, or why there is none.
fn library(output: &Path) -> Result<Vec<u8>, String> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    match env::var(PREBUILT) {
        Ok(value) if value == "none" => {
            return Err(format!("mmtrace was built with {PREBUILT}=none"));
        }
        Ok(path) if !path.is_empty() => {
            println!("cargo::rerun-if-changed={path}");
            return read(Path::new(&path));
        }
        _ => {}
    }
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return Err("Go programs are recorded on linux/amd64 alone so far".to_owned());
    }
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().ok_or("the package has no workspace")?;
    let manifest = root.join("recorder/go/Cargo.toml");
    if !manifest.exists() {
        return Err("mmtrace was built outside of its workspace".to_owned());
    }
    for source in ["recorder/go", "recorder/src", "recorder/Cargo.toml", "format/src"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    // Beside the profiles of the outer build, so that all of them share it: OUT_DIR is
    // TARGET/PROFILE/build/PACKAGE/out.
    let target = output.ancestors().nth(4).unwrap_or(output).join("go-runtime");
    // What the outer build has downloaded is enough, mostly.
    build(&manifest, &target, &["--offline"]).or_else(|_| build(&manifest, &target, &[]))?;
    read(&target.join("go-runtime/libmmtrace_go_runtime.a"))
}

fn build(manifest: &Path, target: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    cargo.args(["build", "--quiet", "--profile", "go-runtime", "--manifest-path"]).arg(manifest);
    cargo.arg("--target-dir").arg(target).args(arguments);
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let error = text.lines().find(|line| line.starts_with("error")).unwrap_or("no error was named");
    println!("cargo::warning=the Go runtime could not be built: {error}");
    Err(format!("its library could not be built together with mmtrace: {error}"))
}

/// Names the content: another library gets another name.
fn hash(bytes: &[u8]) -> u64 {
    // Its keys are fixed; the result is only ever compared with that of the same build.
    #[expect(deprecated, reason = "the one hasher of std with a stated algorithm")]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
