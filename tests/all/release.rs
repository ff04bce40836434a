//! Releases: what `.ci/release` signs is what `.ci/release verify` takes, and nothing else is.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tests::herald::repository;

/// Runs a program in `folder`.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().expect("it runs")
}

fn release(folder: &Path, arguments: &[&str]) -> bool {
    let script = repository().join(".ci/release");
    run(folder, script.to_str().expect("UTF-8"), arguments).status.success()
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
    fs::remove_file(&binary).expect("removed");
    assert!(!release(folder, &["verify", "out", "signers"]), "a file that is missing");
    for arguments in [&[][..], &["sign"], &["sign", "out"], &["nothing", "out"]] {
        assert!(!release(folder, arguments), "{arguments:?}");
    }
}
