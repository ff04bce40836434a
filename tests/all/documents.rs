//! What the documents say about the repository is there.

use std::path::Path;

use tests::herald::repository;

const DOCUMENTS: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"];
/// What a path from the repository's root starts with.
const ROOMS: [&str; 6] = ["examples/", "host/", "policies/", "sdk/", "tests/", "wit/"];
/// What a path from a folder of its own ends with.
const KINDS: [&str; 3] = [".md", ".rs", ".yaml"];

#[test]
fn every_path_in_them_exists() {
    let mut seen = 0;
    let mut gone = Vec::new();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(repository().join(document)).expect("a document");
        let folder = Path::new(document).parent().expect("a file has a folder");
        let links = links(&text).filter(|target| !repository().join(folder).join(target).exists());
        gone.extend(links.map(|target| format!("{document}: ]({target})")));
        let paths = paths(&text);
        seen += paths.len();
        let places = [Path::new(""), Path::new("host/src"), folder];
        let is_gone = |path: &&str| !places.iter().any(|place| repository().join(place).join(path).exists());
        gone.extend(paths.into_iter().filter(is_gone).map(|path| format!("{document}: `{path}`")));
    }
    assert_eq!(gone, [""; 0]);
    assert!(seen > 30, "the documents have been read: {seen}");
}

#[test]
fn paths_and_links_are_told_from_other_words() {
    let text = "`host/src/lib.rs`, host/no/code, `provider/aws/reply.rs`. [a](sdk/rust) [b](https://x.y/z.md) [c](#d)\n\
                `foo.rs` `mod.rs` `/etc/herald/a.yaml` `~/.kube/a.yaml` `policy/` [d](e.md#f)\n\
                ```console\n$ herald policy build policies/session-groups --output a.wasm\n```\n`tests/all/x.rs:3`";
    assert_eq!(paths(text), ["host/src/lib.rs", "provider/aws/reply.rs", "policies/session-groups", "tests/all/x.rs"]);
    assert_eq!(links(text).collect::<Vec<_>>(), ["sdk/rust", "e.md"]);
}

/// Words between backticks, those of fences among them, that look like paths of this repository.
fn paths(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    let words = code.flat_map(|code| code.split(|c: char| c.is_whitespace() || "\"'(),:;=[]{}".contains(c)));
    words.filter(|word| is_path(word)).collect()
}

fn is_path(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let below_a_room = ROOMS.iter().any(|room| word.starts_with(room));
    let of_a_kind = word.contains('/') && !word.starts_with('/') && KINDS.iter().any(|kind| word.ends_with(kind));
    plain && (below_a_room || of_a_kind)
}

/// The targets of links to files, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets
        .filter(|target| !target.contains(':'))
        .filter_map(|target| target.split('#').next())
        .filter(|it| !it.is_empty())
}
