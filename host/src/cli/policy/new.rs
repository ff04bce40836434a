//! `herald policy new`: a policy's crate to start from, whole and with passing cases.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

/// Write a new policy's crate, with settings schema, examples and cases.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Folder of the new crate; its last part is the policy's name.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Language to write it in.
    #[arg(long, default_value = "rust", value_name = "LANGUAGE")]
    lang: Language,
    /// Folder of the crate `herald-policy`. Default: `sdk/rust` of the repository that DIR is in.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// Languages there is an SDK for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Language {
    /// Rust
    Rust,
}

const EXAMPLES: &str = "\
Examples:
  herald policy new policies/contractors
  herald policy new ../contractors --sdk sdk/rust";

/// The files, with `{name}` and `{sdk}` where those go.
const RUST: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("new/rust/manifest")),
    ("README.md", include_str!("new/rust/readme")),
    ("cases.yaml", include_str!("new/rust/cases")),
    ("examples.yaml", include_str!("new/rust/examples")),
    ("schema.json", include_str!("new/rust/schema")),
    ("src/lib.rs", include_str!("new/rust/code")),
];

// === impl Command ===

impl Command {
    /// Writes the crate and says what to do next.
    ///
    /// # Errors
    ///
    /// When the folder is not empty, its name is no policy's, or the SDK is nowhere to be found.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let name = self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let good = plain && name.len() <= 63 && name.starts_with(|first: char| first.is_ascii_lowercase());
        ensure!(good, "{name:?} is no name for a policy: lowercase letters, digits and dashes, a letter first");
        let there = fs::read_dir(&self.dir).map(|mut entries| entries.next().is_some());
        ensure!(!there.unwrap_or(false), "{}: there is something in it", self.dir.display());
        fs::create_dir_all(self.dir.join("src")).with_context(|| self.dir.display().to_string())?;
        let sdk = self.sdk()?;
        let Language::Rust = self.lang;
        for (file, text) in RUST {
            let text = text.replace("{name}", name).replace("{sdk}", &sdk.display().to_string());
            write_new(&self.dir.join(file), &text)?;
        }
        let dir = self.dir.display();
        writeln!(out, "wrote     {dir}")?;
        writeln!(out, "next      herald policy build {dir}")?;
        writeln!(out, "          herald policy test {dir}/target/policies/{name}.wasm {dir}/cases.yaml")?;
        Ok(ExitCode::SUCCESS)
    }

    /// The SDK's folder, absolute.
    fn sdk(&self) -> anyhow::Result<PathBuf> {
        let is_sdk = |dir: &Path| {
            let manifest = fs::read_to_string(dir.join("Cargo.toml"));
            manifest.is_ok_and(|text| text.lines().any(|line| line.trim() == "name = \"herald-policy\""))
        };
        if let Some(dir) = &self.sdk {
            ensure!(is_sdk(dir), "{}: not the crate herald-policy", dir.display());
            return dir.canonicalize().with_context(|| dir.display().to_string());
        }
        let here = self.dir.canonicalize().or_else(|_| env::current_dir()).context("no current folder")?;
        match here.ancestors().map(|dir| dir.join("sdk/rust")).find(|dir| is_sdk(dir)) {
            Some(dir) => Ok(dir),
            None => bail!(
                "where is the crate herald-policy? Give its folder with --sdk: it is sdk/rust of Herald's repository"
            ),
        }
    }
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> io::Result<()> { fs::File::create_new(path)?.write_all(text.as_bytes()) };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_that_will_not_do() {
        #[track_caller]
        fn check(dir: &Path, sdk: Option<&str>, expected: &str) {
            let command = Command { dir: dir.to_owned(), lang: Language::Rust, sdk: sdk.map(PathBuf::from) };
            let error = command.run(&mut Vec::new()).expect_err("it will not do").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        check(&folder.path().join("Dev"), None, "no name for a policy");
        check(&folder.path().join("7"), None, "no name for a policy");
        fs::create_dir_all(folder.path().join("full/x")).expect("made");
        check(&folder.path().join("full"), None, "there is something in it");
        check(&folder.path().join("a"), None, "Give its folder with --sdk");
        check(&folder.path().join("b"), Some("/"), "not the crate herald-policy");
    }

    /// Builds in a folder of this repository's own, so only the first run compiles anything.
    #[test]
    fn a_new_policy_builds_and_passes_its_cases() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let place = root.join("target/new-policies");
        fs::create_dir_all(&place).expect("made");
        let dir = place.join("contractors");
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("removed");
        }
        let command = Command { dir: dir.clone(), lang: Language::Rust, sdk: Some(root.join("sdk/rust")) };
        command.run(&mut Vec::new()).expect("written");
        // The versions that are here already.
        fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).expect("copied");
        let component = super::super::build::build(&dir, None).expect("it builds").output;
        let test = super::super::test::Command { component, cases: dir.join("cases.yaml"), junit: None };
        let mut out = Vec::new();
        assert_eq!(test.run(&mut out).expect("it runs"), ExitCode::SUCCESS, "{}", String::from_utf8_lossy(&out));
    }
}
