//! The SDKs that make a component by themselves: herald starts their driver and reads what it says about the policy.
//!
//! The driver runs in the project's folder, with the project's own versions of everything. It is given the contract, a
//! file for the component and a folder for a cache; its progress and its complaints go to stderr.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::{BuildError, CONTRACT, FOLDER, Made, toolchain};
use crate::cli::policy::encode::{About, Code};

/// How to start the driver of one language, and what to say when that does not work.
pub(super) struct Driver {
    /// The language's interpreter, by its name on `PATH`, and where a project may have one of its own.
    program: &'static str,
    own_program: Option<&'static str>,
    /// Where to get the interpreter.
    program_from: &'static str,
    /// The version of which that speaks, and what makes the interpreter say its own.
    oldest: (u32, u32),
    version: &'static [&'static str],
    /// What makes it run the next argument.
    flags: &'static [&'static str],
    /// Calls the SDK. Prints JSON: what is known about the policy, or which package is missing.
    script: &'static str,
    /// How to get a package that is missing.
    package_from: &'static str,
    /// Whether the language's packages may have this for a license, which is no SPDX expression: the component then names none.
    leaves_out: fn(&str) -> bool,
}

/// componentize-js, through `sdk/js`.
pub(super) const JAVASCRIPT: Driver = Driver {
    program: "node",
    own_program: None,
    program_from: "get Node.js 20 or newer from https://nodejs.org or your system's packages",
    oldest: (20, 0),
    version: &["--version"],
    flags: &["--input-type=module", "--eval"],
    script: include_str!("driver/script.mjs"),
    package_from: "run `npm install` in the policy's folder, and once `npm ci` in the SDK's folder, sdk/js",
    leaves_out: is_word_of_npm,
};

/// componentize-py, through `sdk/python`.
pub(super) const PYTHON: Driver = Driver {
    program: "python3",
    own_program: Some(".venv/bin/python"),
    program_from: "get Python 3.11 or newer from https://python.org or your system's packages",
    oldest: (3, 11),
    version: &["--version"],
    flags: &["-c"],
    script: include_str!("driver/script.py"),
    package_from: "make a virtual environment with `python3 -m venv .venv` in the policy's folder, and run \
                   `.venv/bin/pip install` with the SDK's folder, sdk/python",
    leaves_out: |_| false,
};

/// What a driver answers.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// The component is written; this is the policy's project.
    Built(About),
    /// This package is not installed.
    Missing(String),
}

/// Below the folder of components: what the toolchain has made, by what it was made of.
const CACHE: &str = ".made";

/// Lets the SDK make the component of the project in `dir`.
pub(super) fn make(driver: &Driver, dir: &Path) -> Result<Made, BuildError> {
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::File { path, source }
    };
    let dir = dir.canonicalize().map_err(in_file(dir))?;
    let scratch = tempfile::tempdir().map_err(in_file(Path::new("a folder for temporary files")))?;
    let (contract, component) = (scratch.path().join("policy.wit"), scratch.path().join("policy.wasm"));
    fs::File::create(&contract).and_then(|mut file| file.write_all(CONTRACT.as_bytes())).map_err(in_file(&contract))?;
    let folder = dir.join("target").join(FOLDER);
    let about = driver.run(&dir, [&contract, &component, &folder.join(CACHE)])?;
    let bytes = fs::read(&component).map_err(in_file(&component))?;
    Ok(Made { about, code: Code::Component(bytes), folder })
}

// === impl Driver ===

impl Driver {
    fn run(&self, dir: &Path, arguments: [&PathBuf; 3]) -> Result<About, BuildError> {
        let own = self.own_program.map(|own| dir.join(own)).filter(|own| own.is_file());
        let program = own.unwrap_or_else(|| PathBuf::from(self.program));
        let mut command = Command::new(&program);
        command.args(self.flags).arg(self.script).args(arguments).current_dir(dir);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|source| BuildError::not_started(&program, self.program_from, source))?;
        // Packages are missing, too, where they are for newer ones.
        let old = || toolchain::too_old(&program, self.version, dir, self.oldest, self.program_from);
        if !output.status.success() {
            let failed = || BuildError::Tool { tool: self.program.to_owned(), status: output.status };
            return Err(old().unwrap_or_else(failed));
        }
        // Packages may have printed lines of their own before.
        let last = output.stdout.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        match serde_json::from_slice(last) {
            Ok(Answer::Built(mut about)) => {
                about.license = about.license.filter(|license| !(self.leaves_out)(license));
                Ok(about)
            }
            Ok(Answer::Missing(what)) => {
                let missing = || BuildError::Missing { what, how: self.package_from.to_owned() };
                Err(old().unwrap_or_else(missing))
            }
            Err(error) => Err(BuildError::Unintelligible { program: self.program, why: error.to_string() }),
        }
    }
}

/// Whether npm has `license` for what SPDX has no name for: that nobody is given one, or that its text is in a file (npm Docs,
/// "package.json"; in both spellings that npm's own validate-npm-package-license takes).
fn is_word_of_npm(license: &str) -> bool {
    let file = ["SEE LICENSE IN ", "SEE LICENCE IN "].into_iter().find_map(|words| license.strip_prefix(words));
    matches!(license, "UNLICENSED" | "UNLICENCED") || file.is_some_and(|file| !file.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell stands for the interpreter.
    #[track_caller]
    fn check(program: &'static str, script: &'static str, expected: &str) {
        check_of(program, &["-c", "echo v20.0.0"], script, expected);
    }

    /// The same of an interpreter that says another version.
    #[track_caller]
    fn check_of(program: &'static str, version: &'static [&'static str], script: &'static str, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let driver = Driver { program, script, version, flags: &["-c"], own_program: None, ..JAVASCRIPT };
        let made = make(&driver, folder.path()).map(|made| made.about.name);
        let error = made.expect_err("it does not build").to_string();
        assert!(error.contains(expected), "{error}");
    }

    const OLD: &[&str] = &["-c", "echo v18.19.1"];

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        check("no-such-node", "", "no-such-node is not installed: get Node.js 20 or newer");
        check("sh", r#"echo '{"missing": "esbuild"}'"#, "esbuild is not installed: run `npm install`");
        check("sh", "exit 3", "sh failed (exit status: 3)");
        check("sh", "echo hello", "gave an answer that is not understood");
        let old = "sh is too old (18.19): get Node.js 20 or newer";
        check_of("sh", OLD, "exit 3", old);
        check_of("sh", OLD, r#"echo '{"missing": "esbuild"}'"#, old);
        check_of("sh", OLD, r#"echo '{"built": {"name": "a", "version": "1.0.0"}}'"#, "policy.wasm");
        check("sh", r#"echo '{"built": {"name": "a", "version": "1.0.0"}}'"#, "policy.wasm");
    }

    #[test]
    fn a_driver_is_given_the_contract_and_says_what_it_built() {
        let folder = tempfile::tempdir().expect("a folder");
        let script =
            r#"echo talk; cp "$0" "$1"; echo '{"built": {"name": "a", "version": "1.0.0", "license": "MIT"}}'"#;
        let driver = Driver { program: "sh", script, flags: &["-c"], own_program: None, ..PYTHON };
        let made = make(&driver, folder.path()).expect("made");
        assert_eq!((made.about.name.as_str(), made.about.license.as_deref()), ("a", Some("MIT")));
        assert!(made.folder.ends_with("target/policies"), "{}", made.folder.display());
        assert!(matches!(made.code, Code::Component(bytes) if bytes == CONTRACT.as_bytes()));
    }

    #[test]
    fn what_npm_takes_for_a_license_keeps_no_component_from_being_made() {
        #[track_caller]
        fn check(driver: &Driver, license: &str, expected: Option<&str>) {
            let folder = tempfile::tempdir().expect("a folder");
            let about = serde_json::json!({"built": {"name": "a", "version": "1.0.0", "license": license}});
            fs::write(folder.path().join("about.json"), about.to_string()).expect("a file");
            let script = r#"cp "$0" "$1"; cat about.json"#;
            let driver = Driver { program: "sh", script, flags: &["-c"], own_program: None, ..*driver };
            let made = make(&driver, folder.path()).expect("made");
            assert_eq!(made.about.license.as_deref(), expected, "{license}");
        }
        check(&JAVASCRIPT, "MIT", Some("MIT"));
        check(&JAVASCRIPT, "UNLICENSED", None);
        check(&JAVASCRIPT, "UNLICENCED", None);
        check(&JAVASCRIPT, "SEE LICENSE IN docs/license terms.md", None);
        check(&JAVASCRIPT, "SEE LICENCE IN LICENCE", None);
        // No words of npm's: refused where the component is put together.
        check(&JAVASCRIPT, "SEE LICENSE IN ", Some("SEE LICENSE IN "));
        check(&JAVASCRIPT, "UNLICENSED OR MIT", Some("UNLICENSED OR MIT"));
        check(&PYTHON, "UNLICENSED", Some("UNLICENSED"));
    }
}
