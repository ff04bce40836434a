//! ARNs of principals, and the canonical form that mappings name.
//!
//! Grammar: `arn:<partition>:<service>:<region>:<account>:<resource>` (AWS General Reference, "Amazon
//! Resource Names") and `acs:<service>:<region>:<account>:<resource>` (Alibaba Cloud RAM, "Policy
//! elements"). Only the principals that a caller can be are read; everything else is not one.

use std::{fmt, str::FromStr};

use super::{AccountId, PrincipalKind};

/// Partitions of AWS that exist today.
pub const AWS_PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov"];
/// The one partition of Alibaba Cloud, as policies see it.
pub const ACS_PARTITION: &str = "acs";

/// The ARN of a principal: a user, role, role session, federated user or account root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arn {
    partition: String,
    account_id: AccountId,
    kind: PrincipalKind,
    /// Path and name behind `role/`, `user/`, …; without the session. Empty for root.
    path_and_name: String,
    session_name: Option<String>,
}

/// The named field is missing, malformed, or of no principal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the ARN of a principal: bad {0}")]
pub struct InvalidArn(pub(crate) &'static str);

// === impl Arn ===

impl Arn {
    /// `aws`, `aws-cn`, …, or `acs`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The account the principal belongs to.
    #[must_use]
    pub fn account_id(&self) -> &AccountId {
        &self.account_id
    }

    /// What kind of principal it names.
    #[must_use]
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// User or role name without its path; empty for root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path_and_name.rsplit('/').next().unwrap_or_default()
    }

    /// The path with both its slashes, `/` if there is none. STS never returns a role's path.
    #[must_use]
    pub fn path(&self) -> String {
        match self.path_and_name.rsplit_once('/') {
            Some((path, _)) => format!("/{path}/"),
            None => "/".to_owned(),
        }
    }

    /// The session's name, of an assumed role.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        self.session_name.as_deref()
    }

    /// The permission set behind a role that IAM Identity Center made: `AWSReservedSSO_<set>_<16 hexadecimal digits>`
    /// (AWS IAM Identity Center User Guide, "Referencing permission sets in resource policies"). The suffix has a
    /// fixed length, so a set called `View` is never taken for one called `View_Only`.
    #[must_use]
    pub fn permission_set(&self) -> Option<&str> {
        if !matches!(self.kind, PrincipalKind::AssumedRole | PrincipalKind::Role) {
            return None;
        }
        let (set, suffix) = self.name().strip_prefix("AWSReservedSSO_")?.rsplit_once('_')?;
        let hexadecimal = suffix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (hexadecimal && suffix.len() == 16 && !set.is_empty()).then_some(set)
    }

    /// The ARN that mappings name: a role session becomes the role behind it, others stay.
    ///
    /// `arn:aws:sts::123456789012:assumed-role/Admin/alice` gives `arn:aws:iam::123456789012:role/Admin`.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.write_canonical(&self.path_and_name)
    }

    /// The canonical ARN without the role's or user's path.
    #[must_use]
    pub fn canonical_without_path(&self) -> String {
        self.write_canonical(self.name())
    }

    fn write_canonical(&self, name: &str) -> String {
        let (kind, service) = match self.kind {
            PrincipalKind::AssumedRole | PrincipalKind::Role => ("role/", "iam"),
            PrincipalKind::FederatedUser => ("federated-user/", "sts"),
            PrincipalKind::Root => ("root", "iam"),
            PrincipalKind::User => ("user/", "iam"),
        };
        let Self { partition, account_id, .. } = self;
        match partition.as_str() {
            ACS_PARTITION => ["acs:ram::", account_id.as_str(), ":", kind, name].concat(),
            _ => ["arn:", partition, ":", service, "::", account_id.as_str(), ":", kind, name].concat(),
        }
    }
}

impl FromStr for Arn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("acs:") {
            let [service, region, account, resource] = sections(rest)?;
            return Self::new(ACS_PARTITION, service, region, account, resource);
        }
        let rest = text.strip_prefix("arn:").ok_or(InvalidArn("prefix"))?;
        let (partition, rest) = rest.split_once(':').ok_or(InvalidArn("number of sections"))?;
        if !AWS_PARTITIONS.contains(&partition) {
            return Err(InvalidArn("partition"));
        }
        let [service, region, account, resource] = sections(rest)?;
        Self::new(partition, service, region, account, resource)
    }
}

impl Arn {
    fn new(partition: &str, service: &str, region: &str, account: &str, resource: &str) -> Result<Self, InvalidArn> {
        if !region.is_empty() {
            return Err(InvalidArn("region: principals have none"));
        }
        let (kind, path_and_name, session_name) = principal(partition == ACS_PARTITION, service, resource)?;
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let named = kind == PrincipalKind::Root || !path_and_name.split('/').any(str::is_empty);
        if !named || !printable(path_and_name) || session_name.is_some_and(|name| name.is_empty() || !printable(name)) {
            return Err(InvalidArn("resource"));
        }
        Ok(Self {
            partition: partition.to_owned(),
            account_id: account.parse().map_err(|_| InvalidArn("account"))?,
            kind,
            path_and_name: path_and_name.to_owned(),
            session_name: session_name.map(str::to_owned),
        })
    }
}

fn sections(rest: &str) -> Result<[&str; 4], InvalidArn> {
    let mut parts = rest.splitn(4, ':');
    let mut next = || parts.next().ok_or(InvalidArn("number of sections"));
    Ok([next()?, next()?, next()?, next()?])
}

/// Alibaba Cloud has principals of one service alone, `ram`; with AWS that is the name of another.
fn principal<'a>(
    is_acs: bool,
    service: &str,
    resource: &'a str,
) -> Result<(PrincipalKind, &'a str, Option<&'a str>), InvalidArn> {
    if is_acs != (service == "ram") {
        return Err(InvalidArn("service"));
    }
    let (word, rest) = resource.split_once('/').unwrap_or((resource, ""));
    match (service, word) {
        ("sts" | "ram", "assumed-role") => {
            let (role, session) = rest.rsplit_once('/').ok_or(InvalidArn("assumed role"))?;
            Ok((PrincipalKind::AssumedRole, role, Some(session)))
        }
        ("sts", "federated-user") => Ok((PrincipalKind::FederatedUser, rest, None)),
        ("iam" | "ram", "role") => Ok((PrincipalKind::Role, rest, None)),
        ("iam" | "ram", "user") => Ok((PrincipalKind::User, rest, None)),
        ("iam" | "ram", "root") if resource == "root" => Ok((PrincipalKind::Root, "", None)),
        ("iam" | "ram" | "sts", _) => Err(InvalidArn("resource")),
        _ => Err(InvalidArn("service")),
    }
}

/// Writes the ARN of the principal, a session's with its name.
impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(session) = &self.session_name else { return f.write_str(&self.canonical()) };
        let Self { partition, account_id, path_and_name, .. } = self;
        match partition.as_str() {
            ACS_PARTITION => write!(f, "acs:ram::{account_id}:assumed-role/{path_and_name}/{session}"),
            _ => write!(f, "arn:{partition}:sts::{account_id}:assumed-role/{path_and_name}/{session}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = text.parse::<Arn>();
        assert_eq!(found.as_ref().map(Arn::canonical).as_deref().map_err(|error| error.0), expected, "{text}");
        if let Ok(arn) = found {
            assert_eq!(arn.to_string(), text, "an ARN is written as it was read");
        }
    }

    #[test]
    fn canonical_forms() {
        check("arn:aws:sts::123456789012:assumed-role/Admin/alice", Ok("arn:aws:iam::123456789012:role/Admin"));
        check("arn:aws:sts::123456789012:assumed-role/a/b/Admin/alice", Ok("arn:aws:iam::123456789012:role/a/b/Admin"));
        check("arn:aws-cn:sts::123456789012:federated-user/bob", Ok("arn:aws-cn:sts::123456789012:federated-user/bob"));
        check("arn:aws:iam::123456789012:role/path/Admin", Ok("arn:aws:iam::123456789012:role/path/Admin"));
        check(
            "arn:aws-us-gov:iam::123456789012:user/team/a/alice",
            Ok("arn:aws-us-gov:iam::123456789012:user/team/a/alice"),
        );
        check("arn:aws:iam::123456789012:root", Ok("arn:aws:iam::123456789012:root"));
        check("acs:ram::1234567890123456:assumed-role/Admin/alice", Ok("acs:ram::1234567890123456:role/Admin"));
        check("acs:ram::1234567890123456:user/alice", Ok("acs:ram::1234567890123456:user/alice"));
        check("acs:ram::1234567890123456:root", Ok("acs:ram::1234567890123456:root"));
    }

    #[test]
    fn what_no_principal_is() {
        check("", Err("prefix"));
        check("arn:aws:iam::123456789012", Err("number of sections"));
        check("arn:aws-us-govt:iam::123456789012:user/a", Err("partition"));
        check("arn:aws:iam:us-east-1:123456789012:user/a", Err("region: principals have none"));
        check("arn:aws:iam::12345678901:user/a", Err("account"));
        check("arn:aws:ec2::123456789012:instance/i-0", Err("service"));
        check("arn:aws:ram::123456789012:user/a", Err("service"));
        check("acs:sts::1234567890123456:assumed-role/Admin/alice", Err("service"));
        check("acs:iam::1234567890123456:user/alice", Err("service"));
        check("arn:aws:iam::123456789012:group/a", Err("resource"));
        check("arn:aws:iam::123456789012:rooted", Err("resource"));
        check("arn:aws:iam::123456789012:root/", Err("resource"));
        check("arn:aws:iam::123456789012:role/", Err("resource"));
        check("arn:aws:iam::123456789012:role//a", Err("resource"));
        check("arn:aws:iam::123456789012:user/a b", Err("resource"));
        check("arn:aws:sts::123456789012:assumed-role/Admin", Err("assumed role"));
        check("arn:aws:sts::123456789012:assumed-role/Admin/", Err("resource"));
        check("arn:aws:sts::123456789012:user/a", Err("resource"));
    }

    #[test]
    fn paths_and_names() {
        let arn: Arn = "arn:aws:iam::123456789012:role/a/b/Admin".parse().expect("good");
        assert_eq!((arn.path().as_str(), arn.name()), ("/a/b/", "Admin"));
        assert_eq!(arn.canonical_without_path(), "arn:aws:iam::123456789012:role/Admin");
        let root: Arn = "arn:aws:iam::123456789012:root".parse().expect("good");
        assert_eq!((root.path().as_str(), root.name(), root.session_name()), ("/", "", None));
    }
}
