//! `herald policy new`: a policy's project to start from, whole and with passing cases, in the language of its author.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{self, Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};

use super::language::Language;

/// Write a new policy's project, with settings schema, examples and cases.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Folder of the new project; its last part is the policy's name.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Language to write it in.
    #[arg(long, default_value = "rust", value_name = "LANGUAGE")]
    lang: Language,
    /// Folder of the language's SDK, in a copy of Herald's repository. Default: below `sdk` of the repository that DIR is in.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  herald policy new policies/contractors
  herald policy new --lang python ../contractors --sdk sdk/python";

/// What the SDK is called. Cargo and npm take no project that needs another one of its own name.
const SDK: &str = "herald-policy";

/// A file of a project and its text: with `{name}`, with `{sdk}` between the quotes of a string, and with `{sdk-in-shell}` where
/// a command has the SDK's folder.
type File = (&'static str, &'static str);

/// What every project has: the policies of all languages do the same.
const COMMON: [File; 4] = [
    ("cases.yaml", include_str!("new/common/cases")),
    ("examples.yaml", include_str!("new/common/examples")),
    ("schema.json", include_str!("new/common/schema")),
    ("settings.yaml", include_str!("new/common/settings")),
];
const GO: [File; 6] = [
    (".gitignore", include_str!("new/go/gitignore")),
    ("README.md", include_str!("new/go/readme")),
    ("go.mod", include_str!("new/go/manifest")),
    ("policy.go", include_str!("new/go/code")),
    ("policy.json", include_str!("new/go/about")),
    ("policy_test.go", include_str!("new/go/test")),
];
const JS: [File; 5] = [
    (".gitignore", include_str!("new/js/gitignore")),
    ("README.md", include_str!("new/js/readme")),
    ("package.json", include_str!("new/js/manifest")),
    ("policy.js", include_str!("new/js/code")),
    ("policy.test.js", include_str!("new/js/test")),
];
const PYTHON: [File; 5] = [
    (".gitignore", include_str!("new/python/gitignore")),
    ("README.md", include_str!("new/python/readme")),
    ("policy.py", include_str!("new/python/code")),
    ("pyproject.toml", include_str!("new/python/manifest")),
    ("test_policy.py", include_str!("new/python/test")),
];
const RUST: [File; 4] = [
    (".gitignore", include_str!("new/rust/gitignore")),
    ("Cargo.toml", include_str!("new/rust/manifest")),
    ("README.md", include_str!("new/rust/readme")),
    ("src/lib.rs", include_str!("new/rust/code")),
];

// === impl Command ===

impl Command {
    /// Writes the project and says what to do next.
    ///
    /// # Errors
    ///
    /// When the folder is not empty, its name is no policy's, or the SDK is nowhere to be found.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let whole = path::absolute(&self.dir).context("no current folder")?;
        let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let good = plain && name.len() <= 63 && name.starts_with(|first: char| first.is_ascii_lowercase());
        ensure!(good, "{name:?} is no name for a policy: lowercase letters, digits and dashes, a letter first");
        ensure!(name != SDK, "{name} is the name of the SDK that a policy is built with: take another one");
        let there = fs::read_dir(&self.dir).map(|mut entries| entries.next().is_some());
        ensure!(!there.unwrap_or(false), "{}: there is something in it", self.dir.display());
        let sdk = self.sdk(&whole)?;
        let in_string = sdk.to_str().map(escaped).with_context(|| format!("{}: not UTF-8", sdk.display()))?;
        let in_shell = Pasted(&sdk).to_string();
        fs::create_dir_all(&self.dir).with_context(|| self.dir.display().to_string())?;
        for (file, text) in COMMON.iter().chain(self.lang.files()) {
            let text = text.replace("{name}", name).replace("{sdk-in-shell}", &in_shell).replace("{sdk}", &in_string);
            write_new(&self.dir.join(file), &text)?;
        }
        writeln!(out, "wrote     {}", self.dir.display())?;
        let mut steps = self.lang.first_steps(&self.dir, &sdk);
        let component = self.dir.join("target/policies").join(name).with_extension("wasm");
        steps.push(format!("herald policy build {}", Pasted(&self.dir)));
        steps.push(format!("herald policy test {} {}", Pasted(&component), Pasted(&self.dir.join("cases.yaml"))));
        for (number, step) in steps.iter().enumerate() {
            writeln!(out, "{:<10}{step}", if number == 0 { "next" } else { "" })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The SDK's folder, absolute. `whole` is the project's.
    fn sdk(&self, whole: &Path) -> anyhow::Result<PathBuf> {
        let (lang, place) = (self.lang, self.lang.sdk_folder());
        if let Some(dir) = &self.sdk {
            ensure!(lang.is_sdk(dir), "{}: not the SDK, which is {place} of Herald's repository", dir.display());
            return dir.canonicalize().with_context(|| dir.display().to_string());
        }
        let here = whole.ancestors().find_map(|dir| dir.canonicalize().ok()).context("no current folder")?;
        match here.ancestors().map(|dir| dir.join(place)).find(|dir| lang.is_sdk(dir)) {
            Some(dir) => Ok(dir),
            None => bail!(
                "{}: not in a copy of Herald's repository, which has the SDK: get one of version {}, and give the SDK's folder \
                 in it with `--sdk HERALD/{place}`",
                self.dir.display(),
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

// === impl Language ===

impl Language {
    fn files(self) -> &'static [File] {
        match self {
            Self::Go => &GO,
            Self::Js => &JS,
            Self::Python => &PYTHON,
            Self::Rust => &RUST,
        }
    }

    /// In Herald's repository.
    fn sdk_folder(self) -> &'static str {
        match self {
            Self::Go => "sdk/go",
            Self::Js => "sdk/js",
            Self::Python => "sdk/python",
            Self::Rust => "sdk/rust",
        }
    }

    /// The line in the SDK's manifest that says what it is.
    fn sdk_mark(self) -> &'static str {
        match self {
            Self::Go => "module herald.dev/policy",
            Self::Js => "\"name\": \"herald-policy\",",
            Self::Python | Self::Rust => "name = \"herald-policy\"",
        }
    }

    fn is_sdk(self, dir: &Path) -> bool {
        let manifest = fs::read_to_string(dir.join(self.manifest()));
        manifest.is_ok_and(|text| text.lines().any(|line| line.trim() == self.sdk_mark()))
    }

    /// What has to be done once before the first build, in the project's folder.
    fn first_steps(self, dir: &Path, sdk: &Path) -> Vec<String> {
        let (venv, pip) = (dir.join(".venv"), dir.join(".venv/bin/pip"));
        let (dir, sdk, venv, pip) = (Pasted(dir), Pasted(sdk), Pasted(&venv), Pasted(&pip));
        match self {
            Self::Go | Self::Rust => Vec::new(),
            Self::Js => vec![format!("npm ci --prefix {sdk}"), format!("npm install --prefix {dir}")],
            Self::Python => vec![format!("python3 -m venv {venv}"), format!("{pip} install {sdk}")],
        }
    }
}

/// What stands between the quotes of a string, which JSON, TOML ("Basic strings") and go.mod ("Lexical elements") escape alike.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let between = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    // JSON alone leaves it as it is.
    between.replace('\u{7f}', r"\u007f")
}

/// A path as it can be pasted into a shell: one word, whatever is in it (POSIX, "Quoting").
struct Pasted<'a>(&'a Path);

impl fmt::Display for Pasted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.display().to_string();
        if text.chars().all(|letter| letter.is_alphanumeric() || "-_./+@:,=%".contains(letter)) {
            return f.write_str(&text);
        }
        write!(f, "'{}'", text.replace('\'', r"'\''"))
    }
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::File::create_new(path)?.write_all(text.as_bytes())
    };
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
        check(&folder.path().join("herald-policy"), None, "the name of the SDK that a policy is built with");
        fs::create_dir_all(folder.path().join("full/x")).expect("made");
        check(&folder.path().join("full"), None, "there is something in it");
        check(&folder.path().join("a"), None, "give the SDK's folder in it with `--sdk HERALD/sdk/rust`");
        check(&folder.path().join("b"), Some("/"), "/: not the SDK, which is sdk/rust of Herald's repository");
        assert!(!folder.path().join("a").exists() && !folder.path().join("b").exists(), "nothing is left of it");
    }

    #[test]
    fn what_is_next_can_be_pasted() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            assert_eq!(Pasted(Path::new(path)).to_string(), expected);
        }
        check("../büro/on-call_2", "../büro/on-call_2");
        check("My Documents/on-call", "'My Documents/on-call'");
        check("it's", r"'it'\''s'");
        check("$HOME/a;b", "'$HOME/a;b'");
    }

    /// The SDK's folder as the manifest of each language names it, and a command.
    #[test]
    fn an_sdk_is_found_in_whatever_folder_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let herald = folder.path().canonicalize().expect("a folder").join("my \"re%po\" \\ it's #1");
        let project = |lang: Language, mark: &str| {
            let (sdk, dir) = (herald.join(lang.sdk_folder()), folder.path().join(lang.manifest()).join("contractors"));
            fs::create_dir_all(&sdk).expect("a folder");
            fs::write(sdk.join(lang.manifest()), format!("{mark}\n")).expect("a file");
            let command = Command { dir: dir.clone(), lang, sdk: Some(sdk) };
            command.run(&mut Vec::new()).expect("written");
            let read = |file: &str| fs::read_to_string(dir.join(file)).expect("a file");
            (read(lang.manifest()), read("README.md"))
        };
        let path = |place: &str| format!("{}/{place}", herald.display());
        let escaped = |place: &str| path(place).replace('\\', r"\\").replace('"', "\\\"");

        let (manifest, _) = project(Language::Rust, "[package]\nname = \"herald-policy\"");
        assert!(manifest.contains(&format!("herald-policy = {{ path = \"{}\" }}", escaped("sdk/rust"))), "{manifest}");
        let (manifest, _) = project(Language::Go, "module herald.dev/policy");
        let replaced = format!("replace herald.dev/policy => \"{}\"\n", escaped("sdk/go"));
        assert!(manifest.ends_with(&replaced), "{manifest}");
        let (manifest, _) = project(Language::Js, "\"name\": \"herald-policy\",");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
        assert_eq!(manifest["dependencies"]["herald-policy"], format!("file:{}", path("sdk/js")), "{manifest}");
        let (_, readme) = project(Language::Python, "name = \"herald-policy\"");
        let pasted = Pasted(&herald.join("sdk/python")).to_string();
        assert!(readme.contains(&format!("$ .venv/bin/pip install {pasted}\n")), "{readme}");
    }

    /// `examples/deploy/README.md`, "Policies": what is below /etc/herald is hidden by the configuration.
    #[test]
    fn readmes_have_the_component_where_the_guide_mounts_it() {
        let of_all = [
            include_str!("new/go/readme"),
            include_str!("new/js/readme"),
            include_str!("new/python/readme"),
            include_str!("new/rust/readme"),
        ];
        for readme in of_all {
            assert!(readme.contains("component: /policies/{name}.wasm\n"), "{readme}");
        }
    }

    /// Builds in a folder of this repository's own, so only the first run compiles anything.
    #[test]
    fn a_new_policy_builds_and_passes_its_cases() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let place = root.join("target/new policies");
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
        let cases = vec![dir.join("cases.yaml")];
        let test = super::super::test::Command { component, cases, ..Default::default() };
        let mut out = Vec::new();
        assert_eq!(test.run(&mut out).expect("it runs"), ExitCode::SUCCESS, "{}", String::from_utf8_lossy(&out));
    }
}
