//! Go, asked and driven: the module that it makes for WASI preview 1, and an answer to all that it asks of WASI.
//!
//! Go has no target without an operating system, so its runtime imports clocks, randomness and files whether or not a
//! policy uses them. What it imports is answered inside the component ([`wasi`]), so that nothing is left to ask the
//! host for. The interfaces of the contract are added to the module here: Go knows them only as names of functions.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    process::{Command, Stdio},
};

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{BuildError, CONTRACT, FOLDER, Made, toolchain};
use crate::cli::policy::{
    encode::{About, Code, EncodeError},
    progress::Step,
};

mod wasi;

const PROGRAM: &str = "go";
/// Of which [`PROGRAM_FROM`] speaks: the first with `go:wasmexport`.
const OLDEST: (u32, u32) = (1, 24);
const PROGRAM_FROM: &str = "get Go 1.24 or newer from https://go.dev/dl or your system's packages";
/// Beside `go.mod`, which has no room for it: the policy's name, version, description and license.
const ABOUT_FILE: &str = "policy.json";
/// What is not imported is left out, so one world serves all.
const WORLD: &str = "policy-with-capabilities";

/// Builds the Go module in `dir`.
pub(super) fn make(dir: &Path) -> Result<Made, BuildError> {
    let about = about(dir)?;
    let scratch = tempfile::tempdir();
    let scratch = scratch.map_err(|source| BuildError::File { path: "a folder for temporary files".into(), source })?;
    let module = scratch.path().join("policy.wasm");
    compile(dir, &module)?;
    let mut bytes = fs::read(&module).map_err(|source| BuildError::File { path: module, source })?;
    add_contract(&mut bytes)
        .map_err(|error| BuildError::Encode { name: about.name.clone(), source: EncodeError::Module(error.into()) })?;
    let code = Code::Module { bytes, adapter: Some((wasi::NAME, wasi::module())) };
    Ok(Made { about, code, folder: dir.join("target").join(FOLDER) })
}

fn about(dir: &Path) -> Result<About, BuildError> {
    let path = dir.join(ABOUT_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BuildError::NotAProject {
                dir: dir.to_owned(),
                why: "it has no policy.json with its name and version",
            });
        }
        Err(source) => return Err(BuildError::File { path, source }),
    };
    serde_json::from_slice(&text)
        .map_err(|error| BuildError::File { path, source: std::io::Error::new(ErrorKind::InvalidData, error) })
}

/// Says what takes long: `go build` itself says nothing.
fn compile(dir: &Path, module: &Path) -> Result<(), BuildError> {
    let _step = Step::start("building with go");
    match command(dir, module).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let old = toolchain::too_old(PROGRAM.as_ref(), &["version"], dir, OLDEST, PROGRAM_FROM);
            Err(old.unwrap_or_else(|| BuildError::Tool { tool: "go build".to_owned(), status }))
        }
        Err(source) => Err(BuildError::not_started(PROGRAM.as_ref(), PROGRAM_FROM, source)),
    }
}

fn command(dir: &Path, module: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -buildid=", "-o"])
        .arg(module)
        .arg(".")
        .current_dir(dir)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")])
        // Flags meant for this machine do not fit WebAssembly, or end up in it. Without a value those of `go env -w` would count.
        .env("GOFLAGS", "-buildvcs=false")
        .env_remove("GOEXPERIMENT")
        .stdin(Stdio::null())
        // Nothing of Go's belongs to the answer.
        .stdout(Stdio::null());
    command
}

/// Says in the module which of its imports and exports are the contract's.
fn add_contract(module: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(about: Option<&str>, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("go.mod"), "module example.com/a\n\ngo 1.24\n").expect("a file");
        if let Some(about) = about {
            fs::write(folder.path().join(ABOUT_FILE), about).expect("a file");
        }
        let error = make(folder.path()).map(drop).expect_err("it does not build");
        let error = format!("{:#}", anyhow::Error::from(error));
        assert!(error.contains(expected), "{error}");
    }

    /// Go takes those that its own file has where the variable has no value ("go help environment").
    #[test]
    fn flags_of_the_machine_do_not_count() {
        let command = command(Path::new("."), Path::new("policy.wasm"));
        let flags = command.get_envs().find(|(name, _)| *name == "GOFLAGS").and_then(|(_, flags)| flags);
        assert!(flags.is_some_and(|flags| !flags.is_empty()), "{flags:?}");
    }

    #[test]
    fn folders_that_say_too_little() {
        check(None, "it has no policy.json with its name and version");
        check(Some("{\"name\": \"a\"}"), "missing field `version`");
        check(Some("{\"name\": \"a\", \"version\": \"1.0.0\", \"licence\": \"MIT\"}"), "unknown field `licence`");
    }
}
