//! The routes over real connections: what is asked, and what comes back.

use serde_json::{Value, json};

use super::{
    super::fixtures::{allowed, decided, denied, services},
    *,
};
use crate::{
    authenticator::Outcome,
    caller::made_up,
    observe::{AuditLog, audit::Output},
};

#[test]
fn audiences_in_common() {
    #[track_caller]
    fn check(ours: &[&str], asked: Option<&[&str]>, expected: Option<&[&str]>) {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(common(&owned(ours), asked.map(owned)), expected.map(owned), "{ours:?} {asked:?}");
    }
    check(&[], None, Some(&[]));
    check(&[], Some(&["a"]), Some(&[]));
    check(&["a", "b"], Some(&["b", "c"]), Some(&["b"]));
    check(&["a"], Some(&["b"]), None);
    check(&["a"], Some(&[]), Some(&["a"]));
    check(&["a"], None, Some(&["a"]));
}

#[test]
fn media_types() {
    #[track_caller]
    fn check(value: Option<&str>, expected: bool) {
        let headers = value.map(|value| (header::CONTENT_TYPE, value.parse().unwrap()));
        assert_eq!(check_media_type(&headers.into_iter().collect()).is_ok(), expected, "{value:?}");
    }
    check(Some("application/json"), true);
    check(Some("Application/JSON; charset=utf-8"), true);
    check(Some("application/x-www-form-urlencoded"), false);
    check(Some("application/jsonp"), false);
    check(Some(""), false);
    check(None, false);
}

#[test]
fn no_rejection_quotes_the_body() {
    for body in [r#"{"apiVersion":"hunter2"}"#, r#"{"spec":"hunter2"}"#, "hunter2", r#"["hunter2"]"#, ""] {
        let error = serde_json::from_slice::<TokenReview>(body.as_bytes()).unwrap_err();
        let rejection = Rejection::from(error);
        assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
        assert!(!rejection.to_string().contains("hunter2"), "{rejection}");
        assert!(rejection.to_string().contains("at line"), "{rejection}");
    }
}

#[test]
fn audit_lines_carry_the_decision_flat() {
    let line = line(decided(allowed(&["dev"])));
    assert_eq!(line["time"], "2023-11-14T22:13:20.123Z");
    assert_eq!((&line["event"], &line["cluster"]), (&json!("decision"), &json!("prod")));
    assert_eq!(line["client"], "127.0.0.1:4711");
    assert_eq!(line["outcome"], "allowed");
    assert_eq!(line["user"]["username"], "alice");
    assert_eq!(line["decisionId"], Uuid::nil().to_string());

    let decision = decided(denied("not_mapped", Class::NotAllowed));
    let line = self::line(digest(&decision));
    assert_eq!((&line["reason"], &line["truncated"]), (&json!("not_mapped"), &json!(true)));
    assert_eq!((&line["outcome"], &line["event"]), (&json!("denied"), &json!("decision")));
}

fn line(decision: impl Serialize) -> Value {
    let entry = Entry {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        event: "decision",
        cluster: "prod",
        client: "127.0.0.1:4711".parse().unwrap(),
        decision,
    };
    serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap()
}

#[tokio::test]
async fn readiness_follows_conditions_and_the_drain() {
    let room = Room::new(&Config::default(), services(Output::Stderr), served());
    let reasons =
        || room.ready().reasons.into_iter().map(|(name, reason)| format!("{name}: {reason}")).collect::<Vec<_>>();
    assert!(room.ready().ready);
    room.services.readiness.missing("EKSConfigMap", "not read yet");
    assert_eq!(reasons(), ["EKSConfigMap: not read yet"]);
    assert!(!room.ready().ready);
    room.services.readiness.present("EKSConfigMap");
    assert!(room.ready().ready);
    room.drain();
    assert_eq!(reasons(), ["server: shutting down"]);
    assert!(!room.ready().ready);
}

#[tokio::test]
async fn that_compiled_policies_cannot_be_kept_is_told_and_makes_nobody_unready() {
    let room = Room::new(&Config::default(), services(Output::Stderr), served());
    let told = |kept: Result<(), &str>| {
        room.services.metrics.compiled_policies_kept(kept.map_err(str::to_owned));
        let ready = serde_json::to_value(room.ready()).unwrap();
        let gauge = room.services.metrics.text().contains("\nherald_compiled_policies_not_kept 1\n");
        (ready["ready"].clone(), ready.get("compiledPoliciesNotKept").cloned(), gauge)
    };
    let why = "/var/herald/compiled: read-only filesystem or storage medium";
    assert_eq!(told(Err(why)), (json!(true), Some(json!(why)), true));
    assert_eq!(told(Ok(())), (json!(true), None, false));
}

#[tokio::test]
async fn that_a_table_is_refused_is_told_and_makes_nobody_unready() {
    let room = Room::new(&Config::default(), services(Output::Stderr), served());
    let metrics = Arc::clone(&room.services.metrics);
    let told = || {
        let ready = serde_json::to_value(room.ready()).unwrap();
        (ready["ready"].clone(), ready.get("refusedTables").cloned())
    };
    let why = "spec.entries: the key \"a\" has no value";
    assert_eq!(told(), (json!(true), None));
    metrics.table_taken("PolicyTable/people", Err(why.to_owned()));
    assert_eq!(told(), (json!(true), Some(json!({"PolicyTable/people": why}))));
    metrics.table_taken("PolicyTable/people", Ok(()));
    assert_eq!(told(), (json!(true), None));
    metrics.table_taken("PolicyTable/people", Err(why.to_owned()));
    metrics.source_gone("PolicyTable/people");
    assert_eq!(told(), (json!(true), None), "nobody follows it any more");
}

#[tokio::test]
async fn a_login_that_cannot_be_recorded_is_not_answered() {
    let mut services = services(Output::Stderr);
    services.audit = Arc::new(AuditLog::stuck_for_test(4096, Arc::default()));
    let room = Room::new(&Config::default(), services, served());
    let question = Question {
        client: "127.0.0.1:1".parse().unwrap(),
        now: SystemTime::UNIX_EPOCH,
        version: ApiVersion::V1,
        audiences: &[],
    };
    let settle = |outcome| room.settle(&decided(outcome), "prod", &question).map(|response| response.status().as_u16());
    while settle(allowed(&["dev"])).is_ok() {}
    assert_eq!(settle(allowed(&["dev"])), Err(Rejection::AuditUnavailable));
    assert_eq!(settle(denied("not_mapped", Class::NotAllowed)), Ok(200));
    assert_eq!(settle(denied("foreign", Class::Foreign)), Ok(200));
    let text = room.services.metrics.text();
    assert!(text.contains(r#"herald_audit_dropped_total{outcome="denied"} 1"#), "{text}");
    assert!(text.contains(r#"herald_audit_dropped_total{outcome="allowed"} 2"#), "{text}");
}

/// Decisions and requests without one add up to all that came.
#[tokio::test]
async fn what_was_decided_is_not_counted_as_turned_away_as_well() {
    let room = Room::new(&Config::default(), services(Output::Stderr), served());
    let client = "127.0.0.1:1".parse().unwrap();
    for rejection in [Rejection::AuditUnavailable, Rejection::Busy] {
        room.turned_away(client, rejection.reason());
    }
    let text = room.services.metrics.text();
    let counted: Vec<&str> = text.lines().filter(|line| line.starts_with("herald_rejected_requests_total{")).collect();
    assert_eq!(counted, [r#"herald_rejected_requests_total{reason="busy"} 1"#]);
}

#[tokio::test]
async fn strangers_cannot_fill_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let room = Room::new(&Config::default(), services(Output::File(file.clone())), served());
    let question = Question {
        client: "127.0.0.1:1".parse().unwrap(),
        now: SystemTime::UNIX_EPOCH,
        version: ApiVersion::V1,
        audiences: &[],
    };
    let settle = |outcome, verified_by| {
        let decision = Decision { verified_by, ..decided(outcome) };
        room.settle(&decision, "prod", &question).unwrap().status().as_u16()
    };
    let strangers = [
        ("token_base64", Class::NotAuthenticated, 200),
        ("overloaded", Class::Throttled, 429),
        ("sts_throttled", Class::Throttled, 429),
        ("sts_unavailable", Class::Unavailable, 503),
    ];
    for _ in 0..1000 {
        for (reason, class, status) in strangers {
            assert_eq!(settle(denied(reason, class), None), status, "{reason}");
        }
    }
    let callers = [
        ("not_mapped", Class::NotAllowed, 200),
        ("source_not_ready", Class::Unavailable, 503),
        ("ec2_throttled", Class::Throttled, 429),
    ];
    for (reason, class, status) in callers {
        assert_eq!(settle(denied(reason, class), Some("sts")), status, "{reason}");
    }
    assert_eq!(settle(allowed(&["dev"]), Some("sts")), 200);
    room.services.audit.flush(Duration::from_secs(10));
    let text = std::fs::read_to_string(file).unwrap();
    let lines = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    let written = strangers.map(|(reason, ..)| lines(reason));
    assert!((1000..2000).contains(&written.iter().sum::<usize>()), "{written:?}");
    assert_eq!(callers.map(|(reason, ..)| lines(reason)), [1, 1, 1]);
    assert_eq!(lines(r#""outcome":"allowed""#), 1);
}

/// Whoever has an account can prove himself as often as he likes.
#[tokio::test]
async fn nobody_who_is_not_let_in_can_fill_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let room = Room::new(&Config::default(), services(Output::File(file.clone())), served());
    let settle = |arn: &str, outcome| settle_as(&room, arn, outcome).unwrap();
    for _ in 0..100 {
        settle("arn:aws:sts::111122223333:assumed-role/Noisy/a", denied("not_mapped", Class::NotAllowed));
        settle("arn:aws:sts::111122223333:assumed-role/Noisy/b", denied("not_mapped", Class::NotAllowed));
        settle("arn:aws:iam::111122223333:user/known", allowed(&["dev"]));
    }
    for user in 0..8 {
        settle(&format!("arn:aws:iam::111122223333:user/beside-{user}"), denied("not_mapped", Class::NotAllowed));
    }
    for user in 0..1000 {
        settle(&format!("arn:aws:iam::444455556666:user/made-{user}"), denied("not_mapped", Class::NotAllowed));
    }
    room.services.audit.flush(Duration::from_secs(10));
    let text = std::fs::read_to_string(file).unwrap();
    let lines = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert!((20..60).contains(&lines("assumed-role/Noisy/")), "{}", lines("Noisy"));
    assert_eq!(lines("user/known"), 100);
    // One in a thousand shares its pace with another.
    assert!(lines("user/beside-") >= 6, "{}", lines("beside"));
    assert!((300..1000).contains(&lines("user/made-")), "{}", lines("made"));
    let text = room.services.metrics.text();
    assert!(!text.contains("herald_audit_dropped_total{outcome=\"denied\"} 0\n"), "{text}");
}

#[tokio::test]
async fn denials_leave_half_of_the_queue_to_logins() {
    let mut services = services(Output::Stderr);
    services.audit = Arc::new(AuditLog::stuck_for_test(64 * 1024, Arc::default()));
    let room = Room::new(&Config::default(), services, served());
    let dropped = || !room.services.metrics.text().contains("herald_audit_dropped_total{outcome=\"denied\"} 0\n");
    for user in 0..500 {
        let arn = format!("arn:aws:iam::111122223333:user/made-{user}");
        settle_as(&room, &arn, denied("not_mapped", Class::NotAllowed)).unwrap();
    }
    assert!(dropped(), "they are many");
    for _ in 0..10 {
        settle_as(&room, "arn:aws:iam::111122223333:user/known", allowed(&["dev"])).unwrap();
    }
}

/// Settles a decision about whom STS vouched for.
fn settle_as(room: &Room, arn: &str, outcome: Outcome) -> Result<Response, Rejection> {
    let question = Question {
        client: "127.0.0.1:1".parse().unwrap(),
        now: SystemTime::UNIX_EPOCH,
        version: ApiVersion::V1,
        audiences: &[],
    };
    let caller = made_up::caller(&arn.parse().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let decision = Decision { caller: Some(Arc::new(caller)), verified_by: Some("cache"), ..decided(outcome) };
    room.settle(&decision, "prod", &question)
}

/// A certificate that nobody is shown.
fn served() -> Arc<Served> {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
    Served::new(
        &crate::server::load_certificate(&config, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap(),
    )
    .unwrap()
}
