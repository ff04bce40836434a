//! Policies with a hole, and whether it is found, made small and written down.

use super::*;
use crate::policy::tests::{
    Fixture,
    guest::{Guest, saying, text},
};

fn fuzz(guest: &Guest, more: &[&str], save: Option<&std::path::Path>) -> (ExitCode, String) {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }
    let fixture = Fixture::new(&guest.component());
    let component = fixture.path().to_str().expect("UTF-8");
    let mut arguments = vec!["fuzz", component, "--count", "200", "--timeout", "5s"];
    arguments.extend(more);
    if let Some(path) = save {
        arguments.extend(["--save", path.to_str().expect("UTF-8")]);
    }
    let mut out = Vec::new();
    let code = Cli::parse_from(arguments).command.run(&mut out).expect("it runs");
    (code, String::from_utf8(out).expect("text"))
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
    check(&Guest::allowing(), &["--never-group", "dev", "--unless-account", "999999999999"], "no counter-example");
    check(&Guest::deciding("unreachable"), &[], "the policy faults: policy_trap");
    check(&Guest::deciding(saying(0, 2, 2)).with(text("no")), &["--only-account", "1"], "no counter-example");
    // Whoever it is, so the smallest is left.
    check(&Guest::allowing(), &["--never-group", "dev"], "/a\n");
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
            Some(Found { what: fault.reason().to_owned(), evaluation })
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
    let cases = super::super::test::read(&path).expect("it is a file of cases");
    assert!(cases[0].name.contains("gives the group"), "{}", cases[0].name);
}

/// Whatever a policy looks at, its answer to the case is the one that was found.
#[test]
fn a_case_asks_what_was_asked() {
    let words = Words::of(&json!({"until": "2026-05-04T12:00:00Z", "account": "1111222233334444"}));
    for draft in Draft::of_callers(&words, &mut fastrand::Rng::with_seed(7)).take(200) {
        let saved = case(json!({"settings": {}}), &draft, "anything");
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), saved).expect("written");
        let cases = super::super::test::read(file.path()).expect("it is a file of cases");
        let asked = draft.request().expect("some cloud has him");
        assert_eq!(format!("{:?}", cases[0].request), format!("{asked:?}"));
    }
}

#[test]
fn patterns_cover_names_whatever_their_case() {
    for (pattern, name, expected) in [
        ("system:*", "SYSTEM:masters", true),
        ("system:*", "systemic", false),
        ("a*c", "abc", true),
        ("a", "ab", false),
    ] {
        assert_eq!(covers(pattern, name), expected, "{pattern} {name}");
    }
}
