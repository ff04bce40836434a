//! Whom IAM is asked for, and whom not.

use futures_util::FutureExt as _;

use super::*;
use crate::caller::made_up;

/// Whoever `arn` is, with an id that is made up.
pub(super) fn principal(arn: &str) -> Principal {
    Principal::of(&caller(arn)).expect("a role or user")
}

fn caller(arn: &str) -> Caller {
    made_up::caller(&arn.parse().expect("an ARN"), SystemTime::UNIX_EPOCH)
}

struct Nobody;

impl Observer for Nobody {
    fn called(&self, result: &'static str, _: Duration) {
        panic!("nobody is asked: {result}");
    }
}

#[tokio::test]
async fn whoever_is_no_role_or_user_is_not_asked_for() {
    let iam = Iam::new(Settings::default(), || SystemTime::UNIX_EPOCH, Box::new(Nobody));
    for arn in [
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/alice",
        "arn:aws:iam::123456789012:role/Dev",
        "arn:aws-cn:iam::123456789012:user/alice",
        "acs:ram::1234567890123456:user/alice",
        "acs:ram::1234567890123456:assumed-role/dev/alice",
    ] {
        let LookUp { tags, source } = iam.look_up(&caller(arn), Asker::Login).await;
        assert_eq!((tags, source), (Err(IamError::NoPrincipal), Source::Nobody), "{arn}");
    }
}

/// Told by who is waited for: nothing here ever asks.
#[tokio::test]
async fn look_ups_that_no_login_waits_for_leave_half_to_logins() {
    let config = Config { qps: 1, burst: 4, ..Config::default() };
    let iam = Iam::new(Settings { config, ..Settings::default() }, || SystemTime::UNIX_EPOCH, Box::new(Nobody));
    let is_waited_for = |name: &str, asker| {
        let arn = format!("arn:aws:iam::123456789012:user/{name}");
        assert!(iam.look_up(&caller(&arn), asker).now_or_never().is_none(), "{name}");
        iam.0.waiting.board(principal(&arn)).expect("room").0.is_joined
    };
    assert!(["a", "b"].into_iter().all(|name| is_waited_for(name, Asker::Aside)));
    assert!(["c", "d"].into_iter().all(|name| !is_waited_for(name, Asker::Aside)));
    assert!(["e", "f", "g", "h"].into_iter().all(|name| is_waited_for(name, Asker::Login)));
}

#[test]
fn rates_are_bounded() {
    #[track_caller]
    fn check(qps: u32, burst: u32, expected: Result<(), &str>) {
        let config = Config { qps, burst, ..Config::default() };
        assert_eq!(config.check().map_err(|error| error.key), expected);
    }
    check(5, 10, Ok(()));
    check(1, 1000, Ok(()));
    check(0, 10, Err("iam.qps"));
    check(1001, 10, Err("iam.qps"));
    check(5, 0, Err("iam.burst"));
    check(5, 1001, Err("iam.burst"));
}
