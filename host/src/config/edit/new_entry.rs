//! An entry to be there, and how it is written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AuthMap, EditError, List};
use crate::{mapping::rule::Rule, provider::Cloud};

/// Whom an entry names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Principal {
    /// ARN of a role.
    Role(String),
    /// ARN of a user.
    User(String),
    /// A permission set of IAM Identity Center in one account.
    PermissionSet {
        /// Its name.
        name: String,
        /// The account, twelve digits.
        account_id: String,
        /// The partition; without one `aws`.
        partition: Option<String>,
    },
}

/// An entry to be there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewEntry {
    /// Whom it names.
    pub principal: Principal,
    /// The username, a template.
    pub username: String,
    /// The groups, templates, in order.
    pub groups: Vec<String>,
}

/// An entry as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rolearn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userarn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sso: Option<WrittenSet<'a>>,
    username: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenSet<'a> {
    permission_set_name: &'a str,
    #[serde(rename = "accountID")]
    account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<&'a str>,
}

// === impl Principal ===

impl Principal {
    /// The list that it belongs in.
    #[must_use]
    pub fn list(&self) -> List {
        match self {
            Self::PermissionSet { .. } | Self::Role(_) => List::Roles,
            Self::User(_) => List::Users,
        }
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(arn) | Self::User(arn) => f.write_str(arn),
            Self::PermissionSet { name, account_id, .. } => write!(f, "permission set {name} in account {account_id}"),
        }
    }
}

// === impl NewEntry ===

impl NewEntry {
    /// The entry as a list of one, whom it names, and what it gives, to a reader of such `sessions`.
    pub(super) fn parsed(&self, sessions: &'static [Cloud]) -> Result<(String, String, Rule), EditError> {
        let text = self.to_yaml()?;
        let data = BTreeMap::from([(self.principal.list().key().to_owned(), text.clone())]);
        let map = AuthMap { data, sessions };
        let ((who, rule), _) = map.in_force(self.principal.list(), &text, 0)?;
        Ok((text, who, rule))
    }

    fn written(&self) -> Written<'_> {
        let (mut rolearn, mut userarn, mut sso) = (None, None, None);
        match &self.principal {
            Principal::Role(arn) => rolearn = Some(arn.as_str()),
            Principal::User(arn) => userarn = Some(arn.as_str()),
            Principal::PermissionSet { name, account_id, partition } => {
                let partition = partition.as_deref();
                sso = Some(WrittenSet { permission_set_name: name, account_id, partition });
            }
        }
        Written { rolearn, userarn, sso, username: &self.username, groups: &self.groups }
    }

    fn to_yaml(&self) -> Result<String, EditError> {
        to_yaml(&[self.written()]).ok_or_else(|| EditError::Invalid("cannot be written as YAML".to_owned()))
    }
}

/// `value` as YAML that every reader understands, without texts over several lines.
pub(super) fn to_yaml(value: &impl Serialize) -> Option<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options).ok()?;
    Some(text)
}
