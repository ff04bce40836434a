//! Files that somebody else has made large: each costs as much time as it has lines, and not as much as their square.

use std::time::{Duration, Instant};

use super::*;

/// What minutes would be needed for if each line was looked at for each other.
const LIMIT: Duration = Duration::from_secs(30);

#[track_caller]
fn check_in_time(text: &str, expected: &str) {
    let began = Instant::now();
    let (out, _) = run(&command(), &[text]);
    let took = began.elapsed();
    assert_eq!(out.lines().last(), Some(expected));
    assert!(took < LIMIT, "{took:?}");
}

#[test]
fn what_says_nothing_in_front_of_a_file() {
    check_in_time(&"#\n".repeat(100_000), "1 file: nothing to say");
    check_in_time(&"\n".repeat(100_000), "1 file: nothing to say");
    check_in_time(&"---\n".repeat(100_000), "1 file: 1 error");
}

#[test]
fn entries_that_have_all_ended() {
    let entry = |number: usize| {
        format!(
            "  - rolearn: arn:aws:iam::123456789012:role/r{number}\n    username: a\n    notAfter: '2020-01-01T00:00:00Z'\n"
        )
    };
    let entries: String = (0..20_000).map(entry).collect();
    check_in_time(&roles(&entries), "1 file: 100 warnings");
}

#[test]
fn keys_of_a_config_map_without_mappings() {
    let keys: String = (0..40_000).map(|number| format!("  k{number}: a\n")).collect();
    let map = aws_auth(&keys).replace("aws-auth", "other");
    check_in_time(&map, "1 file: nothing to say");
}

/// What is behind the part that would be read may be wrong, and the end of that part be no end.
#[test]
fn more_than_is_read_of_stdin_is_an_error_as_of_a_file() {
    let command = Command { files: vec![STDIN.into()], ..command() };
    let large = "#".repeat(32 << 20) + "\n";
    let mut out = Vec::new();
    let code = command.run(&Globals::default(), large.as_bytes(), &mut out).expect("it runs");
    assert_eq!(code, ExitCode::FAILURE);
    expect![[r#"
        error[unreadable]: cannot be read: larger than 32 MiB
          --> stdin:1:1

        1 file: 1 error
    "#]]
    .assert_eq(&String::from_utf8(out).expect("text"));
}
