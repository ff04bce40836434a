//! The standard library for WebAssembly: whether this toolchain has it, and getting it if not.

use std::{
    env,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::BuildError;

/// Where cargo and rustc come from.
pub(super) const RUST_FROM: &str = "get Rust from https://rustup.rs or your system's packages";
/// What policies are built for: its standard library imports nothing.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// What has it where Rust is the system's own.
pub(super) const PACKAGES: &str = "libstd-rust-dev-wasm32 on Debian and Ubuntu, rust-std-static-wasm32-unknown-unknown on \
                                   Fedora and RHEL, rust-wasm on Arch Linux and Alpine";

/// The programs to run, each found in `PATH` if it is not a path itself.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) cargo: String,
    pub(super) rustc: String,
    pub(super) rustup: String,
}

// === impl Tools ===

impl Tools {
    /// Cargo tells its children which cargo and rustc are theirs.
    pub(super) fn from_env() -> Self {
        let of = |variable: &str| env::var(variable).ok().filter(|name| !name.is_empty());
        Self {
            cargo: of("CARGO").unwrap_or_else(|| "cargo".to_owned()),
            rustc: of("RUSTC").unwrap_or_else(|| "rustc".to_owned()),
            rustup: "rustup".to_owned(),
        }
    }
}

/// That `program` is older than `oldest`, where that is so: asked by `arguments` once it has failed, when its own words may say
/// anything. `from` is where to get another.
pub(super) fn too_old(
    program: &Path,
    arguments: &[&str],
    dir: &Path,
    oldest: (u32, u32),
    from: &str,
) -> Option<BuildError> {
    let answer = Command::new(program).args(arguments).current_dir(dir).stdin(Stdio::null()).output().ok()?;
    let found = version(&String::from_utf8_lossy(&answer.stdout)).filter(|found| *found < oldest)?;
    let (program, version) = (program.display().to_string(), format!("{}.{}", found.0, found.1));
    Some(BuildError::Old { program, version, how: from.to_owned() })
}

/// The first two numbers of a version, in `go version go1.24.3 linux/amd64`, `v20.19.0` or `Python 3.11.2`.
fn version(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let (first, rest) = text[start..].split_once('.')?;
    let second = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// Makes sure that the toolchain which cargo would use in `dir` can build for [`TARGET`].
pub(super) fn ensure_target(dir: &Path, tools: &Tools) -> Result<(), BuildError> {
    let folder = library_folder(dir, &tools.rustc)?;
    if has_core(&folder) {
        return Ok(());
    }
    let rustup = Command::new(&tools.rustup)
        .args(["target", "add", TARGET])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match rustup {
        Ok(status) if status.success() && has_core(&folder) => Ok(()),
        Ok(status) if status.success() => Err(BuildError::OtherToolchain { rustc: tools.rustc.clone() }),
        Ok(status) => Err(BuildError::Rustup { status }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(BuildError::NoTarget),
        Err(source) => Err(BuildError::Run { program: tools.rustup.clone(), source }),
    }
}

fn library_folder(dir: &Path, rustc: &str) -> Result<PathBuf, BuildError> {
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| BuildError::not_started(rustc.as_ref(), RUST_FROM, source))?;
    let path = String::from_utf8(output.stdout).ok().filter(|_| output.status.success());
    let path = path.ok_or_else(|| BuildError::Unintelligible {
        program: "rustc",
        why: format!("--print target-libdir ended with {}", output.status),
    })?;
    Ok(PathBuf::from(path.trim_end()))
}

/// rustc names the folder whether or not there is anything in it.
fn has_core(folder: &Path) -> bool {
    let Ok(mut entries) = folder.read_dir() else { return false };
    entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libcore-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rustc: &str, rustup: &str, expected: Result<(), &str>) {
        let tools = Tools { cargo: "cargo".to_owned(), rustc: rustc.to_owned(), rustup: rustup.to_owned() };
        let found = ensure_target(Path::new("."), &tools).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    /// `echo` stands for a program that says its version.
    #[test]
    fn a_program_that_is_too_old_is_told() {
        #[track_caller]
        fn check(answer: &str, oldest: (u32, u32), expected: Option<&str>) {
            let found = too_old("echo".as_ref(), &[answer], Path::new("."), oldest, "get another");
            let expected = expected.map(|version| format!("echo is too old ({version}): get another"));
            assert_eq!(found.map(|error| error.to_string()), expected, "{answer}");
        }
        check("go version go1.19.8 linux/amd64", (1, 24), Some("1.19"));
        check("go version go1.24 linux/amd64", (1, 24), None);
        check("go version go1.24rc1 linux/amd64", (1, 24), None);
        check("v18.19.1", (20, 0), Some("18.19"));
        check("v20.0.0", (20, 0), None);
        check("Python 3.9.18", (3, 11), Some("3.9"));
        check("Python 3.13.0a1", (3, 11), None);
        // Of whatever says no version, its own words have to do.
        check("devel +0a1b2c3", (1, 24), None);
        check("", (1, 24), None);
        assert!(too_old("no-such-program".as_ref(), &[], Path::new("."), (1, 0), "").is_none());
    }

    /// `echo` stands for a rustc whose folder has nothing in it.
    #[test]
    fn a_missing_target_is_installed_or_told() {
        check("rustc", "no-such-rustup", Ok(()));
        check("echo", "true", Err("for its own toolchains, and echo is of none of them: put rustup's folder"));
        let by_hand =
            "wasm32-unknown-unknown (exit status: 1): run `rustup target add wasm32-unknown-unknown` where it can";
        check("echo", "false", Err(by_hand));
        check(
            "echo",
            "no-such-rustup",
            Err("rustup, which would install it, was not found: either get Rust by rustup"),
        );
        check("echo", "no-such-rustup", Err("or install your system's package: libstd-rust-dev-wasm32 on Debian"));
        check("false", "true", Err("rustc gave an answer that is not understood"));
        check("no-such-rustc", "true", Err("no-such-rustc is not installed: get Rust from https://rustup.rs"));
        check("/", "true", Err("cannot run /"));
    }
}
