//! Answers of STS: who the caller is, or why nobody is (AWS STS API Reference, "GetCallerIdentity").
//!
//! Only HTTP 200 with the documented JSON names a caller. Wrappers must be exactly those of this action and
//! no name may occur twice, in whatever case; further members beside the three that we read are ignored,
//! so that an addition by AWS does not lock everybody out.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor},
};

use super::hosts::Partition;
use crate::{
    caller::{Arn, Caller, Fact, PrincipalId, PrincipalKind, SessionName},
    provider::{StsCall, StsReply, VerifyError, members},
};

mod failure;

/// The role of every EC2 instance itself, which is none of IAM: no name of theirs has a colon (EC2 User Guide, "Instance
/// identity roles").
const INSTANCE_ROLE: &str = "aws:ec2-instance";
/// Digits of an AWS account id.
const AWS_ACCOUNT_DIGITS: usize = 12;
/// Longest user id: a principal id of at most 128 characters, a colon, a session name of at most 64.
const MAX_USER_ID: usize = 193;

/// The extra keys of aws-iam-authenticator, in its order.
pub const EXTRA: [(&str, Fact); 6] = [
    ("arn", Fact::Arn),
    ("canonicalArn", Fact::CanonicalArn),
    ("sessionName", Fact::SessionName),
    ("accessKeyId", Fact::AccessKeyId),
    ("principalId", Fact::PrincipalId),
    ("sigs.k8s.io/aws-iam-authenticator/principalId", Fact::PrincipalId),
];

/// The members of `GetCallerIdentityResult` that make an [`Identity`].
const MEMBERS: [&str; 3] = ["Account", "Arn", "UserId"];

/// Reads what STS answered to `call`, as a server of `partition`.
///
/// # Errors
///
/// [`VerifyError::Refused`], [`VerifyError::Throttled`] or [`VerifyError::Unavailable`] by status and error
/// code, and [`VerifyError::Unintelligible`] when the answer names no caller.
pub(super) fn interpret(partition: Partition, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
    if reply.status != 200 {
        return Err(failure::read(reply));
    }
    if !reply.is_json() {
        return Err(VerifyError::Unintelligible("the content type is not application/json"));
    }
    let answer: Answer = serde_json::from_slice(&reply.body)
        .map_err(|_| VerifyError::Unintelligible("the body is not an answer to GetCallerIdentity"))?;
    caller(partition, call, answer.response.result)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(rename = "GetCallerIdentityResponse")]
    response: Response,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    #[serde(rename = "GetCallerIdentityResult")]
    result: Identity,
    #[serde(rename = "ResponseMetadata", default)]
    _metadata: Option<IgnoredAny>,
}

/// `GetCallerIdentityResult`.
#[derive(Debug)]
struct Identity {
    account: String,
    arn: String,
    user_id: String,
}

fn caller(partition: Partition, call: &StsCall, identity: Identity) -> Result<Caller, VerifyError> {
    let arn: Arn = identity.arn.parse().map_err(|_| VerifyError::Unintelligible("the ARN is not a principal's"))?;
    if arn.partition() != partition.as_str() {
        return Err(VerifyError::Unintelligible("the ARN is of another partition than the endpoint"));
    }
    let account = arn.account_id();
    if account.as_str() != identity.account || account.as_str().len() != AWS_ACCOUNT_DIGITS {
        return Err(VerifyError::Unintelligible("the account is not the ARN's"));
    }
    let (principal_id, session_name) = principal(&arn, &identity.user_id)?;
    Ok(Caller {
        provider: super::NAME,
        partition: arn.partition().to_owned(),
        account_id: account.clone(),
        kind: arn.kind(),
        canonical_arn: arn.canonical(),
        name: arn.name().to_owned(),
        principal_id: PrincipalId::new(principal_id),
        session_name: session_name.map(SessionName::new),
        arn: identity.arn,
        sso_permission_set: arn.permission_set().map(str::to_owned),
        access_key_id: call.access_key_id.clone(),
        sts_region: call.region.clone(),
        signed_at: call.signed_at,
        expires_at: call.expires_at,
        uid: ["aws-iam-authenticator:", account.as_str(), ":", principal_id].concat(),
        extra: &EXTRA,
        attributes: Vec::new(),
    })
}

/// Principal id and session name: `id:session` for roles, the whole value for everybody else
/// (IAM User Guide, "IAM identifiers"). The id of an instance's own role is `account:aws:ec2-instance`.
fn principal<'a>(arn: &Arn, user_id: &'a str) -> Result<(&'a str, Option<&'a str>), VerifyError> {
    let bad = VerifyError::Unintelligible;
    if user_id.is_empty() || user_id.len() > MAX_USER_ID || !user_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("the user id is not an id"));
    }
    if !matches!(arn.kind(), PrincipalKind::AssumedRole | PrincipalKind::Role) {
        return Ok((user_id, None));
    }
    let is_instance = arn.kind() == PrincipalKind::AssumedRole && arn.name() == INSTANCE_ROLE;
    let parts = if is_instance { user_id.rsplit_once(':') } else { user_id.split_once(':') };
    let (id, session) = parts.ok_or_else(|| bad("a role's user id has no session"))?;
    if id.is_empty() || session.is_empty() || session.contains(':') {
        return Err(bad("a role's user id is not id:session"));
    }
    if is_instance && id != [arn.account_id().as_str(), ":", INSTANCE_ROLE].concat() {
        return Err(bad("the user id is not that of an instance of the account"));
    }
    if arn.session_name().is_some_and(|name| name != session) {
        return Err(bad("the user id's session is not the ARN's"));
    }
    Ok((id, Some(session)))
}

// === impl Identity ===

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(IdentityVisitor)
    }
}

struct IdentityVisitor;

impl<'de> Visitor<'de> for IdentityVisitor {
    type Value = Identity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with Account, Arn and UserId")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Identity, A::Error> {
        let values = members::texts(map, &MEMBERS)?;
        match values {
            [Some(account), Some(arn), Some(user_id)] => Ok(Identity { account, arn, user_id }),
            _ => Err(A::Error::custom("Account, Arn or UserId is missing")),
        }
    }
}

#[cfg(test)]
mod tests;
