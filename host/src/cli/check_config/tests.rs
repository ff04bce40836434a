//! The command over files of each kind: what it prints, and how it ends. One file a subject.

use std::io;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

mod entries;
mod keys;
mod lockout;
mod objects;
mod output;
mod size;
mod together;

/// The command's output on `texts`, called `1.yaml` and so on, and whether it is content.
fn run(command: &Command, texts: &[&str]) -> (String, bool) {
    run_as(Name::Herald, command, texts)
}

/// The same of a program that is called `name`.
fn run_as(name: Name, command: &Command, texts: &[&str]) -> (String, bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<PathBuf> = (1..=texts.len()).map(|number| folder.path().join(format!("{number}.yaml"))).collect();
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).expect("written");
    }
    let command = Command { files, ..command.clone() };
    let mut out = Vec::new();
    let code = command.run(&Globals { name, ..Globals::default() }, io::empty(), &mut out).expect("it runs");
    let text = String::from_utf8(out).expect("text").replace(&format!("{}/", folder.path().display()), "");
    (text, code == ExitCode::SUCCESS)
}

fn command() -> Command {
    Command {
        live: false,
        cluster: Cluster::default(),
        files: Vec::new(),
        output: Output::Text,
        deny_warnings: false,
        state_dir: None,
        generate_kubeconfig: None,
        no_policies: true,
        admin_groups: Vec::new(),
    }
}

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let (out, good) = run(&command(), &[text]);
    expected.assert_eq(&out);
    assert_eq!(good, !out.contains("error["), "the exit code says whether there is an error");
}

/// A configuration whose other entries lock nobody out, around `entries` of `mapRoles`.
fn roles(entries: &str) -> String {
    format!(
        "clusterID: c\nserver:\n  mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/a', username: a, groups: ['system:masters']}}]\n  mapRoles:\n{entries}"
    )
}

/// An `aws-auth`.
fn aws_auth(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: aws-auth, namespace: kube-system}}\ndata:\n{data}")
}

#[test]
fn a_good_file_has_nothing_to_say() {
    check(
        &roles("  - {rolearn: 'arn:aws:iam::123456789012:role/Dev', username: 'dev:{{SessionName}}'}\n"),
        &expect![[r#"
            1 file: nothing to say
        "#]],
    );
}

proptest! {
    /// No text makes the command panic, whatever it stands in, and what it finds it places in the file.
    #[test]
    fn any_text_is_read_and_shown(text in "[a-zA-Z:\\[\\]{}&*!<>|'\"#,%ü\\t\\n -]{0,80}", kind in 0..4_u8) {
        let indented = text.replace('\n', "\n    ");
        let text = match kind {
            0 => text,
            1 => aws_auth(&format!("  mapRoles: |\n    {indented}\n")),
            2 => format!("{}---\nserver: {{}}\n---\n{text}", aws_auth(&format!("  mapUsers: \"{indented}\"\n"))),
            _ => roles(&format!("  - {indented}")),
        };
        let lines = text.lines().count() as u32 + 1;
        let file = CheckedFile::parse(Path::new("a.yaml"), text);
        prop_assert!(file.findings.iter().all(|finding| (1..=lines).contains(&finding.at.line)), "{:?}", file.findings);
        let named = [Named { name: "a.yaml".to_owned(), file }];
        text::write(&named, &mut Vec::new()).expect("written");
        sarif::write(&named, &mut Vec::new()).expect("written");
    }
}
