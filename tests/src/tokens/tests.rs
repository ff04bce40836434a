//! Vectors of the token format, agreement with the AWS SDK's signer, and bulk making.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use super::*;
use crate::sts::ALICE;

/// 2026-01-02T03:04:05Z.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn example(session_token: Option<&str>, host: &str, region: &str) -> Draft {
    Draft {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: session_token.map(str::to_owned),
        host: host.to_owned(),
        region: region.to_owned(),
        ..Draft::new(&ALICE, "test-cluster", at())
    }
}

#[test]
fn vectors() {
    #[track_caller]
    fn check(draft: &Draft, length: usize, signature: &str) {
        let signed = draft.sign();
        assert_eq!(signed.find("X-Amz-Signature"), Some(signature));
        let token = signed.token();
        assert_eq!(token.len(), length);
        assert_eq!(url_of(&token), Some(signed.url()));
        assert_eq!(by_aws_sdk(draft, at()).ok().as_deref().map(sorted), Some(sorted(&token)), "the AWS SDK agrees");
    }
    /// The SDK writes the same parameters in an order of its own.
    fn sorted(token: &str) -> Vec<String> {
        let url = url_of(token).expect("a token");
        let mut pairs: Vec<_> = url.split(['?', '&']).map(str::to_owned).collect();
        pairs.sort();
        pairs
    }
    let regional = "sts.us-west-2.amazonaws.com";
    check(
        &example(None, regional, "us-west-2"),
        481,
        "40dd4d1ea3d907d7bbc683b9a45e5a845dc79b978be4bc2b5b31a18c324aeb38",
    );
    check(
        &example(Some("AQoD/EXAMPLE+token="), regional, "us-west-2"),
        543,
        "185b7377dba6d8ee2dc6d0877f375b33ce363f645c61b82c3b51d131f4d93c0b",
    );
    check(
        &example(None, "sts.amazonaws.com", "us-east-1"),
        467,
        "11337eee3b75d19b90877372f0ae5847c42efa9c19a436839949919871048451",
    );
}

#[test]
fn a_derived_key_names_its_caller() {
    let who = Who { role: 49_999, session: 123_456_789, session_token_len: 800 };
    let id = who.access_key_id();
    assert_eq!(id.len(), 20);
    let key = derived_key(&id).expect("a derived id");
    assert_eq!(key.identity.arn, "arn:aws:sts::111122223333:assumed-role/bench-role-049999/sess-123456789");
    assert!(key.identity.user_id.ends_with(":sess-123456789"));
    assert_eq!(key.session_token.map(|token| token.len()), Some(800));
    assert!(derived_key("AKIDEXAMPLE").is_none());
}

#[test]
fn bulk_tokens_are_distinct() {
    let host = "sts.eu-west-1.amazonaws.com";
    let good =
        Batch { kind: Kind::Good, roles: 7, first_session: 0, host, cluster_id: "c", session_token_len: 800, at: at() };
    let made = good.tokens(50);
    assert_eq!(made.iter().map(|(token, _)| token).collect::<HashSet<_>>().len(), 50);
    assert!(made.iter().all(|(token, username)| token.len() < 4096 && username.is_some()));
    let url = url_of(&made[0].0).expect("a token");
    assert!(url.starts_with("https://sts.eu-west-1.amazonaws.com/?") && url.contains("%2Feu-west-1%2Fsts%2F"), "{url}");
    for kind in [Kind::Badb64, Kind::Badhost, Kind::Badsig, Kind::Expired, Kind::Junk] {
        let bad = Batch { kind, ..good }.tokens(1).remove(0);
        assert!(bad.1.is_none() && bad.0 != made[0].0, "{kind:?}");
    }
}
