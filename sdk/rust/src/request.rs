//! What a policy is asked: the verified caller and the facts of this login.

use crate::Mapping;

/// One question: who is this caller in the cluster?
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The verified caller.
    pub caller: Caller,
    /// This cluster's id, the one the token was signed for.
    pub cluster_id: String,
    /// The only clock there is: seconds since 1970-01-01T00:00:00Z, read by the host once per login.
    pub now: u64,
    /// What the stages before this one decided; `None` if nobody has mapped the caller yet.
    pub current: Option<Mapping>,
    /// Names of the stages that made or changed `current`, oldest first.
    pub trail: Vec<String>,
}

/// A caller whose token the cloud has verified. All fields but the session's name and a federated user's, which are also
/// the end of [`arn`](Self::arn), are the cloud's own words or the host's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// `aws` or `alibaba`. Abstain or deny when it is a name you do not know.
    pub provider: String,
    /// `aws`, `aws-cn`, `aws-us-gov`, … for AWS; `acs` for Alibaba Cloud.
    pub partition: String,
    /// The account the principal belongs to: 12 digits (AWS) or 16 (Alibaba Cloud). Callers of *any*
    /// account arrive here verified; only a policy or a mapping that names accounts keeps strangers out.
    pub account_id: String,
    /// What kind of principal it is.
    pub kind: PrincipalKind,
    /// The ARN exactly as the cloud returned it.
    pub arn: String,
    /// The ARN that mappings name: a session becomes the role behind it, others stay.
    pub canonical_arn: String,
    /// User or role name without its path; empty for [`PrincipalKind::Root`]. **Caller-chosen** for a
    /// [`PrincipalKind::FederatedUser`]: whoever makes such a session writes here what they like.
    pub name: String,
    /// The principal's stable unique id, without a session suffix; of a [`PrincipalKind::FederatedUser`] its account and name.
    pub principal_id: String,
    /// The role session's name; `None` for everybody else. **Caller-chosen**: whoever may assume the
    /// role writes here what they like, unless the role's trust policy pins it.
    pub session_name: Option<String>,
    /// The permission set's name if AWS IAM Identity Center made the role.
    pub sso_permission_set: Option<String>,
    /// The key that signed the token.
    pub access_key_id: String,
    /// Region of the STS endpoint that vouched; empty for a global one.
    pub sts_region: String,
    /// When the token was signed, in seconds since 1970-01-01T00:00:00Z.
    pub signed_at: u64,
    /// When the token stops being valid, in seconds since 1970-01-01T00:00:00Z.
    pub expires_at: u64,
    /// Facts that only some providers have, as name and value. New names may appear; ignore those
    /// you do not know.
    pub attributes: Vec<(String, String)>,
}

/// What kind of principal the cloud says the caller is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrincipalKind {
    /// A role session made with AssumeRole and its relatives.
    AssumedRole,
    /// A federated user session.
    FederatedUser,
    /// Anything the contract has no word for; read [`Caller::arn`].
    Other,
    /// The account itself.
    Root,
    /// A long-lived IAM or RAM user.
    User,
}

// === impl Caller ===

impl Caller {
    /// The value of one attribute, if the provider gave it.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
