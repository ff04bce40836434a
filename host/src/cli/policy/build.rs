//! `herald policy build`: a policy's project, in any language there is an SDK for, becomes one component file.
//!
//! `schema.json` and `examples.yaml` beside the project's manifest go into it. What the language's own toolchain makes
//! (a module or a component) is wrapped, checked and described here, in one way for all:
//!
//! | language | made by | and then |
//! |---|---|---|
//! | Rust | cargo, for `wasm32-unknown-unknown`, whose standard library imports nothing from a host | wrapped into a component |
//! | Go | go, for `wasip1` | what it imports of WASI is answered inside the component, deterministically |
//! | JavaScript, Python | the SDK's own driver, with componentize-js or componentize-py | |
//!
//! A Rust component depends on the sources and the toolchain alone: paths of this machine are mapped away and the
//! caller's `RUSTFLAGS` do not apply.

use std::{
    fs,
    io::{self, Write},
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

pub use super::encode::EncodeError;
use super::{
    encode::{self, About, Code},
    language::Language,
};
use crate::{
    cli::verify::Plain,
    config::read_document,
    policy::{cases::Document, sections::Sections},
};

mod cargo;
mod driver;
mod go;
mod toolchain;

/// Build a policy's project into the component that the server loads.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Folder of the policy's project: its manifest tells the language.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to write the component. Default: target/policies/NAME.wasm in the project (cargo's target folder for Rust).
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  herald policy build policies/oncall
  herald policy build . --output /etc/herald/policies/oncall.wasm";

/// A component that was built, or was up to date already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// The policy's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The component's file.
    pub output: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// SHA-256 of the file in hexadecimal, as `sha256` in the server's configuration takes it.
    pub sha256: String,
    /// The interfaces whose functions it calls, e.g. `herald:policy/log@0.1.0`.
    pub imports: Vec<String>,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo refused or the crate does not compile; cargo has said why on stderr.
    #[error("cargo {command} failed ({status})")]
    Cargo {
        /// The subcommand: `build` or `metadata`.
        command: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// The module does not become a policy's component.
    #[error("{name} is not a policy")]
    Encode {
        /// The policy's name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: EncodeError,
    },
    /// The examples beside the manifest are no cases.
    #[error("{}: {what}", path.display())]
    Examples {
        /// Their file.
        path: PathBuf,
        /// What is wrong with them.
        what: String,
    },
    /// The standard library for WebAssembly is missing, and there is no rustup to ask.
    #[error(
        "the Rust target {target} is not installed, and rustup, which would install it, was not found: either get Rust by rustup \
         (https://rustup.rs) and run `rustup target add {target}`, or install your system's package: {}",
        toolchain::PACKAGES,
        target = toolchain::TARGET
    )]
    NoTarget,
    /// rustup has installed the target, and another toolchain than its own builds.
    #[error(
        "rustup has installed the Rust target {target} for its own toolchains, and {rustc} is of none of them: put rustup's folder \
         (~/.cargo/bin) first in PATH, or install your system's package: {}",
        toolchain::PACKAGES,
        target = toolchain::TARGET
    )]
    OtherToolchain {
        /// The compiler that would be run.
        rustc: String,
    },
    /// What the language needs is not on this machine.
    #[error("{what} is not installed: {how}")]
    Missing {
        /// The program or package.
        what: String,
        /// What to do about it.
        how: String,
    },
    /// A program that is needed is of a version from before what is needed of it.
    #[error("{program} is too old ({version}): {how}")]
    Old {
        /// The program.
        program: String,
        /// Its version.
        version: String,
        /// What to do about it.
        how: String,
    },
    /// A program that is needed does not start.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder holds no project that makes a component.
    #[error("{}: not a policy's project: {why}", dir.display())]
    NotAProject {
        /// The folder asked for.
        dir: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// The language's toolchain refused the project; it has said why on stderr.
    #[error("{tool} failed ({status})")]
    Tool {
        /// The program, or the SDK's part that drives it.
        tool: String,
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// A program answered something unknown: a version that is not supported.
    #[error("{program} gave an answer that is not understood: {why}")]
    Unintelligible {
        /// The program.
        program: &'static str,
        /// What is missing in the answer.
        why: String,
    },
    /// rustup could not install the target; it has said why on stderr.
    #[error(
        "rustup could not install the Rust target {target} ({status}): run `rustup target add {target}` where it can",
        target = toolchain::TARGET
    )]
    Rustup {
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

// === impl BuildError ===

impl BuildError {
    /// That `program` does not start: `from` is where to get it if it is missing.
    fn not_started(program: &Path, from: &str, source: io::Error) -> Self {
        let program = program.display().to_string();
        if source.kind() == io::ErrorKind::NotFound {
            return Self::Missing { what: program, how: from.to_owned() };
        }
        Self::Run { program, source }
    }
}

/// What a toolchain that knows nothing of it is given.
const CONTRACT: &str = include_str!("../../../../wit/v0.1.0/policy.wit");
/// Below a target folder: where components go.
const FOLDER: &str = "policies";
/// Beside a policy's manifest: a JSON Schema of its settings. It goes into the component, and the server holds
/// settings to it.
const SCHEMA_FILE: &str = "schema.json";
/// Beside it too: cases that the component carries, and that every server runs before the policy goes live.
const EXAMPLES_FILE: &str = "examples.yaml";

// === impl Command ===

impl Command {
    /// Builds the component and prints what it is.
    ///
    /// # Errors
    ///
    /// A [`BuildError`], or the answer cannot be written.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let built = build(&self.dir, self.output.as_deref())?;
        built.write(out).context("cannot write the answer")?;
        Ok(ExitCode::SUCCESS)
    }
}

// === impl Built ===

impl Built {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let imports = if self.imports.is_empty() { "nothing".to_owned() } else { self.imports.join(", ") };
        writeln!(out, "policy   {} {}", Plain(&self.name), Plain(&self.version))?;
        writeln!(out, "imports  {imports}")?;
        writeln!(out, "size     {} bytes", self.size)?;
        writeln!(out, "sha256   {}", self.sha256)?;
        writeln!(out, "file     {}", self.output.display())
    }
}

/// What a language's toolchain has made.
struct Made {
    about: About,
    code: Code,
    /// Where its component goes if nobody says otherwise.
    folder: PathBuf,
}

/// Builds the policy whose project is in `dir` and writes its component to `output`, by default
/// `policies/<name>.wasm` in its target folder.
///
/// The toolchain's progress goes to stderr. When nothing has changed, the file is left untouched.
///
/// # Errors
///
/// [`BuildError`]; `output` is then as it was.
pub fn build(dir: &Path, output: Option<&Path>) -> Result<Built, BuildError> {
    let language = Language::of(dir).map_err(|why| BuildError::NotAProject { dir: dir.to_owned(), why })?;
    if let Some(folder) = output.filter(|path| path.is_dir()) {
        let source = io::Error::new(io::ErrorKind::IsADirectory, "a folder: name the component's file");
        return Err(BuildError::File { path: folder.to_owned(), source });
    }
    let Made { about, code, folder } = match language {
        Language::Go => go::make(dir),
        Language::Js => driver::make(&driver::JAVASCRIPT, dir),
        Language::Python => driver::make(&driver::PYTHON, dir),
        Language::Rust => cargo::make(dir),
    }?;
    let (schema, examples) = (read_if_there(&dir.join(SCHEMA_FILE))?, examples(&dir.join(EXAMPLES_FILE))?);
    let sections = Sections { schema: schema.as_deref(), examples: examples.as_deref() };
    let encoded = encode::component(code, &about, &sections);
    let encode::Component { bytes, imports } =
        encoded.map_err(|source| BuildError::Encode { name: about.name.clone(), source })?;
    let output = match output {
        Some(path) => path.to_owned(),
        None => folder.join(file_of(&about.name).map_err(|why| BuildError::NotAProject { dir: dir.to_owned(), why })?),
    };
    write_if_changed(&output, &bytes).map_err(|source| BuildError::File { path: output.clone(), source })?;
    Ok(Built {
        name: about.name,
        version: about.version,
        output,
        size: bytes.len(),
        sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        imports,
    })
}

/// The file of a policy's component, below the folder of all of them. A name may have a scope: `@acme/on-call`.
fn file_of(name: &str) -> Result<PathBuf, &'static str> {
    let file = PathBuf::from(format!("{name}.wasm"));
    let is_plain = !name.is_empty() && !name.contains(char::is_control);
    let below = is_plain && file.components().all(|part| matches!(part, Component::Normal(_)));
    below.then_some(file).ok_or("its name is none that a file can have: change it, or say where with --output")
}

/// The bytes of a file; `None` if it is not there.
fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BuildError::File { path: path.to_owned(), source }),
    }
}

/// The cases in `path` as JSON, which is what a server reads; `None` if there are none.
fn examples(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    let Some(bytes) = read_if_there(path)? else { return Ok(None) };
    let wrong = |what: String| BuildError::Examples { path: path.to_owned(), what };
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    // Read as cases first: these errors name a line.
    let document: Document = read_document(&text).map_err(wrong)?;
    if document.is_empty() {
        return Err(wrong("there are no cases in it".to_owned()));
    }
    let value: serde_json::Value = read_document(&text).map_err(wrong)?;
    Ok(Some(value.to_string().into_bytes()))
}

/// Replaces the file in one step, so that a server that watches it never reads half of it. A link stays one, to a file that is
/// replaced; what is no file is written to: in the place of `/dev/null` there would be one for everybody.
fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &match fs::metadata(path) {
        Ok(there) if !there.is_file() => return fs::write(path, bytes),
        Ok(_) => path.canonicalize()?,
        Err(_) => path.to_owned(),
    };
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    beside(path, bytes)?.persist(path)?;
    Ok(())
}

/// A file with these bytes that can take the place of `path` in one step. Makes the folder if need be.
pub(super) fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().permissions(open_permissions()).tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// A component is no secret; a temporary file's own 0600 would keep the server's user out.
fn open_permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[cfg(test)]
mod tests;
