//! What `--help` says: each command shows how it is called.

use tests::herald;

/// The commands that a help lists, but for `help`: a name behind two spaces, and further in what goes on in the next line.
fn listed(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map(|(_, rest)| rest).unwrap_or_default();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

/// Those that a help does not list are hidden: other programs' kubeconfigs have them.
#[tokio::test]
async fn every_command_has_examples_of_itself() {
    let (mut to_see, mut seen) = (vec![Vec::<String>::new()], 0);
    while let Some(path) = to_see.pop() {
        let name = [&["herald".to_owned()][..], &path[..]].concat().join(" ");
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = herald::run(&arguments, [("HOME", "/nowhere")]).await.and_then(herald::Finished::success);
        let help = help.unwrap_or_else(|error| panic!("{name}: {error:#}")).stdout;
        let examples = help.split_once("\nExamples:\n").map(|(_, examples)| examples).unwrap_or_default();
        assert!(examples.starts_with("  herald "), "{name}: {help}");
        assert!(examples.contains(&format!("{name} ")) || examples.contains(&format!("{name}\n")), "{name}: {help}");
        to_see.extend(listed(&help).into_iter().map(|name| [&path[..], &[name]].concat()));
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}
