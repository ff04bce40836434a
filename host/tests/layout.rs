//! The architecture as a test: who may look at whom, which room may name which library, and what a
//! file owes its reader. `ARCHITECTURE.md` says why.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room, and all that it may name. What is absent here is absent from the code.
const MAY_USE: &[(&str, &[&str])] = &[
    ("token", &[]),
    ("caller", &[]),
    ("values", &[]),
    ("kubernetes", &["values"]),
    ("observe", &["caller", "config"]),
    ("provider", &["caller", "token"]),
    ("sts", &["caller", "config", "observe", "provider", "token"]),
    ("policy", &["caller", "config", "values"]),
    ("mapping", &["caller", "kubernetes", "policy"]),
    ("authenticator", &["caller", "kubernetes", "mapping", "observe", "policy", "provider", "sts", "token"]),
    ("server", &["authenticator", "config", "kubernetes", "observe", "token"]),
    ("config", &["authenticator", "caller", "kubernetes", "mapping", "observe", "policy", "provider", "server", "sts"]),
    (
        "cli",
        &[
            "authenticator",
            "caller",
            "config",
            "kubernetes",
            "mapping",
            "observe",
            "policy",
            "provider",
            "server",
            "sts",
            "token",
        ],
    ),
];

/// Libraries that one room, or one file and what is below it, alone may name.
const FENCED: &[(&str, &[&str])] = &[
    ("wasmtime", &["policy"]),
    ("axum", &["server"]),
    ("kube", &["kubernetes/client", "kubernetes/watch"]),
    ("k8s_openapi", &[]),
    ("hyper_util", &["kubernetes/watch/access", "server"]),
    ("rcgen", &["server"]),
    ("reqwest", &["sts"]),
    ("aws_config", &["provider"]),
    ("aws_sdk_sts", &["provider"]),
    ("aws_sigv4", &["provider"]),
    ("serde_saphyr", &["config", "server", "kubernetes", "cli"]),
    ("prometheus_client", &["observe"]),
    ("notify", &["config"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
    ("wit_component", &["cli", "policy"]),
    ("wasmparser", &["policy"]),
    ("wasm_encoder", &["cli"]),
    ("regex_lite", &["policy"]),
];

/// The one file that may hold `unsafe`: it loads code that Herald itself compiled and authenticated.
const UNSAFE: &str = "policy/compiled.rs";

/// Most lines before a file's tests.
const MAX_LINES: usize = 600;

struct Source {
    /// Path below `src`, with `/`.
    name: String,
    /// The text before the file's in-line tests.
    code: String,
    /// The whole text.
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_test(&self) -> bool {
        ["/tests.rs", "/fixtures.rs"].iter().any(|end| self.name.ends_with(end)) || self.name.contains("/tests/")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 20, "the sources are where this test looks");
    found.iter().map(|path| read(&root, path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("a readable file");
    let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
    Source { name, code, text }
}

/// The rooms that `code` names: the first segment behind every `crate::`, in lists too.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut rooms = BTreeSet::new();
    for after in lines_of_code(code).split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => drop(rooms.insert(word(after))),
            Some(list) => rooms.extend(first_level(list).iter().map(|item| word(item.trim_start()))),
        }
    }
    rooms.remove("");
    rooms
}

/// The items of a `use` list, without what their own lists hold.
fn first_level(list: &str) -> Vec<String> {
    let (mut items, mut item, mut depth) = (Vec::new(), String::new(), 0_usize);
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    items.push(item);
    items
}

fn lines_of_code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn none(what: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{what}:\n  {}", broken.join("\n  "));
}

#[test]
fn rooms_look_only_where_they_may() {
    let mut broken = Vec::new();
    for source in
        sources().iter().filter(|source| !matches!(source.name.as_str(), "lib.rs" | "main.rs") && !source.is_test())
    {
        let room = source.room();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            broken.push(format!("{}: no such room in MAY_USE", source.name));
            continue;
        };
        let named = rooms_named(&source.code);
        let forbidden = named.iter().filter(|name| *name != room && !allowed.contains(&name.as_str()));
        broken.extend(forbidden.map(|name| format!("{} names crate::{name}", source.name)));
    }
    none("a room looks where it may not", &broken);
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let code = lines_of_code(&source.code);
        for (library, rooms) in FENCED {
            let names = code.contains(&format!("{library}::")) || code.contains(&format!("use {library};"));
            let below = |place: &&str| place.contains('/') && source.name.starts_with(*place);
            if names && !rooms.contains(&source.room()) && !rooms.iter().any(below) {
                broken.push(format!("{} names {library}", source.name));
            }
        }
    }
    none("a library is named outside its room", &broken);
}

/// Who may write down a `Caller`: providers from a cloud's answer, and one place that makes them up.
const MAKES_CALLERS: &[&str] = &["caller/made_up.rs", "provider/alibaba/reply.rs", "provider/aws/reply.rs"];

#[test]
fn only_a_provider_makes_callers() {
    let literal = |line: &str| {
        let line = line.trim();
        line.ends_with("Caller {") && !["impl ", "struct ", "fn ", "for "].iter().any(|word| line.contains(word))
    };
    let makes = |source: &Source| !source.is_test() && lines_of_code(&source.code).lines().any(literal);
    let mut names: Vec<String> = sources().into_iter().filter(makes).map(|source| source.name).collect();
    names.sort();
    assert_eq!(names, MAKES_CALLERS);
}

/// Who may ask for a caller that nobody has proven: "what if" questions, and cases of policies.
const ASKS_FOR_MADE_UP_ONES: &[&str] = &["cli/explain", "cli/policy/", "policy/cases"];

#[test]
fn made_up_callers_go_nowhere_else() {
    let asks = |source: &Source| !source.is_test() && lines_of_code(&source.code).contains("made_up::caller");
    let mut broken: Vec<String> = sources().into_iter().filter(asks).map(|source| source.name).collect();
    broken.retain(|name| !ASKS_FOR_MADE_UP_ONES.iter().any(|place| name.starts_with(place)));
    none("a made-up caller is made where logins are answered", &broken);
}

#[test]
fn unsafe_stays_in_one_file() {
    let holds = |source: &Source| lines_of_code(&source.text).contains("unsafe {") || source.text.contains("unsafe fn");
    let found: Vec<String> = sources().into_iter().filter(holds).map(|source| source.name).collect();
    assert_eq!(found, [UNSAFE]);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    none("a file opens without `//!`", &silent.map(|source| source.name).collect::<Vec<_>>());
}

#[test]
fn files_stay_readable() {
    let long = |source: &Source| !source.is_test() && source.code.lines().count() > MAX_LINES;
    let found: Vec<String> = sources().into_iter().filter(long).map(|source| source.name).collect();
    none("a file is too long to be one room", &found);
}

#[test]
fn there_is_one_way_to_name_a_module() {
    let found: Vec<String> =
        sources().into_iter().map(|source| source.name).filter(|name| name.ends_with("mod.rs")).collect();
    none("foo.rs and foo/, never mod.rs", &found);
}

/// A target that is not in the manifest is never run, and one without seeds finds little in ten seconds.
#[test]
fn fuzz_targets_have_seeds_and_are_run() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let read = |path: &Path| fs::read_to_string(path).expect("a readable file");
    let (manifest, list) = (read(&fuzz.join("Cargo.toml")), read(&fuzz.join("../../tests/README.md")));
    let mut targets = Vec::new();
    walk(&fuzz.join("fuzz_targets"), &mut targets);
    let names = targets.iter().filter_map(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
    let mut broken = Vec::new();
    for name in names {
        let is_run = manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\""));
        let has_seeds = fs::read_dir(fuzz.join("seeds").join(&name)).is_ok_and(|mut entries| entries.next().is_some());
        let rows = list.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
        let is_listed = rows.into_iter().any(|row| row.contains(&format!("`{name}`")));
        if !(is_run && has_seeds && is_listed) {
            broken.push(format!("{name}: in Cargo.toml {is_run}, seeds {has_seeds}, in tests/README.md {is_listed}"));
        }
    }
    none("a fuzz target is half there", &broken);
    let before_a_change_lands = read(&fuzz.join("../../.ci/run"));
    assert!(before_a_change_lands.lines().any(|line| line == "host/fuzz/smoke 10"), "ten seconds each");
}

/// What reads a text of its own and has no fuzz target: it is private to a command, or takes every text.
const READ_BY_NO_TARGET: [&str; 3] = ["Owner", "PermissionSet", "Token"];

#[test]
fn whatever_reads_a_text_has_a_fuzz_target() {
    let mut targets = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets"), &mut targets);
    let targets: String = targets.iter().map(|path| fs::read_to_string(path).expect("a readable file")).collect();
    let is_fuzzed =
        |name: &str| targets.contains(&format!("<{name}>")) || targets.contains(&format!("{name}::try_from("));
    let read = |line: &str| {
        let heads = ["impl FromStr for ", "impl std::str::FromStr for ", "impl TryFrom<String> for "];
        heads.iter().find_map(|head| line.strip_prefix(head)?.strip_suffix(" {").map(str::to_owned))
    };
    let sources = sources();
    let code = sources.iter().filter(|source| !source.is_test()).flat_map(|source| source.code.lines());
    let names: BTreeSet<String> = code.filter_map(read).collect();
    assert!(names.len() > 20, "they are written as this test reads them: {names:?}");
    let without: Vec<&String> = names.iter().filter(|name| !is_fuzzed(name)).collect();
    assert_eq!(without, READ_BY_NO_TARGET);
}

#[test]
fn this_test_reads_use_lists() {
    let named = rooms_named("use crate::{a::{b, c}, d_e::F, g};\nfn f(x: crate::h::I) {}\n// crate::no\n");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["a", "d_e", "g", "h"]);
}

/// Names of functions change with the compiler, so a list by another one would do nothing at all (`host/build.rs`).
#[test]
fn functions_are_listed_as_this_toolchain_names_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let toolchain = fs::read_to_string(root.join("../rust-toolchain.toml")).expect("a toolchain");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).expect("a channel").trim_matches('"');
    let lists = fs::read_dir(root.join("link")).expect("a folder").map(|entry| entry.expect("a file").path());
    let lists: Vec<PathBuf> = lists.filter(|path| path.extension().is_some_and(|ending| ending == "order")).collect();
    assert!(!lists.is_empty(), "there is one at least");
    for list in lists {
        let text = fs::read_to_string(&list).expect("text");
        let made_by = format!("# rustc {channel} ");
        let is_ours = text.lines().take_while(|line| line.starts_with('#')).any(|line| line.starts_with(&made_by));
        assert!(is_ours, "{}: not by rustc {channel}: run tests/bench/list-functions", list.display());
        let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let once: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "{}: a name twice", list.display());
        assert!(names.len() > 1000 && names.iter().all(|name| !name.contains(' ')), "{}", list.display());
    }
}
