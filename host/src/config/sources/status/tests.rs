//! What is written of one object, and when there is nothing to write.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::*;
use crate::config::sources::identity_mapping;

const ADMIN: &str = "arn:aws:iam::111122223333:role/team/Admin";

/// The verdicts of objects as `(name, created, arn, status)`.
fn verdicts(objects: &[(&str, &str, &str, Value)]) -> Vec<Verdict> {
    let object = |(name, created, arn, status): &(&str, &str, &str, Value)| {
        let spec = json!({ "arn": arn, "username": "x" });
        let object = Object {
            name: (*name).to_owned(),
            created: (*created).to_owned(),
            uid: format!("uid-of-{name}"),
            generation: 3,
            resource_version: "7".to_owned(),
            body: json!({ "spec": spec, "status": status }),
            is_too_large: false,
        };
        ((*name).to_owned(), object)
    };
    let objects: BTreeMap<String, Object> = objects.iter().map(object).collect();
    identity_mapping::read(&identity_mapping::TARGET, &objects).1
}

fn one(arn: &str, status: Value) -> Verdict {
    verdicts(&[("one", "", arn, status)]).remove(0)
}

#[track_caller]
fn check(arn: &str, status: Value, expected: &Expect) {
    let patch = one(arn, status).patch(SystemTime::UNIX_EPOCH);
    expected.assert_eq(&patch.map_or_else(|| "nothing".to_owned(), |patch| patch.to_string()));
}

#[test]
fn a_mapping_that_is_refused_keeps_no_arn_and_says_why() {
    let old = json!({ "canonicalARN": "arn:aws:iam::111122223333:role/other", "userID": "AIDA" });
    check(
        "arn:aws:iam::111122223333:rule/X",
        old,
        &expect![[
            r#"{"metadata":{"resourceVersion":"7"},"status":{"canonicalARN":null,"conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","message":"not the ARN of a principal: bad resource","observedGeneration":3,"reason":"InvalidArn","status":"False","type":"Accepted"}]}}"#
        ]],
    );
    let two = verdicts(&[
        ("z", "2026-01-01T00:00:00Z", ADMIN, Value::Null),
        ("a", "2026-01-02T00:00:00Z", ADMIN, Value::Null),
    ]);
    let told: Vec<_> =
        two.iter().map(|verdict| (verdict.name.as_str(), verdict.refused.as_ref().map(|why| why.0))).collect();
    assert_eq!(told, [("z", None), ("a", Some(CheckId::DuplicatePrincipal))]);
}

#[test]
fn a_mapping_in_force_has_its_canonical_arn() {
    check(
        ADMIN,
        Value::Null,
        &expect![[
            r#"{"metadata":{"resourceVersion":"7"},"status":{"canonicalARN":"arn:aws:iam::111122223333:role/team/admin","conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","message":"in force","observedGeneration":3,"reason":"Accepted","status":"True","type":"Accepted"}]}}"#
        ]],
    );
}

#[test]
fn what_is_said_already_is_not_written_and_what_others_say_stays() {
    let accepted = |status: &str, generation: i64| {
        json!({ "type": "Accepted", "status": status, "reason": "Accepted", "message": "in force",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let arn = "arn:aws:iam::111122223333:role/team/admin";
    check(ADMIN, json!({ "canonicalARN": arn, "conditions": [accepted("True", 3)] }), &expect!["nothing"]);
    let theirs = json!({ "type": "Synced", "status": "True" });
    check(
        ADMIN,
        json!({ "canonicalARN": arn, "conditions": [accepted("True", 2), theirs] }),
        &expect![[
            r#"{"metadata":{"resourceVersion":"7"},"status":{"canonicalARN":"arn:aws:iam::111122223333:role/team/admin","conditions":[{"status":"True","type":"Synced"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"in force","observedGeneration":3,"reason":"Accepted","status":"True","type":"Accepted"}]}}"#
        ]],
    );
    for since in [json!(null), json!(7)] {
        let mut odd = accepted("True", 2);
        odd["lastTransitionTime"] = since;
        let patch =
            one(ADMIN, json!({ "conditions": [odd] })).patch(SystemTime::UNIX_EPOCH).expect("it says too little");
        assert_eq!(patch["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
    check(
        ADMIN,
        json!({ "conditions": [accepted("False", 3)] }),
        &expect![[
            r#"{"metadata":{"resourceVersion":"7"},"status":{"canonicalARN":"arn:aws:iam::111122223333:role/team/admin","conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","message":"in force","observedGeneration":3,"reason":"Accepted","status":"True","type":"Accepted"}]}}"#
        ]],
    );
}

#[test]
fn an_event_names_its_object() {
    let event = one("nonsense", Value::Null).event(&identity_mapping::TARGET, SystemTime::UNIX_EPOCH, "me");
    expect![[r#"
        {
          "apiVersion": "v1",
          "count": 1,
          "firstTimestamp": "1970-01-01T00:00:00Z",
          "involvedObject": {
            "apiVersion": "iamauthenticator.k8s.aws/v1alpha1",
            "kind": "IAMIdentityMapping",
            "name": "one",
            "resourceVersion": "7",
            "uid": "uid-of-one"
          },
          "kind": "Event",
          "lastTimestamp": "1970-01-01T00:00:00Z",
          "message": "not the ARN of a principal: bad prefix",
          "metadata": {
            "generateName": "one.",
            "namespace": "default"
          },
          "reason": "InvalidArn",
          "reportingComponent": "herald",
          "reportingInstance": "me",
          "source": {
            "component": "herald"
          },
          "type": "Warning"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&event).expect("JSON"));
    assert!(!one("nonsense", Value::Null).was_refused());
    let refused = json!({ "conditions": [{ "type": "Accepted", "status": "False" }] });
    assert!(one("nonsense", refused).was_refused());
}

#[test]
fn writes_end_before_another_replica_may_lead() {
    assert!(LEADS + WRITE < LASTS && !WRITE.is_zero());
    const { assert!(MAX_MESSAGE < 1024) }
}

#[tokio::test]
async fn a_mistake_in_a_pass_is_a_failure_and_not_the_end() {
    fn breaks() -> SystemTime {
        panic!("as if it could not be told");
    }
    let nobody = Access { master: Some("http://127.0.0.1:1".to_owned()), ..Access::default() };
    let kind = (&identity_mapping::TARGET, "lease");
    let (_told, verdicts) = watch::channel(Verdicts::default());
    let (_stop, stopping) = watch::channel(false);
    let mut writer = Writer::new(("CRD", Arc::default()), nobody, kind, breaks, verdicts, stopping);
    assert_eq!(writer.turn().await, AFTER_FAILURE);
    assert_eq!(writer.trouble.as_deref(), Some(MISTAKE));
    writer.clock = || SystemTime::UNIX_EPOCH;
    writer.turn().await;
    let trouble = writer.trouble.expect("nobody answers");
    assert!(trouble.starts_with("the API server cannot be asked: "), "{trouble}");
}
