//! What the documents say about the repository and about Herald is there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use tests::{
    herald::{Finished, Output, repository, run},
    sts::{ALICE, BOB, EVE},
};

use crate::support::{CLUSTER, SOON, config, draft, fresh, setup, sts, until};

const DOCUMENTS: [&str; 12] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "tests/README.md",
    PROOF,
    "examples/deploy/README.md",
    "examples/deploy/from-aws-iam-authenticator.md",
    "examples/deploy/from-ack-ram-authenticator.md",
    LOGS,
    REASONS,
    "examples/deploy/metrics.md",
];
const PROOF: &str = "tests/PROOF.md";
const LOGS: &str = "examples/deploy/logs.md";
const REASONS: &str = "examples/deploy/reasons.md";
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

/// A reader who follows a link comes to what it is about.
#[test]
fn every_heading_that_they_link_to_is_there() {
    let (mut seen, mut gone) = (0, Vec::new());
    for document in DOCUMENTS {
        let (text, folder) = (read(document), Path::new(document).parent().expect("a file has a folder"));
        for (file, anchor) in targets(&text).filter_map(|target| target.split_once('#')) {
            let path = if file.is_empty() { Path::new(document).to_owned() } else { folder.join(file) };
            if !has_heading(&read(path.to_str().expect("UTF-8")), anchor) {
                gone.push(format!("{document}: ]({file}#{anchor})"));
            }
            seen += 1;
        }
    }
    assert_eq!(gone, [""; 0]);
    assert!(seen > 20, "the documents have been read: {seen}");
}

/// Whoever looks for a reason that a log or a metric has finds what it is.
#[test]
fn every_reason_is_explained() {
    let pages = [REASONS, LOGS].map(read).concat();
    let (mut seen, mut gone) = (0, Vec::new());
    for path in sources(&repository().join("host/src")) {
        let code = std::fs::read_to_string(&path).expect("a file of Rust");
        for reason in reasons(&code) {
            seen += 1;
            // What `add` and `remove` say to whoever calls them, and what is no failure, stand in no log.
            let is_in_a_log = !reason.starts_with("edit_") && reason != "compiling";
            if is_in_a_log && !pages.contains(&format!("`{reason}`")) {
                gone.push(format!("{}: {reason}", path.display()));
            }
        }
    }
    assert_eq!(gone, [""; 0]);
    assert!(seen > 100, "the code has been read: {seen}");
}

#[test]
fn reasons_are_told_from_other_texts() {
    let code = "fn word() -> &str {\n    \"no\"\n}\n    fn reason(&self) -> &'static str {\n        match self {\n            \
                Self::A => \"a_1\",\n            Self::B(b) => b.reason(\"Not this\"),\n        }\n    }\n    \
                fn other() { \"no\" }\n";
    assert_eq!(reasons(code), ["a_1"]);
}

/// The labels that functions called `reason` give.
fn reasons(code: &str) -> Vec<&str> {
    let bodies = code.split("fn reason(").skip(1).map(|rest| rest.split("\n    }\n").next().unwrap_or_default());
    let is_label = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    bodies.flat_map(|body| body.split('"').skip(1).step_by(2)).filter(is_label).collect()
}

/// The files of Rust below `folder` that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if entry.is_dir() && name != "tests" {
            found.extend(sources(&entry));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(entry);
        }
    }
    found
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

/// The targets of links within the repository.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains(':'))
}

/// The targets of links to files, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    targets(text).filter_map(|target| target.split('#').next()).filter(|it| !it.is_empty())
}

fn read(document: &str) -> String {
    std::fs::read_to_string(repository().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

// === tests/PROOF.md ===

/// Every row that the tables have to have: a prefix, and how many.
const ROWS: [(&str, usize); 11] = [
    ("S0-", 23),
    ("S1-", 14),
    ("S2-", 25),
    ("S3-", 22),
    ("N", 29),
    ("K", 19),
    ("F", 17),
    ("C", 14),
    ("P", 4),
    ("A", 28),
    ("L", 7),
];
/// How a proof names a part of the figures.
const FIGURES: &str = "cargo figures --only ";
/// How a proof names a command of the load bench.
const BENCH: &str = "bench ";

#[test]
fn every_row_has_its_proof() {
    let table = read(PROOF);
    let mut missing: BTreeSet<String> =
        ROWS.iter().flat_map(|(prefix, count)| (1..=*count).map(move |number| format!("{prefix}{number}"))).collect();
    let mut wrong = Vec::new();
    let is_row = |line: &&str| {
        let row = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next());
        row.is_some_and(|row| row.starts_with(char::is_uppercase) && row.ends_with(|c: char| c.is_ascii_digit()))
    };
    for line in table.lines().filter(is_row) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [row, what, proof] = cells[..] else { panic!("three cells: {line}") };
        if !missing.remove(row) {
            wrong.push(format!("{row}: there is no such row, or it is there twice"));
        }
        let proofs: Vec<&str> = proof.split(", ").collect();
        assert!(!what.is_empty() && !proofs.is_empty(), "{line}");
        wrong.extend(proofs.iter().filter_map(|proof| Some(format!("{row}: {}", unproven(proof)?))));
    }
    assert_eq!((wrong, missing), (Vec::new(), BTreeSet::new()));
}

#[test]
fn proofs_that_are_none_are_told() {
    for (proof, expected) in [
        ("`tests/all/documents.rs::every_row_has_its_proof`", None),
        ("`tests/all/login.rs::a_token_of_herald_becomes_a_user`", None),
        ("`tests/all/documents.rs::unproven`", Some("no test unproven in tests/all/documents.rs")),
        ("`tests/all/documents.rs::every_row`", Some("no test every_row in tests/all/documents.rs")),
        ("`tests/all/gone.rs::a`", Some("no file tests/all/gone.rs")),
        ("[here](README.md#scenarios-all)", None),
        ("[here](README.md#gone)", Some("no heading gone in README.md")),
        ("[here](gone.md#scenarios)", Some("no file gone.md")),
        ("[here](README.md)", Some("neither a test nor a heading: [here](README.md)")),
        ("`cargo figures --only flood`", None),
        ("`cargo figures --only logins-h2`", None),
        ("`cargo figures --only ebb`", Some("no part ebb of the figures")),
        ("`cargo figures --only report`", Some("no part report of the figures")),
        ("`bench matrix`", None),
        ("`bench tables`", Some("no command tables of the bench")),
        ("by hand", Some("neither a test nor a heading: by hand")),
    ] {
        assert_eq!(unproven(proof).as_deref(), expected, "{proof}");
    }
}

/// Why a cell of the table proves nothing.
fn unproven(proof: &str) -> Option<String> {
    let quoted = proof.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    if let Some(part) = quoted.and_then(|quoted| quoted.strip_prefix(FIGURES)) {
        let is_there = read("tests/bench/src/figures.rs").contains(&format!("Self::{} => ", variant(part)));
        return (!is_there).then(|| format!("no part {part} of the figures"));
    }
    if let Some(command) = quoted.and_then(|quoted| quoted.strip_prefix(BENCH)) {
        let is_there = read("tests/bench/src/main.rs").contains(&format!("=> {command}::run(&command)"));
        return (!is_there).then(|| format!("no command {command} of the bench"));
    }
    if let Some((file, test)) = quoted.and_then(|quoted| quoted.split_once("::")) {
        let Ok(text) = std::fs::read_to_string(repository().join(file)) else { return Some(format!("no file {file}")) };
        return (!has_test(&text, test)).then(|| format!("no test {test} in {file}"));
    }
    let linked = proof.split_once("](").and_then(|(_, rest)| rest.strip_suffix(')')?.split_once('#'));
    let Some((file, anchor)) = linked else { return Some(format!("neither a test nor a heading: {proof}")) };
    let path = if file.is_empty() { repository().join(PROOF) } else { repository().join("tests").join(file) };
    let Ok(text) = std::fs::read_to_string(path) else { return Some(format!("no file {file}")) };
    (!has_heading(&text, anchor)).then(|| format!("no heading {anchor} in {file}"))
}

/// What a part of the figures, as the command line spells it, is called in the source.
fn variant(part: &str) -> String {
    let capitalised = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    part.split('-').map(capitalised).collect()
}

fn has_heading(text: &str, anchor: &str) -> bool {
    let mut headings = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    headings.any(|heading| slug(heading) == anchor)
}

/// Whether a function of that name is a test, and one that runs.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    let attributes = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with('#')).copied();
    (0..lines.len()).filter(|at| is_it(lines[*at])).any(|at| {
        let attributes: Vec<&str> = attributes(at).collect();
        let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        attributes.iter().any(is_test) && !attributes.iter().any(|line| line.contains("ignore"))
    })
}

/// A heading as the anchor that readers of Markdown make of it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

// === Commands ===

#[test]
fn the_readme_has_five_steps() {
    let readme = read("README.md");
    let section = readme.split("## Use it in five steps\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.expect("the steps");
    let steps: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| line.split("**").nth(1).expect("a title"))
        .collect();
    let titles = ["An IAM role", "Herald as a DaemonSet", "The API server's flag", "Who is who", "kubectl"];
    assert_eq!(steps.len(), titles.len());
    for (step, title) in steps.iter().zip(titles) {
        assert!(step.starts_with(title), "{step}");
    }
    let flag = "--authentication-token-webhook-config-file=/etc/kubernetes/herald/kubeconfig.yaml";
    for needed in ["sts:AssumeRole", "kubectl apply -f herald.yaml", flag, "mapRoles:", "args: [token, -i,"] {
        assert!(section.contains(needed), "{needed}");
    }
    let alibaba = read("examples/deploy/from-ack-ram-authenticator.md");
    let section = alibaba.split("## From nothing\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let steps = section.expect("the steps").lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    assert_eq!(steps.count(), 6);
}

/// Commands that have commands of their own.
const WITH_COMMANDS: [&str; 5] = ["add", "credential-plugin", "eks", "policy", "remove"];

/// Every command and every option that a document shows is there.
#[tokio::test]
async fn commands_in_them_are_understood() {
    let mut seen = 0;
    for document in DOCUMENTS {
        let text = read(document);
        for line in commands(&text) {
            let words: Vec<&str> = line.split_whitespace().skip(1).collect();
            let depth = if words.first().is_some_and(|word| WITH_COMMANDS.contains(word)) { 2 } else { 1 };
            let arguments = [&words[..depth.min(words.len())], &["--help"]].concat();
            let help = run(&arguments, [("HOME", "/")]).await.and_then(Finished::success);
            let help = help.unwrap_or_else(|error| panic!("{document}: {line}: {error}")).stdout;
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap_or_default();
                assert!(has_option(&help, option), "{document}: {line}: there is no {option}");
            }
            seen += 1;
        }
    }
    assert!(seen > 12, "the documents have been read: {seen}");
}

/// Whether a help has that option, and not only one that begins with the same letters.
fn has_option(help: &str, option: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    help.match_indices(option).any(|(at, _)| is_end(&help[at + option.len()..]))
}

#[test]
fn an_option_is_told_from_the_beginning_of_another() {
    assert!(has_option("  --table-file <FILE>\n  --table <T=FILE>", "--table"));
    assert!(!has_option("  --tables <T=FILE>\n  --table-file <FILE>", "--table"));
}

/// The commands of Herald in fences and in code, up to the pipe or the remark behind them.
fn commands(text: &str) -> Vec<&str> {
    let fenced = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let spans = text.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    let starts =
        |line: &&str| line.starts_with("herald ") && line.split(' ').nth(1).is_some_and(|word| !word.is_empty());
    let pieces = fenced.flat_map(|line| line.split(" | ")).chain(spans);
    let trimmed = pieces.map(|line| line.trim().split(" # ").next().unwrap_or_default().trim_end());
    trimmed.filter(starts).collect()
}

#[tokio::test]
async fn the_log_page_finds_its_lines() {
    let page = read(LOGS);
    let searches: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("grep -F '")?.split_once("' herald.log"))
        .map(|(words, _)| words)
        .collect();
    assert!(searches.len() > 5, "{searches:?}");
    let sts = sts().await;
    let server = setup(&sts, &config("")).start().await.expect("a server");
    let old = tests::tokens::Draft::new(&BOB, CLUSTER, tests::now() - std::time::Duration::from_secs(3600));
    for token in [fresh(&BOB), draft(&EVE).token(), fresh(&ALICE), old.token()] {
        server.review(&token).await.expect("an answer");
    }
    let lines = |words: &str| server.stderr.text().lines().filter(|line| line.contains(words)).count();
    // The start has told of one as well.
    let before = lines("configuration");
    server.configure(&config("").replace("bob", "robert")).expect("a file");
    until(async || server.audit().len() >= 4 && lines("configuration") > before).await;
    let (log, found) = (server.stderr.text(), |words: &str| lines(words) > 0);
    let none: Vec<&str> = searches.into_iter().filter(|words| !found(words)).collect();
    assert_eq!(none, [""; 0], "{log}");

    // The same under an old name, in the words that scripts look for.
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("aws-iam-authenticator");
    std::os::unix::fs::symlink(tests::herald::binary().expect("herald"), &link).expect("a link");
    std::fs::write(folder.path().join("config.yaml"), config("")).expect("a file");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut command = tokio::process::Command::new(link);
    command.args(["server", "--port", "0", "--health-port", "0", "--config"]).arg(path("config.yaml"));
    command.arg(format!("--state-dir={}", path("state"))).stdin(Stdio::null()).stdout(Stdio::null());
    command.arg(format!("--generate-kubeconfig={}", path("kubeconfig.yaml"))).stderr(Stdio::piped());
    let mut server = command.kill_on_drop(true).spawn().expect("it starts");
    let log = Output::collect(server.stderr.take().expect("a pipe"));
    let line = format!(
        "level=info msg=\"reconfigure your apiserver with `--authentication-token-webhook-config-file={}` to enable (assuming default hostPath mounts)\"",
        path("kubeconfig.yaml")
    );
    let told = log.wait_for(SOON, |text| text.contains(&line).then_some(())).await;
    assert!(told.is_some(), "{}", log.text());
}
