//! Policies with a hole, and whether it is found, made small and written down.

use std::{fs, path::Path};

use super::{super::suite::Suite, *};
use crate::policy::{
    ByteSize, Ceiling,
    cases::Terms,
    sections::EXAMPLES as EXAMPLES_SECTION,
    tests::{
        Fixture,
        guest::{Guest, saying, text},
    },
};

fn fuzz(guest: &Guest, more: &[&str], save: Option<&Path>) -> (ExitCode, String) {
    tried(Fixture::new(&guest.component()).path(), more, save).expect("it runs")
}

fn tried(component: &Path, more: &[&str], save: Option<&Path>) -> anyhow::Result<(ExitCode, String)> {
    let mut arguments = vec!["fuzz", component.to_str().expect("UTF-8"), "--count", "200", "--timeout", "5s"];
    arguments.extend(more);
    if let Some(path) = save {
        arguments.extend(["--save", path.to_str().expect("UTF-8")]);
    }
    let mut out = Vec::new();
    let code = parsed(&arguments)?.run(&mut out)?;
    Ok((code, String::from_utf8(out).expect("text")))
}

fn parsed(arguments: &[&str]) -> Result<Command, clap::Error> {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }
    Cli::try_parse_from(arguments).map(|cli| cli.command)
}

#[test]
fn holes_are_found_and_made_small() {
    #[track_caller]
    fn check(guest: &Guest, more: &[&str], expected: &str) {
        let (code, out) = fuzz(guest, more, None);
        let found = if expected.contains("no counter") { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        assert!(code == found && out.contains(expected), "{out}");
    }
    check(&Guest::default(), &[], "200 callers, no counter-example (seed 1)");
    check(&Guest::allowing(), &[], "no counter-example");
    check(&Guest::allowing(), &["--never-group", "d*"], "gives the group \"dev\"\ncaller    arn:aws:");
    check(&Guest::allowing(), &["--never-username", "ALICE"], "gives the username \"alice\"");
    check(&Guest::allowing(), &["--only-account", "111122223333"], "a caller of account 999999999999 is allowed");
    let strangers = words::STRANGERS.map(|account| ["--unless-account", account]).concat();
    check(&Guest::allowing(), &[&["--never-group", "dev"], &strangers[..]].concat(), "no counter-example");
    check(&Guest::allowing(), &[&["--never-group", "dev"], &strangers[2..]].concat(), "gives the group \"dev\"");
    check(&Guest::deciding("unreachable"), &[], "the policy faults: policy_trap");
    check(&Guest::deciding(saying(0, 2, 2)).with(text("no")), &["--only-account", "1"], "no counter-example");
    // Whoever it is, so the smallest is left.
    check(&Guest::allowing(), &["--never-group", "dev"], "caller    arn:aws:iam::999999999999:user/a\ngets ");
    // The power of a kind, and callers whom it is asked about.
    check(&Guest::allowing(), &["--kind", "guard"], "only a map policy may choose the username and uid");
    check(&Guest::allowing(), &["--kind", "guard"], "has       \"a\", groups []\nby        MountedFile\n");
    check(
        &Guest::allowing(),
        &["--kind", "map", "--never-group", "dev"],
        "caller    arn:aws:iam::999999999999:user/a\ngets ",
    );
    // A fault that is declared.
    let broken = || Guest::deciding(saying(1, 1, 2)).with(text("no"));
    check(&broken(), &[], "the policy faults: policy_broken");
    check(&broken(), &["--accept-fault", "broken"], "no counter-example");
    check(&Guest::deciding("unreachable"), &["--accept-fault", "broken"], "the policy faults: policy_trap");
}

/// A caller whose name is short traps, and any other one is given a group.
#[test]
fn what_is_made_small_stays_what_it_was() {
    let name = "(if (i32.lt_u (i32.load offset=48 (local.get $request)) (i32.const 3)) (then unreachable))";
    let allowing = Guest::allowing();
    let guest = Guest { decide: format!("{name} {}", allowing.decide), ..allowing };
    let found: Vec<String> = (1..=8)
        .map(|seed| fuzz(&guest, &["--never-group", "dev", "--seed", &seed.to_string()], None).1)
        .filter(|out| out.contains("gives the group"))
        .collect();
    assert!(!found.is_empty() && found.iter().all(|out| !out.contains("policy_trap")), "{found:?}");
    assert!(found.iter().all(|out| out.contains("gets      \"alice\", groups [\"dev\"]")), "{found:?}");
}

#[test]
fn what_does_not_repeat_is_no_finding() {
    #[track_caller]
    fn check(answers: &[Option<Fault>], asked: usize, expected: Option<&str>) {
        let mut answers = answers.iter().cloned();
        let left = answers.len() - asked;
        let found = lasting(|| {
            let fault = answers.next().expect("asked no more often")?;
            let verdict = Err(fault.clone());
            let evaluation = Evaluation { verdict, log: Vec::new(), fuel: 0, memory: 0, node: None };
            Some(Found { class: Class::Fault(fault.reason()), what: fault.reason().to_owned(), evaluation })
        });
        assert_eq!((found.as_ref().map(|found| found.what.as_str()), answers.len()), (expected, left));
    }
    let unavailable = || Fault::Unavailable(String::new());
    check(&[None, None], 1, None);
    check(&[Some(Fault::Timeout), None], 2, None);
    check(&[Some(Fault::Overloaded), None], 2, None);
    check(&[Some(unavailable()), None], 2, None);
    check(&[Some(Fault::Timeout), Some(Fault::Timeout)], 2, Some("policy_timeout"));
    check(&[Some(unavailable()), Some(Fault::Fuel)], 2, Some("policy_fuel"));
    check(&[Some(Fault::Fuel), None], 1, Some("policy_fuel"));
}

#[test]
fn a_counter_example_is_a_case() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("found.yaml");
    let (code, out) = fuzz(&Guest::allowing(), &["--never-group", "dev"], Some(&path));
    assert!(code == ExitCode::FAILURE && out.contains("saved"), "{out}");
    let read = || Suite::read(&path).expect("it is a file of cases").cases;
    assert!(read()[0].name.contains("gives the group"), "{}", read()[0].name);
    // Another one goes behind it, and no case is there twice.
    let (_, out) = fuzz(&Guest::allowing(), &["--never-username", "alice"], Some(&path));
    assert!(out.contains("there     ") && read().len() == 1, "{out}");
    let (_, out) = fuzz(&Guest::allowing(), &["--only-account", "999999999999"], Some(&path));
    assert!(out.contains("saved     ") && read().len() == 2, "{out}");
}

/// What fails only under a ceiling and limits fails under them when the case is run, and no other case gets them.
#[test]
fn a_counter_example_keeps_its_terms() {
    let fixture = Fixture::new(&Guest::allowing().component());
    let folder = tempfile::tempdir().expect("a folder");
    let [path, ceiling] = ["found.yaml", "ceiling.yaml"].map(|name| folder.path().join(name));
    fs::write(&ceiling, "groups: [ops]\n").expect("a file");
    let ceiling = ceiling.to_str().expect("UTF-8");
    let limited = ["--ceiling", ceiling, "--kind", "map", "--memory", "1Mi", "--fuel", "1000000"];
    let (_, out) = tried(fixture.path(), &limited, Some(&path)).expect("it runs");
    assert!(out.contains("policy_out_of_bounds") && out.contains("saved     "), "{out}");
    let expected = Terms {
        kind: Some(policy::Kind::Map),
        ceiling: Some(Ceiling { groups: Some(vec!["ops".to_owned()]), ..Ceiling::default() }),
        // Five seconds count without a word.
        limits: SomeLimits { timeout: None, memory: Some(ByteSize::mebibytes(1)), fuel: Some(1_000_000) },
    };
    assert_eq!(Suite::read(&path).expect("it is a file of cases").terms, expected);
    let (component, cases) = (fixture.path().to_owned(), vec![path.clone()]);
    let test = super::super::test::Command { component, cases, ..Default::default() };
    let mut out = Vec::new();
    assert_eq!(test.run(&mut out).expect("it runs"), ExitCode::FAILURE);
    let out = String::from_utf8(out).expect("text");
    assert!(out.contains("policy_out_of_bounds"), "{out}");

    let (_, out) = tried(fixture.path(), &limited, Some(&path)).expect("it runs");
    assert!(out.contains("there     "), "{out}");
    let before = fs::read(&path).expect("a file");
    for other in [&[][..], &limited[..4], &limited[2..]] {
        let error = tried(fixture.path(), other, Some(&path)).expect_err("it has other terms");
        assert!(
            format!("{error:#}").contains("its kind, ceiling and limits are not those that are given"),
            "{error:#}"
        );
    }
    assert_eq!(fs::read(&path).expect("a file"), before);
}

/// A custom section (WebAssembly Core Specification, "Custom Section").
fn section(name: &str, data: &[u8]) -> Vec<u8> {
    let length = |number: usize| {
        let [low, middle] = [number & 0x7f, number >> 7 & 0x7f].map(|part| u8::try_from(part).expect("seven bits"));
        vec![low | 0x80, middle]
    };
    let body = [&length(name.len())[..], name.as_bytes(), data].concat();
    [&[0][..], &length(body.len()), &body].concat()
}

#[test]
fn examples_are_words_too() {
    let mut component = Guest::allowing().component();
    let arn = "arn:aws:iam::222233334444:user/alice";
    let case = format!(
        r#"{{"cases":[{{"name":"prose","caller":{{"arn":"{arn}"}},"expect":{{"allow":{{"username":"alice","groups":["dev"]}}}}}}]}}"#
    );
    component.extend(section(EXAMPLES_SECTION, case.as_bytes()));
    let fixture = Fixture::new(&component);
    let command = parsed(&["fuzz", fixture.path().to_str().expect("UTF-8")]).expect("arguments");
    let words = Words::of(&Value::Null, &command.examples().expect("examples"));
    assert_eq!(words.far_accounts, ["222233334444"]);
    assert!(words.far.iter().any(|word| word == "dev") && words.far.iter().all(|word| word != "prose"), "{words:?}");
}

/// Of no callers there is never a counter-example.
#[test]
fn somebody_is_tried() {
    let tried = |count| parsed(&["fuzz", "a.wasm", "--count", count]).map(|command| command.count.get());
    assert_eq!(tried("1").expect("a number"), 1);
    assert!(tried("0").expect_err("nobody").to_string().contains("--count"));
    assert_eq!(parsed(&["fuzz", "a.wasm"]).expect("arguments").count.get(), 10_000);
}
