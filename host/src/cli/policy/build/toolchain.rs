//! The standard library for WebAssembly: whether this toolchain has it, and getting it if not.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{BuildError, program};

/// What policies are built for: its standard library imports nothing.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that the toolchain which cargo would use in `dir` can build for [`TARGET`].
pub(super) fn ensure_target(dir: &Path) -> Result<(), BuildError> {
    if has_core(&library_folder(dir)?) {
        return Ok(());
    }
    let status = Command::new("rustup").args(["target", "add", TARGET]).current_dir(dir).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(BuildError::Rustup { status }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(BuildError::NoTarget),
        Err(source) => Err(BuildError::Run { program: "rustup".to_owned(), source }),
    }
}

fn library_folder(dir: &Path) -> Result<PathBuf, BuildError> {
    let rustc = program("RUSTC", "rustc");
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| BuildError::Run { program: rustc, source })?;
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
