//! Policies built by the real `herald policy build`, once per process.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};

use crate::herald::{binary, forget_package, repository};

/// Where policies lie, in the order in which a name is looked up.
const PLACES: [&str; 2] = ["policies", "tests/policies"];

/// Builds the policy `name` of this repository and gives its component's path.
///
/// # Errors
///
/// When there is no such policy, or it does not build; the compiler's words are on stderr then.
pub fn build(name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    // Held while it builds: whoever else wants a policy has to wait for cargo's lock anyway.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let folder = PLACES.iter().map(|place| repository().join(place).join(name)).find(|path| path.is_dir());
    let folder = folder.with_context(|| format!("no policy is called {name}"))?;
    let binary = binary()?;
    let output = binary.with_file_name("policies-of-tests").join(format!("{name}-{}.wasm", std::process::id()));
    std::fs::create_dir_all(output.parent().context("a file has a folder")?)?;
    let mut command = Command::new(binary);
    forget_package(&mut command);
    let status = command
        .args(["policy", "build"])
        .arg(folder)
        .arg("--output")
        .arg(&output)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("herald cannot be started")?;
    ensure!(status.success(), "the policy {name} does not build");
    built.insert(name.to_owned(), output.clone());
    Ok(output)
}
