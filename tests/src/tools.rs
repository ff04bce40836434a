//! What scenarios need of the machine: programs of others that they run as they are, each installed by a script in
//! `tests/tools` when it is first asked for, and rights: mounts, and those of root.
//!
//! Where that fails, the scenario says so and holds for nothing, unless `HERALD_REQUIRE_TOOLS` is set, as it is in CI. Both that
//! and what takes long, before it begins, are said on stderr itself: what tests print is kept back until they fail.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use crate::herald::repository;

type Installed = OnceLock<Result<(), String>>;

/// The AWS CLI.
///
/// # Panics
///
/// When it cannot be had where it must be.
#[must_use]
pub fn aws_cli() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("aws-cli", &INSTALLED).then(|| repository().join("target/tools/aws-cli/bin/aws"))
}

/// A Python with Alibaba Cloud's SDK of STS.
///
/// # Panics
///
/// When it cannot be had where it must be.
#[must_use]
pub fn alibaba_sdk() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("alibaba-sdk", &INSTALLED).then(|| repository().join("target/tools/alibaba-sdk/bin/python"))
}

/// The folder of modules with the AWS SDK for JavaScript, for a `node` on the PATH.
///
/// # Panics
///
/// When it cannot be had where it must be.
#[must_use]
pub fn aws_sdk() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("aws-sdk", &INSTALLED).then(|| repository().join("target/tools/aws-sdk/node_modules"))
}

/// The folder of `apiserver` and `kubectl`, made of Kubernetes' own libraries.
///
/// # Panics
///
/// When they cannot be had where they must be.
#[must_use]
pub fn kubernetes() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("kubernetes", &INSTALLED).then(|| repository().join("target/e2e"))
}

/// A library that steps the wall clock of a process that it is loaded into, see `tests/tools/clock.c`.
///
/// # Panics
///
/// When it cannot be had where it must be.
#[must_use]
pub fn clock() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("clock", &INSTALLED).then(|| repository().join("target/tools/clock.so"))
}

/// Whether a process may have mounts of its own (unshare(1), mount(8)).
///
/// # Panics
///
/// When it may not where it must.
#[must_use]
pub fn own_mounts() -> bool {
    static MAY: OnceLock<Result<(), String>> = OnceLock::new();
    let try_it = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    };
    is_there("mounts of a process's own", MAY.get_or_init(try_it))
}

/// Whether this process may give files to anybody and act as anybody: whether it is root's.
///
/// # Panics
///
/// When it may not where it must.
#[must_use]
pub fn root() -> bool {
    let user = rustix::process::geteuid();
    let found = if user.is_root() { Ok(()) } else { Err(format!("the user is {}", user.as_raw())) };
    is_there("being root", &found)
}

/// The JavaScript SDK with what it builds components with: its folder.
///
/// # Panics
///
/// When it cannot be had where it must be.
#[must_use]
pub fn javascript() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("javascript", &INSTALLED).then(|| repository().join("target/tools/javascript"))
}

/// A virtual environment with the Python SDK and what it builds components with: its folder.
///
/// # Panics
///
/// When it cannot be had where it must be.
#[must_use]
pub fn python() -> Option<PathBuf> {
    static INSTALLED: Installed = OnceLock::new();
    installed("python", &INSTALLED).then(|| repository().join("target/tools/python"))
}

/// Writes a program: a script for whatever its first line names. It is written by another process: nobody can run a file that
/// somebody may write (execve(2), `ETXTBSY`), and whatever another test starts meanwhile has our open files for a moment.
///
/// # Panics
///
/// When it cannot be written.
pub fn program(place: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"cat >"$0" && chmod 755 "$0""#]).arg(place).stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("a shell");
    shell.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    assert!(shell.wait().expect("an end").success(), "{} cannot be written", place.display());
}

/// Puts what [`javascript`] or [`python`] has installed at the `place` where `project` looks for it.
///
/// # Errors
///
/// When the project's folder cannot be written to, or something is there already.
pub fn link(installed: &Path, project: &Path, place: &str) -> io::Result<()> {
    let link = project.join(place);
    fs::create_dir_all(link.parent().unwrap_or(project))?;
    symlink(installed, link)
}

/// Whether there is a Go that builds policies.
///
/// # Panics
///
/// When there is none where there must be one.
#[must_use]
pub fn go() -> bool {
    static THERE: Installed = OnceLock::new();
    installed("go", &THERE)
}

fn installed(name: &str, once: &Installed) -> bool {
    is_there(&format!("tests/tools/{name}"), once.get_or_init(|| run(name)))
}

fn is_there(what: &str, found: &Result<(), String>) -> bool {
    is_there_if(std::env::var_os(REQUIRED).is_some(), what, found)
}

fn is_there_if(required: bool, what: &str, found: &Result<(), String>) -> bool {
    let Err(why) = found else { return true };
    assert!(!required, "{what} failed: {why}");
    // Not by a macro, whose words the harness keeps back from whoever's test passes.
    let _ = writeln!(io::stderr(), "{}", skipped(thread::current().name(), what, why));
    false
}

/// That the test of this name has proved nothing, and why. The harness calls a test's thread as the test.
fn skipped(test: Option<&str>, what: &str, why: &str) -> String {
    format!("skipped: {}: {what} failed here: {why}", test.unwrap_or("a test"))
}

fn run(name: &str) -> Result<(), String> {
    let mut script = Command::new(repository().join("tests/tools").join(name));
    // Without a network, pip gives up soon.
    script.envs([("PIP_RETRIES", "1"), ("PIP_DEFAULT_TIMEOUT", "15")]).stdin(Stdio::null());
    follow(&mut script, &mut io::stderr()).map_err(|error| error.to_string())?
}

/// Runs `script`, and passes on at once what it says of its steps: the lines that begin with its place. The rest says what
/// went wrong.
fn follow(script: &mut Command, out: &mut impl Write) -> io::Result<Result<(), String>> {
    let mut child = script.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut rest = String::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if line.starts_with(STEP) {
            writeln!(out, "{line}")?;
        } else {
            rest.extend([line.as_str(), "\n"]);
        }
    }
    Ok(if child.wait()?.success() { Ok(()) } else { Err(rest.trim().to_owned()) })
}

/// The variable with which nothing may be missing.
const REQUIRED: &str = "HERALD_REQUIRE_TOOLS";
/// How a line begins that says what a script is about to do.
const STEP: &str = "tests/tools/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_skipped_is_told_with_the_reason() {
        let name = thread::current().name().map(str::to_owned);
        assert_eq!(name.as_deref(), Some("tools::tests::who_is_skipped_is_told_with_the_reason"));
        let expected = "skipped: a::b: tests/tools/go failed here: go is not on PATH";
        assert_eq!(skipped(Some("a::b"), "tests/tools/go", "go is not on PATH"), expected);
    }

    #[test]
    #[should_panic(expected = "tests/tools/go failed: go is not on PATH")]
    fn what_is_missing_fails_where_it_is_required() {
        let missing = Err("go is not on PATH".to_owned());
        assert!(is_there_if(true, "tests/tools/go", &Ok(())));
        assert!(!is_there_if(false, "tests/tools/go", &missing));
        let ci = fs::read_to_string(repository().join(".ci/run")).expect("what CI runs");
        assert!(ci.contains(&format!("\nexport {REQUIRED}=1\n")), "in CI it is required");
        is_there_if(true, "tests/tools/go", &missing);
    }

    #[test]
    fn a_program_is_there_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("a program");
        for text in ["#!/bin/sh\necho one \"$@\"\n", "#!/bin/sh\necho two \"$@\"\n"] {
            program(&place, text);
            assert_eq!(fs::read_to_string(&place).expect("a file"), text);
            let ran = Command::new(&place).arg("more").output().expect("it runs");
            let expected = if text.contains("one") { "one more\n" } else { "two more\n" };
            assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
        }
    }

    #[test]
    fn steps_are_told_at_once_and_the_rest_if_it_fails() {
        #[track_caller]
        fn check(script: &str, told: &str, expected: Result<(), &str>) {
            let mut out = Vec::new();
            let ended = follow(Command::new("sh").args(["-c", script]), &mut out).expect("it runs");
            assert_eq!(ended.as_ref().map_err(String::as_str), expected.as_ref().map_err(|why| *why), "{script}");
            assert_eq!(String::from_utf8(out).expect("text"), told, "{script}");
        }
        let step = "echo 'tests/tools/a: building' >&2";
        check(step, "tests/tools/a: building\n", Ok(()));
        check(&format!("echo out; {step}; echo why >&2; exit 1"), "tests/tools/a: building\n", Err("why"));
        check("echo noise >&2", "", Ok(()));
    }
}
