//! What a build refuses before cargo runs, and the result for the ready-made policies.

use std::env;

use expect_test::expect;

use super::*;
use crate::policy::shape::ShapeError;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn check_refused(manifest: Option<&str>, expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    if let Some(manifest) = manifest {
        fs::create_dir(folder.path().join("src")).expect("a folder");
        fs::write(folder.path().join("src/lib.rs"), "").expect("a file");
        fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    }
    let error = build(folder.path(), None).expect_err("not a policy").to_string();
    assert_eq!(error, format!("{}: {expected}", folder.path().display()));
}

#[test]
fn folders_that_are_no_policy() {
    check_refused(None, "not a policy's project: it has none of Cargo.toml, go.mod, package.json and pyproject.toml");
    check_refused(
        Some("[package]\nname = \"plain\"\nedition = \"2024\"\n"),
        "not a policy's project: its Cargo.toml lacks crate-type = [\"cdylib\"] under [lib]",
    );
}

#[test]
fn a_crate_that_exports_no_policy_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("src")).expect("a folder");
    fs::write(folder.path().join("src/lib.rs"), "").expect("a file");
    let manifest = "[package]\nname = \"bare\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    let error = build(folder.path(), None).expect_err("not a policy");
    let BuildError::Encode { name, source } = error else { panic!("{error}") };
    assert_eq!(name, "bare");
    assert!(matches!(source, EncodeError::Shape(ShapeError::NoMapper)), "{source:?}");
    assert!(!folder.path().join("target/policies/bare.wasm").exists());
}

/// Builds in the repository's own target folder, so only the first run compiles anything.
#[test]
fn a_ready_made_policy_is_pure_and_the_same_wherever_it_is_built() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("new/session-groups.wasm");
    let built = build(&repository().join("policies/session-groups"), Some(&output)).expect("it builds");
    assert_eq!(
        (built.name.as_str(), built.imports.as_slice()),
        ("session-groups", &["herald:policy/log@0.1.0".to_owned()][..])
    );

    let bytes = fs::read(&output).expect("a file");
    assert_eq!(bytes.len(), built.size);
    let home = env::home_dir().expect("a home").display().to_string();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(&home) && !holds(env!("CARGO_MANIFEST_DIR")), "paths of this machine are in the component");

    let written = fs::metadata(&output).and_then(|file| file.modified()).expect("a time");
    let again = build(&repository().join("policies/session-groups"), Some(&output)).expect("it builds");
    assert_eq!(again, built);
    assert_eq!(fs::metadata(&output).and_then(|file| file.modified()).expect("a time"), written);
}

/// A device of everybody's stands for what must not be replaced, and a link to it for the device.
#[test]
fn what_is_no_file_is_written_to_and_a_link_stays_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, to_file, to_device] = ["a.wasm", "file", "device"].map(|name| folder.path().join(name));
    fs::write(&file, "old").expect("a file");
    for (target, link) in [(&file, &to_file), (&PathBuf::from("/dev/null"), &to_device)] {
        std::os::unix::fs::symlink(target, link).expect("a link");
        write_if_changed(link, b"new").expect("written");
        assert!(fs::symlink_metadata(link).expect("there").is_symlink(), "{}", link.display());
    }
    assert_eq!(fs::read(&file).expect("a file"), b"new");
    write_if_changed(&folder.path().join("below/b.wasm"), b"new").expect("written");
}

/// What is in a component is on every node's disk and in its memory while it is compiled.
#[test]
fn the_ready_made_policies_are_small() {
    for policy in fs::read_dir(repository().join("policies")).expect("policies/") {
        let folder = policy.expect("an entry").path();
        // It has the whole of CEL in it.
        let most = if folder.ends_with("expression") { 2_000_000 } else { 100_000 };
        let size = build(&folder, None).expect("it builds").size;
        assert!(size <= most, "{}: {size} bytes, and {most} at most", folder.display());
    }
}

#[test]
fn the_answer_as_printed() {
    let built = Built {
        name: "oncall".to_owned(),
        version: "1.2.3".to_owned(),
        output: PathBuf::from("target/policies/oncall.wasm"),
        size: 70_000,
        sha256: "3f1c".to_owned(),
        imports: vec!["herald:policy/log@0.1.0".to_owned()],
    };
    let mut out = Vec::new();
    built.write(&mut out).expect("memory takes all");
    expect![[r#"
        policy   oncall 1.2.3
        imports  herald:policy/log@0.1.0
        size     70000 bytes
        sha256   3f1c
        file     target/policies/oncall.wasm
    "#]]
    .assert_eq(&String::from_utf8(out).expect("text"));
}

#[test]
fn components_stay_in_their_folder() {
    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(file_of(name).ok(), expected.map(PathBuf::from));
    }
    check("on-call", Some("on-call.wasm"));
    check("@acme/on-call", Some("@acme/on-call.wasm"));
    check("../../etc/cron.d/x", None);
    check("/etc/x", None);
    check("", None);
    check("a\u{1b}[2J", None);
    check("a\nfile     b", None);
}
