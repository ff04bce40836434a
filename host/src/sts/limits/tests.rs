//! Who gets how much of places and pace, whatever others ask for.

use std::time::SystemTime;

use http::Method;

use super::*;
use crate::provider::SecretText;

const NO_PACE: (u32, u32) = (0, 1);

fn limits(in_flight: usize, (per_second, burst): (u32, u32)) -> Limits {
    Limits::new(&config::Limits { in_flight, per_second, burst })
}

fn call(key: &str, host: &str) -> StsCall {
    StsCall {
        host: host.to_owned(),
        region: String::new(),
        method: Method::GET,
        path_and_query: SecretText::default(),
        headers: Vec::new(),
        access_key_id: key.to_owned(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
    }
}

/// One after another: how many calls of `key` to `host` are admitted, at most 1,000, and which limit ends that. They
/// are given to `kept`.
fn take(limits: &Limits, key: &str, host: &str, kept: &mut Vec<Permit>) -> (usize, Option<&'static str>) {
    let now = Instant::now();
    for admitted in 0..1000 {
        match limits.admit(&call(key, host), now) {
            Ok(permit) => kept.push(permit),
            Err(VerifyError::Overloaded { limit }) => return (admitted, Some(limit)),
            Err(other) => panic!("{other}"),
        }
    }
    (1000, None)
}

/// `host` has answered just now.
fn answers(limits: &Limits, host: &str) {
    let permit = limits.admit(&call("AKIDFIRST", host), Instant::now()).expect("a first call");
    assert!(permit.end(Some(Instant::now())).is_none(), "of what is open");
}

#[test]
fn strangers_have_what_is_open_and_keys_with_standing_all() {
    #[track_caller]
    fn check(in_flight: usize, stranger: usize, known: usize) {
        let limits = limits(in_flight, NO_PACE);
        answers(&limits, "sts.test");
        answers(&limits, "other.test");
        limits.welcome("AKIDB", Instant::now());
        let mut kept = Vec::new();
        let found = ["sts.test", "other.test"].map(|host| take(&limits, "AKIDA", host, &mut kept))[0];
        assert_eq!(found, (stranger, Some("sts_in_flight")), "a stranger, {in_flight}");
        assert_eq!(take(&limits, "AKIDB", "sts.test", &mut kept), (known, Some("sts_in_flight")), "{in_flight}");
    }
    // Three quarters of a part to one host; an eighth of what is kept to one key.
    check(64, 36, 2);
    check(4, 2, 1);
    check(3, 2, 0);
    check(1, 1, 0);
}

/// A server that starts knows nobody yet, and all may come at once.
#[test]
fn before_anybody_was_let_in_all_is_anybodys() {
    let mut kept = Vec::new();
    let limits = limits(64, (4, 40));
    answers(&limits, "sts.test");
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept), (39, Some("sts_per_second")));
    let limits = self::limits(64, NO_PACE);
    answers(&limits, "sts.test");
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept).0, 48, "three quarters of both parts");
    kept.clear();
    limits.welcome("AKIDB", Instant::now());
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept).0, 36);
}

/// How many logins with `key` may wait for a call for which one waits already. They are given to `kept`.
fn join<'a>(limits: &'a Limits, key: &str, kept: &mut Vec<Join<'a>>) -> usize {
    let before = kept.len();
    kept.extend((0..1000).map_while(|_| limits.join(&call(key, "sts.test"), 1, Instant::now()).ok()));
    kept.len() - before
}

#[test]
fn logins_that_wait_for_calls_of_others_are_half_as_many_as_calls() {
    #[track_caller]
    fn check(in_flight: usize, anybody: usize, stranger: usize, known: usize) {
        let limits = limits(in_flight, NO_PACE);
        let mut kept = Vec::new();
        assert_eq!(join(&limits, "AKIDA", &mut kept), anybody, "before anybody was let in, {in_flight}");
        kept.clear();
        limits.welcome("AKIDB", Instant::now());
        let found = ["AKIDA", "AKIDB", "AKIDA"].map(|key| join(&limits, key, &mut kept));
        assert_eq!(found, [stranger, known, 0], "{in_flight}");
        kept.clear();
        assert_eq!(join(&limits, "AKIDA", &mut kept), stranger, "they are given back, {in_flight}");
    }
    // A key has as many as it may have calls.
    check(64, 32, 24, 2);
    check(4, 2, 2, 0);
    check(3, 2, 2, 0);
    check(1, 1, 1, 0);
}

#[test]
fn logins_that_wait_for_one_call_are_few() {
    let limits = limits(512, NO_PACE);
    let join = |waiters| limits.join(&call("AKIDA", "sts.test"), waiters, Instant::now()).map(|_| ());
    assert!(join(JOINED).is_ok());
    assert!(matches!(join(JOINED + 1), Err(VerifyError::Overloaded { limit: "sts_joined" })));
}

#[test]
fn pace_is_in_parts_too() {
    let mut kept = Vec::new();
    let limits = limits(6400, (4, 20));
    answers(&limits, "sts.test");
    limits.welcome("AKIDB", Instant::now());
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept), (14, Some("sts_per_second")));
    assert_eq!(take(&limits, "AKIDB", "sts.test", &mut kept), (5, Some("sts_per_second")));
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept), (0, Some("sts_per_second")));
}

/// As who is let in, and asks with one token after another.
#[test]
fn one_key_takes_an_eighth_of_the_pace_that_is_kept() {
    let mut kept = Vec::new();
    let limits = limits(6400, (4, 320));
    answers(&limits, "sts.test");
    ["AKIDB", "AKIDC"].into_iter().for_each(|key| limits.welcome(key, Instant::now()));
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept).1, Some("sts_per_second"));
    for key in ["AKIDB", "AKIDC"] {
        assert_eq!(take(&limits, key, "sts.test", &mut kept), (10, Some("sts_per_second")), "{key}");
    }
}

/// Of one call a second, whoever is there first has it.
#[test]
fn what_cannot_be_shared_out_is_anybodys() {
    let mut kept = Vec::new();
    let limits = limits(64, (1, 1));
    limits.welcome("AKIDB", Instant::now());
    assert_eq!(take(&limits, "AKIDB", "sts.test", &mut kept), (1, Some("sts_per_second")));
}

/// As whoever presents it without its secret.
#[test]
fn a_known_key_that_sts_refuses_is_a_stranger_again() {
    let limits = limits(64, NO_PACE);
    let mut kept = Vec::new();
    ["sts.test", "other.test"].into_iter().for_each(|host| answers(&limits, host));
    ["AKIDB", "AKIDC"].into_iter().for_each(|key| limits.welcome(key, Instant::now()));
    for host in ["sts.test", "other.test"] {
        take(&limits, "AKIDA", host, &mut kept);
    }
    let mut claimed = Vec::new();
    assert_eq!(take(&limits, "AKIDB", "sts.test", &mut claimed).0, 2);
    for permit in claimed.drain(..) {
        permit.end(Some(Instant::now())).expect("by standing").lose();
    }
    assert_eq!(take(&limits, "AKIDB", "sts.test", &mut claimed).0, 0);
    assert_eq!(take(&limits, "AKIDC", "sts.test", &mut claimed).0, 2, "nobody else has less");
    limits.welcome("AKIDB", Instant::now());
    assert_eq!(take(&limits, "AKIDB", "sts.test", &mut claimed).0, 2);
}

#[test]
fn hosts_that_do_not_answer_leave_half_of_the_places_to_those_that_do() {
    let limits = limits(64, NO_PACE);
    let mut kept = Vec::new();
    limits.welcome("AKIDB", Instant::now());
    answers(&limits, "sts.test");
    assert_eq!(take(&limits, "AKIDA", "a.test", &mut kept).0, 24);
    assert_eq!(take(&limits, "AKIDA", "b.test", &mut kept).0, 1, "a first call, by which it may prove itself");
    assert_eq!(take(&limits, "AKIDA", "sts.test", &mut kept).0, 23);
    assert_eq!(take(&limits, "AKIDA", "c.test", &mut kept).0, 0, "all have as many as there are");
    kept.clear();
    let taken = limits.places.lock();
    assert_eq!(taken.hosts.len(), 1, "none is kept that never answered");
    assert_eq!((taken.calls, taken.unanswered), ([0, 0], [0, 0]));
}

#[test]
fn an_answer_speaks_for_a_host_for_a_minute() {
    let limits = limits(64, NO_PACE);
    limits.welcome("AKIDB", Instant::now());
    answers(&limits, "sts.test");
    let later = Instant::now() + LATELY;
    let admitted = (0..100).map_while(|_| limits.admit(&call("AKIDA", "sts.test"), later).ok());
    assert_eq!(admitted.collect::<Vec<_>>().len(), 24);
}
