//! Rules: the one matcher of all static sources, from a verified caller to the entry that names it.
//!
//! An entry names an ARN or an AWS IAM Identity Center permission set. Everything is looked up by hash,
//! so 50,000 entries cost a login the same as ten. The order is total: an exact ARN before a permission
//! set, and of two entries for one principal the one written first; never chance. Comparison folds ASCII
//! case, as IAM keeps names unique without regard to it (IAM User Guide, "IAM and AWS STS quotas").

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use super::{
    StageError,
    template::{RenderError, Template},
};
use crate::{
    caller::{AccountId, Arn, Caller, PrincipalKind},
    policy::Mapping,
};

/// Every entry of one source, indexed. Immutable once it serves.
#[derive(Debug, Default)]
pub struct Rules {
    by_arn: HashMap<Box<str>, Rule>,
    by_permission_set: HashMap<PermissionSet, Rule>,
}

/// Who an entry is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A role, user, federated user or account root.
    Arn(Arn),
    /// Everyone who comes through one permission set into one account.
    PermissionSet(PermissionSet),
}

/// A permission set as it is known in one account, in lower case.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PermissionSet {
    account_id: Box<str>,
    name: Box<str>,
    partition: Box<str>,
}

/// What an entry gives.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The username.
    pub username: Template,
    /// The groups in order, duplicates kept as written. Entries with equal groups share them.
    pub groups: Arc<[Template]>,
    /// Where the entry stands in its file, for messages; 0 if it stands in none.
    pub line: u32,
    /// The whole canonical ARN, if the entry names a role with a path. STS leaves paths out, so it
    /// counts only for a caller whose own ARN shows one.
    with_path: Option<Box<str>>,
}

/// Shares equal group lists between rules while they are being read.
#[derive(Debug, Default)]
pub struct GroupLists(HashSet<Arc<[Template]>>);

/// An earlier entry is about the same principal already. It stays; the later one is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the same principal is mapped on line {first_line} already, which stays in force")]
pub struct Duplicate {
    /// Where the earlier entry stands.
    pub first_line: u32,
}

// === impl Rules ===

impl Rules {
    /// Adds one entry. Entries are to be added in the order in which they take precedence.
    ///
    /// # Errors
    ///
    /// When an earlier entry is about the same principal. Roles that differ only in their path are
    /// the same principal, because STS does not tell them apart.
    pub fn insert(&mut self, subject: Subject, mut rule: Rule) -> Result<(), Duplicate> {
        match subject {
            Subject::Arn(arn) => {
                let key = if is_role(arn.kind()) { arn.canonical_without_path() } else { arn.canonical() };
                let whole = arn.canonical();
                rule.with_path = (whole != key).then(|| whole.into());
                insert(&mut self.by_arn, key.to_ascii_lowercase().into(), rule)
            }
            Subject::PermissionSet(set) => insert(&mut self.by_permission_set, set, rule),
        }
    }

    /// The entry that names `caller`.
    #[must_use]
    pub fn find(&self, caller: &Caller) -> Option<&Rule> {
        self.find_arn(caller).or_else(|| self.by_permission_set.get(&PermissionSet::of(caller)?))
    }

    fn find_arn(&self, caller: &Caller) -> Option<&Rule> {
        let mut key = caller.canonical_arn.to_ascii_lowercase();
        let Some((at, path)) = path_of(caller) else { return self.by_arn.get(key.as_str()) };
        key.replace_range(at..at + path, "");
        let rule = self.by_arn.get(key.as_str())?;
        let whole = rule.with_path.as_deref()?;
        whole.eq_ignore_ascii_case(&caller.canonical_arn).then_some(rule)
    }

    /// The entry about a permission set as such.
    #[must_use]
    pub fn permission_set(&self, set: &PermissionSet) -> Option<&Rule> {
        self.by_permission_set.get(set)
    }

    /// Every ARN that is named, in lower case and a role's without its path, and where. In no order.
    pub(super) fn arns(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_arn.iter().map(|(arn, rule)| (&**arn, rule.line))
    }

    /// Every permission set that is named, and where. In no order.
    pub(super) fn permission_sets(&self) -> impl Iterator<Item = (&PermissionSet, u32)> {
        self.by_permission_set.iter().map(|(set, rule)| (set, rule.line))
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.by_arn.values().chain(self.by_permission_set.values())
    }

    /// How many entries are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_arn.len() + self.by_permission_set.len()
    }

    /// Whether no entry is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back what growing took too much of.
    pub fn shrink_to_fit(&mut self) {
        self.by_arn.shrink_to_fit();
        self.by_permission_set.shrink_to_fit();
    }
}

fn insert<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Rule>, key: K, rule: Rule) -> Result<(), Duplicate> {
    match map.entry(key) {
        Entry::Occupied(first) => Err(Duplicate { first_line: first.get().line }),
        Entry::Vacant(place) => {
            place.insert(rule);
            Ok(())
        }
    }
}

fn is_role(kind: PrincipalKind) -> bool {
    matches!(kind, PrincipalKind::AssumedRole | PrincipalKind::Role)
}

/// Offset and length of the path in the canonical ARN of a role that shows one, which STS itself
/// never does.
fn path_of(caller: &Caller) -> Option<(usize, usize)> {
    if !is_role(caller.kind) {
        return None;
    }
    let start = caller.canonical_arn.find('/')? + 1;
    let path = caller.canonical_arn[start..].rfind('/')? + 1;
    Some((start, path))
}

// === impl PermissionSet ===

impl PermissionSet {
    /// A permission set by its name in IAM Identity Center.
    #[must_use]
    pub fn new(partition: &str, account_id: &AccountId, name: &str) -> Self {
        Self {
            account_id: account_id.as_str().into(),
            name: name.to_ascii_lowercase().into(),
            partition: partition.to_ascii_lowercase().into(),
        }
    }

    /// The account that it is in.
    #[must_use]
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The partition that it is in.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The set through which `caller` came.
    fn of(caller: &Caller) -> Option<Self> {
        let name = caller.sso_permission_set.as_ref()?;
        Some(Self::new(&caller.partition, &caller.account_id, name))
    }
}

// === impl Rule ===

impl Rule {
    /// A rule that stands on `line`.
    #[must_use]
    pub fn new(username: Template, groups: Arc<[Template]>, line: u32) -> Self {
        Self { username, groups, line, with_path: None }
    }

    /// Whether everybody whom it names has the group `name`.
    #[must_use]
    pub fn gives(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.literal() == Some(name))
    }

    /// The Kubernetes identity that this entry gives `caller`.
    ///
    /// # Errors
    ///
    /// When a template does not fit the caller. The login is then refused.
    pub fn render(&self, caller: &Caller) -> Result<Mapping, StageError> {
        let misfit = |error: RenderError| StageError::Template(error.to_string());
        let username = self.username.render(caller).map_err(misfit)?;
        let groups = self.groups.iter().map(|group| group.render(caller).map_err(misfit));
        Ok(Mapping { username, groups: groups.collect::<Result<_, _>>()?, ..Mapping::default() })
    }
}

// === impl GroupLists ===

impl GroupLists {
    /// `groups`, or the equal list that is there already.
    pub fn share(&mut self, groups: Vec<Template>) -> Arc<[Template]> {
        if let Some(shared) = self.0.get(groups.as_slice()) {
            return Arc::clone(shared);
        }
        let list: Arc<[Template]> = groups.into();
        self.0.insert(Arc::clone(&list));
        list
    }
}

#[cfg(test)]
pub(crate) mod tests;
