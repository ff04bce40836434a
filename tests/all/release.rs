//! Releases: what `.ci/release` puts together and signs is what `.ci/release verify` takes, and nothing else is.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Output},
};

use tests::{herald::repository, tools::program};

/// Runs a program in `folder`.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().expect("it runs")
}

fn release(folder: &Path, arguments: &[&str]) -> bool {
    let script = repository().join(".ci/release");
    run(folder, script.to_str().expect("UTF-8"), arguments).status.success()
}

/// A program of this name that does not do what it is for, but what `script` says.
fn stand_in(folder: &Path, name: &str, script: &str) {
    program(&folder.join(name), &format!("#!/bin/sh\nset -eu\n{script}\n"));
}

/// A throw-away key, and the file of those whose signatures count.
fn key(folder: &Path, name: &str) -> String {
    let made = run(folder, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name]);
    assert!(made.status.success(), "OpenSSH makes and checks the signatures: {made:?}");
    let public = fs::read_to_string(folder.join(format!("{name}.pub"))).expect("a key");
    format!("release@herald namespaces=\"herald-release\" {public}")
}

/// A folder as `.ci/release build` leaves it.
fn built(folder: &Path) {
    fs::create_dir(folder.join("out")).expect("a folder");
    for (name, text) in [("herald-0.1.0-x86_64-unknown-linux-musl", "a binary"), ("herald-0.1.0-Cargo.lock", "parts")] {
        fs::write(folder.join("out").join(name), text).expect("a file");
    }
    let sums = run(&folder.join("out"), "sh", &["-c", "sha256sum herald-* > SHA256SUMS"]);
    assert!(sums.status.success(), "{sums:?}");
}

/// The script as it is, around a compiler that only writes down how it was called.
#[test]
fn a_release_is_put_together_from_each_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("signers"), key(folder, "ours")).expect("a file");
    let programs = folder.join("programs");
    fs::create_dir(&programs).expect("a folder");
    stand_in(&programs, "rustc", "echo /");
    let compiled = "for target; do :; done\nmkdir -p \"$CARGO_TARGET_DIR/$target/release\"\n\
                    (echo \"$@\"; printenv HERALD_COMMIT HERALD_BUILD_DATE CARGO_ENCODED_RUSTFLAGS) \
                    >\"$CARGO_TARGET_DIR/$target/release/herald\"";
    stand_in(&programs, "cargo", compiled);
    let mut path = OsString::from(&programs);
    path.push(":");
    path.push(std::env::var_os("PATH").expect("a PATH"));
    let build = |arguments: &[&str]| {
        let mut script = Command::new(repository().join(".ci/release"));
        script.arg("build").args(arguments).current_dir(folder);
        script.env("PATH", &path).env("CARGO_TARGET_DIR", folder.join("built")).output().expect("it runs")
    };
    let built = build(&["out", "first-target", "second-target"]);
    assert!(built.status.success(), "{built:?}");
    let out = folder.join("out");
    let names = fs::read_dir(&out).expect("a folder").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    let file = |what: &str| format!("herald-{}-{what}", env!("CARGO_PKG_VERSION"));
    let first = file("first-target");
    assert_eq!(names, ["SHA256SUMS".to_owned(), file("Cargo.lock"), first.clone(), file("second-target")]);
    let called = fs::read_to_string(out.join(first)).expect("a file");
    let [arguments, commit, date, flags] = called.lines().collect::<Vec<_>>()[..] else { panic!("{called}") };
    assert_eq!(arguments, "build --locked --release --bin herald --target first-target");
    let commit = commit.strip_suffix("-dirty").unwrap_or(commit);
    assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    assert!(date.len() == 20 && date.ends_with('Z'), "{date}");
    let [relocations, here, home] = flags.split('\u{1f}').collect::<Vec<_>>()[..] else { panic!("{flags}") };
    let everywhere = fs::read_to_string(repository().join(".cargo/config.toml")).expect("a file");
    assert!(everywhere.contains(&format!("rustflags = [\"{relocations}\"]")), "{flags}");
    assert!(here.ends_with("=/herald") && home.ends_with("=/cargo"), "{flags}");
    assert!(release(folder, &["sign", "out", "ours"]) && release(folder, &["verify", "out", "signers"]));
    assert!(!build(&["out"]).status.success(), "nothing is put beside another release");
}

#[test]
fn what_is_signed_is_what_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("signers"), key(folder, "ours")).expect("a file");
    fs::write(folder.join("others"), key(folder, "theirs")).expect("a file");
    built(folder);
    let out = folder.join("out");
    assert!(!release(folder, &["verify", "out", "signers"]), "not signed yet");
    assert!(release(folder, &["sign", "out", "ours"]));
    assert!(release(folder, &["verify", "out", "signers"]));
    assert!(!release(folder, &["verify", "out", "others"]), "another one's key");

    let binary = out.join("herald-0.1.0-x86_64-unknown-linux-musl");
    let [good, sums] = [binary.clone(), out.join("SHA256SUMS")].map(|path| fs::read(path).expect("a file"));
    fs::write(&binary, "another binary").expect("a file");
    assert!(!release(folder, &["verify", "out", "signers"]), "another file");
    let listed = run(&out, "sh", &["-c", "sha256sum herald-* > SHA256SUMS"]);
    assert!(listed.status.success() && !release(folder, &["verify", "out", "signers"]), "another list");
    fs::write(&binary, good).expect("a file");
    fs::write(out.join("SHA256SUMS"), sums).expect("a file");
    assert!(release(folder, &["verify", "out", "signers"]));
    fs::write(out.join("herald-0.1.0-aarch64-unknown-linux-musl"), "more").expect("a file");
    assert!(!release(folder, &["verify", "out", "signers"]), "a file that is not listed");
    fs::remove_file(out.join("herald-0.1.0-aarch64-unknown-linux-musl")).expect("removed");
    fs::write(out.join("herald-0x1.0-x86_64-unknown-linux-musl"), "more").expect("a file");
    assert!(!release(folder, &["verify", "out", "signers"]), "a file whose name is almost listed");
    fs::remove_file(out.join("herald-0x1.0-x86_64-unknown-linux-musl")).expect("removed");
    fs::remove_file(&binary).expect("removed");
    assert!(!release(folder, &["verify", "out", "signers"]), "a file that is missing");
    for arguments in [&[][..], &["sign"], &["sign", "out"], &["nothing", "out"]] {
        assert!(!release(folder, arguments), "{arguments:?}");
    }
}
