//! A verified caller: what a cloud vouched for, in the words of the policy contract.
//!
//! Only [`crate::provider`] makes one, and only from a cloud's own answer; those of [`made_up`] prove nothing.

use std::{fmt, str::FromStr, time::SystemTime};

use serde::{Deserialize, Serialize};

pub mod arn;
pub mod letters;
pub mod made_up;

pub use arn::Arn;

/// What kind of principal the cloud says the caller is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A role session made with AssumeRole and friends.
    AssumedRole,
    /// A federated user session.
    FederatedUser,
    /// A long-lived role ARN, as a few STS look-alikes return it.
    Role,
    /// The account itself.
    Root,
    /// A long-lived IAM or RAM user.
    User,
}

/// An account number as the cloud writes it: 12 digits (AWS) or 16 digits (Alibaba Cloud).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct AccountId(String);

/// The stable unique id of a principal (`AROA…`, `AIDA…`, a RAM id), without a session suffix.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PrincipalId(String);

/// A role session's name. Caller-chosen, unless only a trusted service can assume the role.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SessionName(String);

/// A caller whose token the cloud has verified. Every field but [`session_name`](Self::session_name)
/// comes from the cloud's answer or from the signed request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// `aws` or `alibaba`.
    pub provider: &'static str,
    /// `aws`, `aws-cn`, `aws-us-gov`, … for AWS; `acs` for Alibaba Cloud.
    pub partition: String,
    /// The account the principal belongs to.
    pub account_id: AccountId,
    /// What kind of principal it is.
    pub kind: PrincipalKind,
    /// Exactly as the cloud returned it.
    pub arn: String,
    /// The ARN that mappings name: a session becomes the role behind it, others stay.
    pub canonical_arn: String,
    /// User or role name without its path; empty for [`PrincipalKind::Root`].
    pub name: String,
    /// The principal's stable unique id.
    pub principal_id: PrincipalId,
    /// The session's name; `None` for users and root.
    pub session_name: Option<SessionName>,
    /// The permission set's name if AWS IAM Identity Center made the role.
    pub sso_permission_set: Option<String>,
    /// The key that signed the token.
    pub access_key_id: String,
    /// Region of the STS endpoint that vouched; empty for a global one.
    pub sts_region: String,
    /// When the token was signed.
    #[serde(skip)]
    pub signed_at: SystemTime,
    /// When the token stops being valid. No answer is given from a cache at or after it.
    #[serde(skip)]
    pub expires_at: SystemTime,
    /// `TokenReview.status.user.uid`, in the form the peer of this provider uses.
    pub uid: String,
    /// The standard `TokenReview.status.user.extra` keys of this provider, in order, and what each repeats.
    #[serde(skip)]
    pub extra: &'static [(&'static str, Fact)],
    /// Facts that only some providers have, e.g. `alibaba.identity-type`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

/// What a key of `TokenReview.status.user.extra` repeats of its [`Caller`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fact {
    /// [`Caller::access_key_id`]
    AccessKeyId,
    /// [`Caller::arn`]
    Arn,
    /// [`Caller::canonical_arn`]
    CanonicalArn,
    /// [`Caller::principal_id`]
    PrincipalId,
    /// [`Caller::session_name`]; empty without a session.
    SessionName,
}

/// Not an account id: must be 12 or 16 decimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an account id: must be 12 or 16 decimal digits")]
pub struct InvalidAccountId;

// === impl Caller ===

impl Caller {
    /// The standard extra keys and their values, in order.
    pub fn extra(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.extra.iter().map(|&(key, fact)| (key, self.fact(fact)))
    }

    fn fact(&self, fact: Fact) -> &str {
        match fact {
            Fact::AccessKeyId => &self.access_key_id,
            Fact::Arn => &self.arn,
            Fact::CanonicalArn => &self.canonical_arn,
            Fact::PrincipalId => self.principal_id.as_str(),
            Fact::SessionName => self.session_name.as_ref().map_or("", SessionName::as_str),
        }
    }
}

// === impl AccountId ===

impl AccountId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for AccountId {
    type Error = InvalidAccountId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        (digits && matches!(text.len(), 12 | 16)).then_some(Self(text)).ok_or(InvalidAccountId)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl PrincipalId ===

impl PrincipalId {
    /// Takes an id a cloud answered with.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl SessionName ===

impl SessionName {
    /// Takes a session name a cloud answered with.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as the cloud returned it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_have_12_or_16_digits() {
        #[track_caller]
        fn check(text: &str, good: bool) {
            assert_eq!(text.parse::<AccountId>().is_ok(), good, "{text:?}");
        }
        check("123456789012", true);
        check("1234567890123456", true);
        check("12345678901", false);
        check("12345678901a", false);
        check("", false);
        check("१२३४", false);
    }
}
