//! What `--help` says: each command shows how it is called.

use std::{os::unix::fs::symlink, path::Path};

use tests::herald::{Finished, binary, finish};
use tokio::process::Command;

/// The commands that a help lists, but for `help`: a name behind two spaces, and further in what goes on in the next line.
fn listed(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map(|(_, rest)| rest).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

/// Each command of `program` and the examples in its help. Those that a help does not list are hidden: other programs'
/// kubeconfigs have them.
async fn examples(program: &Path) -> Vec<(Vec<String>, String)> {
    let (mut to_see, mut seen) = (vec![Vec::<String>::new()], Vec::new());
    while let Some(path) = to_see.pop() {
        let mut command = Command::new(program);
        command.args(&path).arg("--help").env_clear().env("HOME", "/nowhere");
        let help = finish(command).await.and_then(Finished::success);
        let help = help.unwrap_or_else(|error| panic!("{path:?}: {error:#}")).stdout;
        let examples = help.split_once("\nExamples:\n").map(|(_, examples)| examples).unwrap_or_default();
        to_see.extend(listed(&help).into_iter().map(|name| [&path[..], &[name]].concat()));
        seen.push((path, examples.to_owned()));
    }
    assert!(seen.len() > 30, "{seen:?}");
    seen
}

#[track_caller]
fn check(program: &str, path: &[String], examples: &str) {
    let name = [&[program.to_owned()][..], path].concat().join(" ");
    assert!(examples.starts_with(&format!("  {program} ")), "{name}: {examples}");
    assert!(examples.contains(&format!("{name} ")) || examples.contains(&format!("{name}\n")), "{name}: {examples}");
}

#[tokio::test]
async fn every_command_has_examples_of_itself() {
    for (path, examples) in examples(binary().expect("herald")).await {
        check("herald", &path, &examples);
    }
}

#[tokio::test]
async fn examples_have_the_name_that_herald_is_called_by() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["aws-iam-authenticator", "ack-ram-tool"] {
        let link = folder.path().join(name);
        symlink(binary().expect("herald"), &link).expect("a link");
        // The first page has none there.
        for (path, examples) in examples(&link).await.into_iter().filter(|(path, _)| !path.is_empty()) {
            check(name, &path, &examples);
            assert!(!examples.contains(" herald "), "{name} {path:?}: {examples}");
        }
    }
}
