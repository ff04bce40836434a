//! Made-up callers: for the examples and tests of a policy, and for "what if" questions. No token proves them, so
//! that none of them is ever the answer to an API server.

use std::time::{Duration, SystemTime};

use super::{Arn, Caller, PrincipalId, PrincipalKind, SessionName, arn::ACS_PARTITION};

/// How old a token is, and how long it is good for: the usual minute after and 14 before.
const SIGNED_BEFORE: Duration = Duration::from_secs(60);
const EXPIRES_AFTER: Duration = Duration::from_secs(840);

/// A caller with this ARN, everything else of it made up.
#[must_use]
pub fn caller(arn: &Arn, now: SystemTime) -> Caller {
    let alibaba = arn.partition() == ACS_PARTITION;
    Caller {
        provider: if alibaba { "alibaba" } else { "aws" },
        partition: arn.partition().to_owned(),
        account_id: arn.account_id().clone(),
        kind: arn.kind(),
        arn: arn.to_string(),
        canonical_arn: arn.canonical(),
        name: arn.name().to_owned(),
        principal_id: PrincipalId::new(principal_id(arn)),
        session_name: arn.session_name().map(SessionName::new),
        sso_permission_set: arn.permission_set().map(str::to_owned),
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        sts_region: "us-east-1".to_owned(),
        signed_at: now - SIGNED_BEFORE,
        expires_at: now + EXPIRES_AFTER,
        uid: String::new(),
        extra: &[],
        attributes: Vec::new(),
    }
}

fn principal_id(arn: &Arn) -> &'static str {
    match arn.kind() {
        PrincipalKind::AssumedRole | PrincipalKind::Role => "AROAEXAMPLEEXAMPLE000",
        _ => "AIDAEXAMPLEEXAMPLE000",
    }
}
