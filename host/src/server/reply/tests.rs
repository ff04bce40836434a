//! Every class of decision, and the HTTP answer that the API server gets for it.

use expect_test::{Expect, expect};
use http_body_util::BodyExt as _;

use super::{super::fixtures::decided, *};
use crate::kubernetes::{Extra, UserInfo};

#[test]
fn every_class_has_its_status_and_shape() {
    #[track_caller]
    fn check(class: Option<Class>, expected: (u16, Shape)) {
        let (status, found) = shape(class);
        assert_eq!((status.as_u16(), found), expected, "{class:?}");
    }
    check(None, (200, Shape::User));
    check(Some(Class::Foreign), (200, Shape::Refused));
    check(Some(Class::NotAuthenticated), (200, Shape::Refused));
    check(Some(Class::NotAllowed), (200, Shape::Error));
    check(Some(Class::Unavailable), (503, Shape::Retry));
    check(Some(Class::Throttled), (429, Shape::Retry));
}

fn denied(reason: &'static str, class: Class, retry_after: Option<u64>) -> Outcome {
    Outcome::Denied(Denial { reason, message: "denied by Policy/oncall: a secret rota".to_owned(), class, retry_after })
}

#[track_caller]
fn check(outcome: Outcome, version: ApiVersion, audiences: &[&str], expected: &Expect) {
    let audiences: Vec<String> = audiences.iter().map(|&text| text.to_owned()).collect();
    let response = decision(&decided(outcome), version, &audiences);
    let header = |name| response.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let head = format!("{} {} {}", response.status().as_u16(), header("content-type"), header("retry-after"));
    let body = futures_util::FutureExt::now_or_never(response.into_body().collect()).unwrap().unwrap().to_bytes();
    expected.assert_eq(&format!("{head}\n{}", String::from_utf8_lossy(&body)));
}

#[test]
fn logins() {
    let user = || UserInfo {
        username: "alice".to_owned(),
        uid: "u".to_owned(),
        groups: vec!["dev".to_owned()],
        extra: Extra(vec![("herald.dev/stage".into(), vec!["MountedFile".to_owned()].into())]),
    };
    check(
        Outcome::Allowed { user: user() },
        ApiVersion::V1,
        &[],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"alice","uid":"u","groups":["dev"],"extra":{"herald.dev/stage":["MountedFile"]}}}}"#]],
    );
    check(
        Outcome::Allowed { user: user() },
        ApiVersion::V1beta1,
        &["https://kubernetes.default.svc"],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"alice","uid":"u","groups":["dev"],"extra":{"herald.dev/stage":["MountedFile"]}},"audiences":["https://kubernetes.default.svc"]}}"#]],
    );
}

#[test]
fn denials() {
    use ApiVersion::{V1, V1beta1};

    check(
        denied("foreign", Class::Foreign, None),
        V1beta1,
        &["a"],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{"authenticated":false}}"#]],
    );
    check(
        denied("expired", Class::NotAuthenticated, None),
        V1,
        &["a"],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false}}"#]],
    );
    check(
        denied("not_mapped", Class::NotAllowed, None),
        V1,
        &[],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false,"error":"not_mapped: no mapping names this caller (decision 00000000-0000-0000-0000-000000000000)"}}"#]],
    );
    check(
        denied("policy_denied", Class::NotAllowed, None),
        V1beta1,
        &[],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1beta1","kind":"TokenReview","status":{"authenticated":false,"error":"policy_denied: a policy refused this caller (decision 00000000-0000-0000-0000-000000000000)"}}"#]],
    );
    check(
        denied("policy_fuel", Class::NotAllowed, None),
        V1,
        &[],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false,"error":"policy_fuel: a policy failed (decision 00000000-0000-0000-0000-000000000000)"}}"#]],
    );
    check(
        denied("guard_too_long", Class::NotAllowed, None),
        V1,
        &[],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false,"error":"guard_too_long: the name given to this caller breaks a rule of the cluster (decision 00000000-0000-0000-0000-000000000000)"}}"#]],
    );
    check(
        denied("template", Class::NotAllowed, None),
        V1,
        &[],
        &expect![[r#"
        200 application/json -
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":false,"error":"template: this caller is not let in (decision 00000000-0000-0000-0000-000000000000)"}}"#]],
    );
    check(
        denied("source_not_ready", Class::Unavailable, None),
        V1,
        &[],
        &expect![[r#"
        503 text/plain; charset=utf-8 1
        source_not_ready: the login cannot be checked for now, try again (decision 00000000-0000-0000-0000-000000000000)
    "#]],
    );
    check(
        denied("sts_throttled", Class::Throttled, Some(7)),
        V1,
        &[],
        &expect![[r#"
        429 text/plain; charset=utf-8 7
        sts_throttled: too many logins for now, try again (decision 00000000-0000-0000-0000-000000000000)
    "#]],
    );
}
