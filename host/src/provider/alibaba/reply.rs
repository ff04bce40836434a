//! Answers of STS: who the caller is, or why nobody is (Security Token Service API Reference, "GetCallerIdentity").
//!
//! Only HTTP 200 with the documented JSON names a caller. The parts of an answer say things twice: account and ARN,
//! kind of identity and ARN, session and ARN. Where two of them differ, it names nobody. Further members are ignored,
//! so that an addition does not lock everybody out; no name may occur twice, in whatever case.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess, Visitor},
};

use crate::{
    caller::{Arn, Caller, Fact, PrincipalId, PrincipalKind, SessionName, arn::ACS_PARTITION},
    provider::{StsCall, StsReply, VerifyError, members},
};

mod failure;

/// Digits of an account id.
const ACCOUNT_DIGITS: usize = 16;
/// Longest principal id: an id, a colon, a session name of at most 64 characters.
const MAX_PRINCIPAL_ID: usize = 193;
/// Kinds of identity, and the principals that they are.
const IDENTITY_TYPES: [(&str, PrincipalKind); 3] = [
    ("Account", PrincipalKind::Root),
    ("RAMUser", PrincipalKind::User),
    ("AssumedRoleUser", PrincipalKind::AssumedRole),
];

/// Reads what STS answered to `call`.
///
/// # Errors
///
/// [`VerifyError::Refused`], [`VerifyError::Throttled`] or [`VerifyError::Unavailable`] by status and error
/// code, and [`VerifyError::Unintelligible`] when the answer names no caller.
pub(super) fn interpret(call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
    if reply.status != 200 {
        return Err(failure::read(reply));
    }
    if !reply.is_json() {
        return Err(VerifyError::Unintelligible("the content type is not application/json"));
    }
    let identity: Identity = serde_json::from_slice(&reply.body)
        .map_err(|_| VerifyError::Unintelligible("the body is not an answer to GetCallerIdentity"))?;
    caller(call, &identity)
}

/// The members that say who the caller is.
#[derive(Debug, Default)]
struct Identity {
    account_id: String,
    arn: String,
    identity_type: String,
    principal_id: String,
    /// Of users.
    user_id: Option<String>,
    /// Of roles.
    role_id: Option<String>,
}

/// The extra keys of ack-ram-authenticator, in its order.
pub const EXTRA: [(&str, Fact); 3] =
    [("arn", Fact::Arn), ("canonicalArn", Fact::CanonicalArn), ("sessionName", Fact::SessionName)];

fn caller(call: &StsCall, identity: &Identity) -> Result<Caller, VerifyError> {
    let bad = |what| Err(VerifyError::Unintelligible(what));
    let Ok(arn) = identity.arn.parse::<Arn>() else { return bad("the ARN is not a principal's") };
    if arn.partition() != ACS_PARTITION {
        return bad("the ARN is not one of Alibaba Cloud");
    }
    let account = arn.account_id();
    if account.as_str() != identity.account_id || account.as_str().len() != ACCOUNT_DIGITS {
        return bad("the account is not the ARN's");
    }
    let kind = IDENTITY_TYPES.iter().find(|(name, _)| *name == identity.identity_type).map(|(_, kind)| *kind);
    if kind != Some(arn.kind()) {
        return bad("the kind of identity is not the ARN's");
    }
    let (principal_id, session_name) = principal(&arn, identity)?;
    Ok(Caller {
        provider: super::NAME,
        partition: arn.partition().to_owned(),
        account_id: account.clone(),
        kind: arn.kind(),
        arn: identity.arn.clone(),
        canonical_arn: arn.canonical(),
        name: arn.name().to_owned(),
        principal_id: PrincipalId::new(principal_id),
        session_name: session_name.map(SessionName::new),
        sso_permission_set: None,
        access_key_id: call.access_key_id.clone(),
        sts_region: call.region.clone(),
        signed_at: call.signed_at,
        expires_at: call.expires_at,
        uid: ["ack-ram-authenticator:", account.as_str(), ":", principal_id].concat(),
        extra: &EXTRA,
        attributes: vec![("alibaba.identity-type".to_owned(), identity.identity_type.clone())],
    })
}

/// Principal id and session name: `id:session` for roles, the whole value for everybody else.
fn principal<'a>(arn: &Arn, identity: &'a Identity) -> Result<(&'a str, Option<&'a str>), VerifyError> {
    let bad = |what| Err(VerifyError::Unintelligible(what));
    let text = identity.principal_id.as_str();
    if text.is_empty() || text.len() > MAX_PRINCIPAL_ID || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad("the principal id is not an id");
    }
    let (id, session, also) = match arn.kind() {
        PrincipalKind::AssumedRole => match text.split_once(':') {
            Some((id, session)) => (id, Some(session), identity.role_id.as_deref()),
            None => return bad("a role's principal id has no session"),
        },
        PrincipalKind::User => (text, None, identity.user_id.as_deref()),
        _ => (text, None, Some(identity.account_id.as_str())),
    };
    if id.is_empty() || id.contains(':') || also.is_some_and(|also| also != id) {
        return bad("the principal id is not that of the user, role or account");
    }
    if session != arn.session_name() {
        return bad("the principal id's session is not the ARN's");
    }
    Ok((id, session))
}

// === impl Identity ===

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(IdentityVisitor)
    }
}

struct IdentityVisitor;

/// The members that are read, the first four of which every answer has.
const MEMBERS: [&str; 6] = ["AccountId", "Arn", "IdentityType", "PrincipalId", "UserId", "RoleId"];

impl<'de> Visitor<'de> for IdentityVisitor {
    type Value = Identity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with AccountId, Arn, IdentityType and PrincipalId")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Identity, A::Error> {
        let [Some(account_id), Some(arn), Some(identity_type), Some(principal_id), user_id, role_id] =
            members::texts(map, &MEMBERS)?
        else {
            return Err(A::Error::custom("AccountId, Arn, IdentityType or PrincipalId is missing"));
        };
        Ok(Identity { account_id, arn, identity_type, principal_id, user_id, role_id })
    }
}

#[cfg(test)]
mod tests;
