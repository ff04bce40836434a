//! Cargo, asked and driven: which package is in a folder, and its WebAssembly module.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    BuildError, FOLDER, Made,
    toolchain::{self, RUST_FROM, TARGET, Tools},
};
use crate::cli::policy::encode::{About, Code};

/// The part of `cargo metadata` that matters here (The Cargo Book, "cargo metadata").
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    description: Option<String>,
    license: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug, Deserialize)]
struct Dependency {
    name: String,
    /// Its folder, if it is on this machine.
    path: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// One line of `cargo build --message-format=json` (The Cargo Book, "External tools").
#[derive(Debug, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        manifest_path: PathBuf,
        target: Target,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

/// The profile that a workspace may define for its policies.
const PROFILE: &str = "policy";
/// What the profile is where a workspace does not: small code, and no unwinding, which traps anyway.
const PROFILE_DEFAULTS: [&str; 6] = [
    "profile.policy.inherits=\"release\"",
    "profile.policy.opt-level=\"s\"",
    "profile.policy.lto=\"fat\"",
    "profile.policy.codegen-units=1",
    "profile.policy.panic=\"abort\"",
    "profile.policy.strip=true",
];

/// Builds the crate in `dir`. Installs the Rust target if it is missing.
pub(super) fn make(dir: &Path) -> Result<Made, BuildError> {
    // Two processes that only look; side by side they cost the time of the slower one.
    let tools = Tools::from_env();
    let (target, metadata) = thread::scope(|scope| {
        let target = scope.spawn(|| toolchain::ensure_target(dir, &tools));
        let metadata = metadata(dir, &tools.cargo);
        (target.join().expect("ensure_target does not panic"), metadata)
    });
    target?;
    let metadata = metadata?;
    let package = metadata.policy(dir)?;
    let module = build(&metadata, package, &tools.cargo)?;
    let bytes = fs::read(&module).map_err(|source| BuildError::File { path: module, source })?;
    let folder = metadata.target_directory.join(FOLDER);
    Ok(Made { about: package.about(), code: Code::Module { bytes, adapter: None }, folder })
}

/// Asks which packages are in `dir`'s workspace. Resolves no dependencies, so it needs no network.
fn metadata(dir: &Path, cargo: &str) -> Result<Metadata, BuildError> {
    let stdout =
        run("metadata", subcommand(cargo, "metadata").args(["--no-deps", "--format-version", "1"]).current_dir(dir))?;
    parse(&stdout)
}

/// Builds the package's module and says where it is.
fn build(metadata: &Metadata, package: &Package, cargo: &str) -> Result<PathBuf, BuildError> {
    let mut command = subcommand(cargo, "build");
    command
        .args(["--target", TARGET, "--profile", PROFILE, "--message-format", "json-render-diagnostics"])
        .args(["--package", &package.name, "--lib"])
        .args(["--config", &rustflags_setting(metadata)])
        .current_dir(package.manifest_path.parent().unwrap_or(&metadata.workspace_root))
        // Flags meant for this machine (a CPU, coverage, a linker) do not fit WebAssembly.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !metadata.defines_profile() {
        PROFILE_DEFAULTS.iter().for_each(|setting| {
            command.args(["--config", setting]);
        });
    }
    let stdout = run("build", &mut command)?;
    package.module(&stdout)
}

// === impl Metadata ===

impl Metadata {
    /// The package in `dir` itself.
    fn policy(&self, dir: &Path) -> Result<&Package, BuildError> {
        let not_a_policy = |why| BuildError::NotAProject { dir: dir.to_owned(), why };
        let manifest = dir.join("Cargo.toml");
        let manifest = manifest.canonicalize().map_err(|source| BuildError::File { path: manifest, source })?;
        let here = |package: &&Package| package.manifest_path.canonicalize().is_ok_and(|path| path == manifest);
        let package = self.packages.iter().find(here).ok_or_else(|| not_a_policy("its Cargo.toml has no [package]"))?;
        if !package.targets.iter().any(Target::is_component) {
            return Err(not_a_policy("its Cargo.toml lacks crate-type = [\"cdylib\"] under [lib]"));
        }
        Ok(package)
    }

    /// Whether the workspace has its own idea of [`PROFILE`]. Cargo does not tell, so the manifest does.
    fn defines_profile(&self) -> bool {
        let manifest = fs::read_to_string(self.workspace_root.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.split('#').next().unwrap_or_default().trim() == "[profile.policy]")
    }
}

// === impl Package ===

impl Package {
    fn about(&self) -> About {
        let Self { name, version, description, license, .. } = self.clone();
        About { name, version, description, license }
    }

    fn module(&self, messages: &[u8]) -> Result<PathBuf, BuildError> {
        let mut module = None;
        for line in messages.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")) {
            if let Message::CompilerArtifact { manifest_path, target, filenames } = parse(line)?
                && manifest_path == self.manifest_path
                && target.is_component()
            {
                module = filenames.into_iter().find(|path| path.extension().is_some_and(|name| name == "wasm"));
            }
        }
        let why = || "it names no .wasm file".to_owned();
        module.ok_or_else(|| BuildError::Unintelligible { program: "cargo", why: why() })
    }
}

// === impl Target ===

impl Target {
    fn is_component(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

fn subcommand(cargo: &str, name: &str) -> Command {
    let mut command = Command::new(cargo);
    command.arg(name).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn run(name: &'static str, command: &mut Command) -> Result<Vec<u8>, BuildError> {
    let output = command
        .output()
        .map_err(|source| BuildError::not_started(command.get_program().as_ref(), RUST_FROM, source))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(BuildError::Cargo { command: name, status: output.status })
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, BuildError> {
    serde_json::from_slice(json)
        .map_err(|error| BuildError::Unintelligible { program: "cargo", why: error.to_string() })
}

/// Keeps this machine's paths out of panic messages, so that the same sources give the same component
/// anywhere. Where several prefixes fit, rustc takes the last.
fn rustflags_setting(metadata: &Metadata) -> String {
    let Metadata { packages, workspace_root, .. } = metadata;
    // Of all packages: other flags for the next policy would have all that they share compiled anew.
    let dependencies = packages.iter().flat_map(|package| &package.dependencies);
    // The SDK is one, unless the policy is in Herald's own repository.
    let elsewhere = dependencies.filter_map(|Dependency { name, path }| {
        let path = path.as_deref().filter(|path| !path.starts_with(workspace_root))?;
        Some(remap(path, &format!("/{name}")))
    });
    let elsewhere: BTreeSet<_> = elsewhere.collect();
    let mut flags: Vec<_> = elsewhere.into_iter().chain([remap(workspace_root, ".")]).collect();
    if let Some(home) = cargo_home() {
        flags.push(remap(&home, "/cargo"));
        // One folder a registry, named by a hash of its address.
        let registries = home.join("registry/src").read_dir().into_iter().flatten().flatten();
        let mut registries: Vec<_> = registries.map(|registry| remap(&registry.path(), "/cargo/registry")).collect();
        registries.sort();
        flags.append(&mut registries);
    }
    let flags = serde_json::Value::from(flags);
    format!("target.{TARGET}.rustflags={flags}")
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn cargo_home() -> Option<PathBuf> {
    let set = env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    set.or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_this_machine_have_other_names_in_a_component() {
        let package = |name: &str| {
            let at = |name: &str, path: &str| serde_json::json!({"name": name, "path": path});
            let sdk = at("herald-policy", "/home/ann/herald/sdk/rust");
            let dependencies = [sdk, at("words", "/home/ann/work/words"), serde_json::json!({"name": "serde"})];
            serde_json::json!({
                "name": name, "version": "0.1.0", "manifest_path": "Cargo.toml", "targets": [], "dependencies": dependencies,
            })
        };
        let metadata = serde_json::json!({
            "packages": [package("a"), package("b")], "target_directory": "target", "workspace_root": "/home/ann/work",
        });
        let setting = rustflags_setting(&parse(metadata.to_string().as_bytes()).expect("metadata"));
        let expected = "target.wasm32-unknown-unknown.rustflags=[\
                        \"--remap-path-prefix=/home/ann/herald/sdk/rust=/herald-policy\",\
                        \"--remap-path-prefix=/home/ann/work=.\"";
        assert!(setting.starts_with(expected), "{setting}");
    }
}
