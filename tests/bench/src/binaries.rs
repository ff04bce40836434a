//! Binaries under test: built here by a nested cargo in the release profile, so that one command does
//! everything and nothing stale is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ::tests::herald::{cargo, forget_package, repository};
use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::output;

/// Where the release binaries are.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    /// The product.
    pub(crate) herald: PathBuf,
    /// The least a webhook can cost.
    pub(crate) floor: PathBuf,
    /// The least an exec plugin can cost.
    pub(crate) floor_token: PathBuf,
    /// Where they were found, if they were not built.
    folder: Option<PathBuf>,
}

/// The part of cargo's JSON messages that names an executable
/// (The Cargo Book, "External tools", "Artifact messages").
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

// === impl Binaries ===

impl Binaries {
    /// Those in `folder`, or else builds all three; quick when nothing has changed.
    ///
    /// # Errors
    ///
    /// When one is not in the folder, or cargo fails or does not name the binaries it made.
    pub(crate) fn find_or_build(folder: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(folder) = folder {
            return Self::find(folder);
        }
        // No package is named, so that features are those of the whole workspace, as in `cargo figures` itself.
        let built = release_build(&["--bins"])?;
        let find = |name: &str| {
            let found = built.iter().find(|(built, _)| built == name);
            found.map(|(_, path)| path.clone()).with_context(|| format!("cargo built no binary named {name}"))
        };
        let [herald, floor, floor_token] = NAMES.map(find);
        Ok(Self { herald: herald?, floor: floor?, floor_token: floor_token?, folder: None })
    }

    /// Those in `folder`. All of them have to be there, whatever is measured: what is missing would else be noticed by a part of a
    /// run that comes an hour later.
    fn find(folder: &Path) -> anyhow::Result<Self> {
        // Some commands are started in other folders.
        let folder = folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?;
        let missing: Vec<&str> = NAMES.into_iter().filter(|name| !folder.join(name).is_file()).collect();
        ensure!(
            missing.is_empty(),
            "{} has no {}; `cargo build --release --bins` makes them in target/release",
            folder.display(),
            missing.join(", ")
        );
        let [herald, floor, floor_token] = NAMES.map(|name| folder.join(name));
        Ok(Self { herald, floor, floor_token, folder: Some(folder) })
    }

    /// Builds the policy in `folder` of the repository, or elsewhere, into `output`, unless a file of that name is beside
    /// binaries that were found.
    ///
    /// # Errors
    ///
    /// When `herald policy build` fails, or the file cannot be copied.
    pub(crate) fn build_policy(&self, folder: impl AsRef<Path>, output: &Path) -> anyhow::Result<()> {
        let beside = self.folder.as_deref().zip(output.file_name()).map(|(folder, name)| folder.join(name));
        if let Some(made) = beside.filter(|file| file.exists()) {
            fs::copy(&made, output).with_context(|| format!("cannot copy {}", made.display()))?;
            return Ok(());
        }
        let folder = folder.as_ref();
        output::progress(format_args!("building {}", folder.display()));
        let mut command = Command::new(&self.herald);
        forget_package(&mut command);
        let status = command
            .args(["policy", "build"])
            .arg(folder)
            .arg("--output")
            .arg(output)
            .current_dir(repository())
            .stdout(Stdio::null())
            .status()
            .context("cannot start herald policy build")?;
        ensure!(status.success(), "herald policy build: {status}");
        Ok(())
    }
}

/// Builds binaries in the release profile, each package by itself, so that Herald gets the features that it is
/// shipped with and no more; gives their names and files.
fn release_build(what: &[&str]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    output::progress(format_args!("cargo build --release {}", what.join(" ")));
    let output = cargo()
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .args(what)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo build --release: {}", output.status);
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Message>();
    let built = messages.filter_map(|message| match message {
        Ok(Message { executable: Some(path), target: Some(target) }) => Some(Ok((target.name, path))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    built.collect::<Result<_, _>>().context("cannot read cargo's messages")
}

/// What is measured, as cargo names it.
const NAMES: [&str; 3] = ["herald", "floor", "floor-token"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_before_anything_is_measured() {
        let folder = tempfile::tempdir().expect("a folder");
        let find = || Binaries::find_or_build(Some(folder.path())).map(drop).map_err(|error| error.to_string());
        for (nth, name) in NAMES.into_iter().enumerate() {
            let told = find().expect_err("one is missing");
            assert!(told.contains(&format!("has no {};", NAMES[nth..].join(", "))), "{told}");
            fs::write(folder.path().join(name), "").expect("a file");
        }
        assert_eq!(find(), Ok(()));
        let gone = Binaries::find_or_build(Some(&folder.path().join("gone"))).map(drop);
        assert!(gone.expect_err("there is no folder").to_string().contains("gone"));
    }
}
