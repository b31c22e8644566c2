//! Puts the runtime of recorded Go programs into the binary, so that it is one self-contained file.
//!
//! The package `mmtrace-go-runtime` is a C library with a profile of its own (nothing may unwind into
//! Go), which no dependency can ask for: cargo builds it once more here, in a folder of this build.
//! Where it cannot be built, `mmtrace go` says why.
//!
//! `MMTRACE_GO_RUNTIME=FILE` brings a library that was built before; `none` leaves it out.

use std::env;
use std::ffi::{OsStr, OsString};
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
    println!("cargo::rerun-if-env-changed=CC");
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let packed = output.join("go-runtime.a.zst");
    match library(&output) {
        Ok(library) => {
            let library = closed(&library, &output).unwrap_or_else(|problem| {
                println!(
                    "cargo::warning=the Go runtime keeps its names of zstd and of Rust: Go programs that \
                     link those by cgo cannot be recorded ({problem})"
                );
                library
            });
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

/// The library with no names but those that Go calls, and nothing but what these need.
///
/// A static library shows the names of all that it is made of to whatever it is linked with: a program
/// with a zstd of its own, or with a library that is written in Rust, would have them twice.
fn closed(library: &[u8], output: &Path) -> Result<Vec<u8>, String> {
    let folder = output.join("go-runtime");
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    // An archiver adds to what is there. At first there is nothing.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(problem)?;
    let [whole, object, archive] = ["whole.a", "runtime.o", "runtime.a"].map(|n| folder.join(n));
    fs::write(&whole, library).map_err(problem)?;
    let entries: Vec<&str> = names(library).into_iter().filter(|name| is_entry(name)).collect();
    if entries.is_empty() {
        return Err("the library has no list of its names".to_owned());
    }
    let compiler = compiler();

    let mut link = Command::new(&compiler);
    // Without groups: of two that have one name the linker drops one, with what is local in it.
    link.args(["-r", "-nostdlib", "-Wl,--gc-sections", "-Wl,--force-group-allocation"]);
    link.args(entries.iter().map(|name| format!("-Wl,--undefined={name}")));
    run(link.arg("-o").arg(&object).arg(&whole))?;

    let mut hide = Command::new(tool(&compiler, "objcopy"));
    hide.args(["--strip-debug", "--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
    hide.arg("--wildcard");
    hide.args(ENTRIES.map(|beginning| format!("--keep-global-symbol={beginning}*")));
    run(hide.arg(&object))?;

    run(Command::new(tool(&compiler, "ar")).arg("rcsD").arg(&archive).arg(&object))?;
    let closed = fs::read(&archive).map_err(problem)?;
    // It takes room, and is made anew whenever this runs.
    let _ = fs::remove_dir_all(&folder);
    Ok(closed)
}

/// How the names begin that Go's assembly and the overlay call.
const ENTRIES: [&str; 2] = ["__tsan_", "__mmtrace_go_"];

fn is_entry(name: &str) -> bool {
    ENTRIES.iter().any(|beginning| name.starts_with(beginning))
}

/// The names in the index of an archive: its first member, in which they follow their count and as many
/// places, each of them four bytes, big end first.
fn names(archive: &[u8]) -> Vec<&str> {
    const MAGIC_LEN: usize = 8;
    const HEADER_LEN: usize = 60;
    let find = || {
        let header = archive.get(MAGIC_LEN..MAGIC_LEN + HEADER_LEN)?;
        let len =
            std::str::from_utf8(header.get(48..58)?).ok()?.trim_end().parse::<usize>().ok()?;
        let index = archive.get(MAGIC_LEN + HEADER_LEN..)?.get(..len)?;
        let count = u32::from_be_bytes(index.get(..4)?.try_into().ok()?) as usize;
        header.starts_with(b"/ ").then_some(index.get(4 + 4 * count..)?)
    };
    let names = find().unwrap_or_default().split(|&byte| byte == 0);
    names.filter_map(|name| std::str::from_utf8(name).ok()).collect()
}

/// A C compiler, which knows where the linker is. That of the zstd in this library was found like it.
fn compiler() -> OsString {
    let is_one = |name: &OsString| Command::new(name).arg("--version").output().is_ok();
    env::var_os("CC").filter(is_one).unwrap_or_else(|| "cc".into())
}

/// A program of the binutils, as the C compiler finds it.
fn tool(compiler: &OsStr, name: &str) -> PathBuf {
    let said = Command::new(compiler).arg(format!("-print-prog-name={name}")).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| name.to_owned()).into()
}

/// Runs a program to its end; what it complained of if it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", text.lines().next().unwrap_or("it failed")))
}

/// Names the content: another library gets another name.
fn hash(bytes: &[u8]) -> u64 {
    // Its keys are fixed; the result is only ever compared with that of the same build.
    #[expect(deprecated, reason = "the one hasher of std with a stated algorithm")]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
