//! Rules: the one matcher of all static sources, from a verified caller to the entry that names it.
//!
//! An entry names an ARN, an AWS IAM Identity Center permission set, or the unique id of a principal; entries of
//! RAMIdentityMapping objects also ARNs with wildcards ([`glob`]), which are looked at one by one if nothing else fits.
//! Everything else is looked up by hash, so 50,000 entries cost a login the same as ten. The order is total: a
//! unique id before an exact ARN before a permission set before a glob, and of two entries for one principal the one
//! written first; never chance. An entry that ends by itself is as good as gone from then on, and the next
//! one for the same principal takes its place. Comparison of ARNs folds ASCII case, as IAM keeps names
//! unique without regard to it (IAM User Guide, "IAM and AWS STS quotas"); unique ids are compared as they are.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
    sync::Arc,
    time::SystemTime,
};

use super::{
    Answer, StageError,
    node::NodeName,
    template::{RenderError, Template},
};
use crate::{
    caller::{AccountId, Arn, Caller, PrincipalId, PrincipalKind},
    policy::{Mapping, Request, Verdict},
};

pub mod glob;

pub use glob::ArnGlob;

/// Every entry of one source, indexed. Immutable once it serves.
#[derive(Debug, Default)]
pub struct Rules {
    by_arn: HashMap<Box<str>, Rule>,
    by_permission_set: HashMap<PermissionSet, Rule>,
    by_principal_id: HashMap<Box<str>, Rule>,
    /// The most specific first.
    globs: Vec<(ArnGlob, Rule)>,
    /// Entries with an end that wait for another one's end.
    waiting: usize,
}

/// Who an entry is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A role, user, federated user or account root.
    Arn(Arn),
    /// Every principal whose ARN fits.
    Glob(ArnGlob),
    /// Everyone who comes through one permission set into one account.
    PermissionSet(PermissionSet),
    /// One principal by its unique id, which no later namesake has; with an ARN, only while it has that ARN too.
    Principal(PrincipalId, Option<Arn>),
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
    /// The whole canonical ARN, if the entry names a role with a path (STS leaves paths out, so it counts
    /// only for a caller whose own ARN shows one); of an entry for a unique id, the ARN that goes with it.
    arn: Option<Box<str>>,
    /// Of an entry that ends by itself; boxed, as few do.
    end: Option<Box<End>>,
}

/// When an entry ends, and who comes after it.
#[derive(Clone, Debug)]
struct End {
    not_after: SystemTime,
    /// Later entries about the same principal, in order. All but the last have an end of their own.
    next: Vec<Rule>,
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
                let key = matching_form(&arn);
                let whole = arn.canonical();
                rule.arn = (whole != key).then(|| whole.into());
                insert(&mut self.by_arn, key.to_ascii_lowercase().into(), rule, &mut self.waiting)
            }
            Subject::Glob(glob) => self.insert_glob(glob, rule),
            Subject::PermissionSet(set) => insert(&mut self.by_permission_set, set, rule, &mut self.waiting),
            Subject::Principal(id, arn) => {
                rule.arn = arn.map(|arn| matching_form(&arn).into());
                insert(&mut self.by_principal_id, id.as_str().into(), rule, &mut self.waiting)
            }
        }
    }

    fn insert_glob(&mut self, glob: ArnGlob, rule: Rule) -> Result<(), Duplicate> {
        if let Some((_, first)) = self.globs.iter_mut().find(|(known, _)| *known == glob) {
            first.wait_for_end(rule)?;
            self.waiting += 1;
            return Ok(());
        }
        let at = self.globs.partition_point(|(known, _)| known.order() <= glob.order());
        self.globs.insert(at, (glob, rule));
        Ok(())
    }

    /// The entry that names `caller` and has not ended.
    #[must_use]
    pub fn find(&self, caller: &Caller, now: SystemTime) -> Option<&Rule> {
        let by_set = || self.by_permission_set.get(&PermissionSet::of(caller)?)?.in_force(now);
        let by_glob = || {
            let mut fitting = self.globs.iter().filter(|(glob, _)| glob.fits(caller));
            fitting.find_map(|(_, rule)| rule.in_force(now))
        };
        self.find_id(caller, now).or_else(|| self.find_arn(caller, now)).or_else(by_set).or_else(by_glob)
    }

    /// What these entries say about the caller of `request`.
    #[must_use]
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        match self.find(request.caller, request.now) {
            None => Answer::plain(Ok(Verdict::Abstain)),
            Some(rule) if rule.needs_node() => Answer::waiting(rule.as_written()),
            Some(rule) => Answer::plain(rule.render(request.caller, None).map(Verdict::Allow)),
        }
    }

    fn find_id(&self, caller: &Caller, now: SystemTime) -> Option<&Rule> {
        let rule = self.by_principal_id.get(caller.principal_id.as_str())?.in_force(now)?;
        let expected = rule.arn.as_deref();
        let fits = |arn: &str| arn.eq_ignore_ascii_case(&caller.canonical_arn);
        expected.is_none_or(fits).then_some(rule)
    }

    fn find_arn(&self, caller: &Caller, now: SystemTime) -> Option<&Rule> {
        let mut key = caller.canonical_arn.to_ascii_lowercase();
        let Some((at, path)) = path_of(caller) else { return self.by_arn.get(key.as_str())?.in_force(now) };
        key.replace_range(at..at + path, "");
        let rule = self.by_arn.get(key.as_str())?.in_force(now)?;
        let whole = rule.arn.as_deref()?;
        whole.eq_ignore_ascii_case(&caller.canonical_arn).then_some(rule)
    }

    /// The entry about a permission set as such.
    #[must_use]
    pub fn permission_set(&self, set: &PermissionSet) -> Option<&Rule> {
        self.by_permission_set.get(set)
    }

    /// Every ARN that is named, in lower case and a role's without its path, and its entry. In no order.
    pub(super) fn arns(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.by_arn.iter().map(|(arn, rule)| (&**arn, rule))
    }

    /// Every permission set that is named, and its entry. In no order.
    pub(super) fn permission_sets(&self) -> impl Iterator<Item = (&PermissionSet, &Rule)> {
        self.by_permission_set.iter()
    }

    /// Every unique id that is named, the ARN that goes with it, and its entry. In no order.
    pub(super) fn principal_ids(&self) -> impl Iterator<Item = (&str, Option<&str>, &Rule)> {
        self.by_principal_id.iter().map(|(id, rule)| (&**id, rule.arn.as_deref(), rule))
    }

    /// Every glob, and its entry. The most specific first.
    pub(super) fn globs(&self) -> impl Iterator<Item = (&ArnGlob, &Rule)> {
        self.globs.iter().map(|(glob, rule)| (glob, rule))
    }

    /// Every entry, those included that have ended or wait for another one's end. In no order.
    pub fn every(&self) -> impl Iterator<Item = &Rule> {
        self.firsts().flat_map(Rule::in_turn)
    }

    /// Every entry that counts at `now`: of several about one principal, one. In no order.
    pub fn counting(&self, now: SystemTime) -> impl Iterator<Item = &Rule> {
        self.firsts().filter_map(move |rule| rule.in_force(now))
    }

    /// Of several entries about one principal, the first. In no order.
    fn firsts(&self) -> impl Iterator<Item = &Rule> {
        let first = self.by_arn.values().chain(self.by_permission_set.values()).chain(self.by_principal_id.values());
        first.chain(self.globs.iter().map(|(_, rule)| rule))
    }

    /// How many entries there are, those that have ended included.
    #[must_use]
    pub fn len(&self) -> usize {
        let exact = self.by_arn.len() + self.by_permission_set.len() + self.by_principal_id.len();
        exact + self.globs.len() + self.waiting
    }

    /// Whom each entry is about, and the entry; of several about one principal, the first.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Rule)> {
        let arns = self.by_arn.iter().map(|(arn, rule)| (arn.to_string(), rule));
        let sets = self.by_permission_set.iter().map(|(set, rule)| (set.to_string(), rule));
        let ids = self.by_principal_id.iter().map(|(id, rule)| (id.to_string(), rule));
        let globs = self.globs.iter().map(|(glob, rule)| (glob.to_string(), rule));
        arns.chain(sets).chain(ids).chain(globs)
    }

    /// Whom each entry that counts at `now` is about, and the entry.
    pub fn in_force(&self, now: SystemTime) -> impl Iterator<Item = (String, &Rule)> {
        self.iter().filter_map(move |(who, rule)| Some((who, rule.in_force(now)?)))
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
        self.by_principal_id.shrink_to_fit();
        self.globs.shrink_to_fit();
    }
}

fn insert<K: Eq + std::hash::Hash>(
    map: &mut HashMap<K, Rule>,
    key: K,
    rule: Rule,
    waiting: &mut usize,
) -> Result<(), Duplicate> {
    match map.entry(key) {
        Entry::Occupied(mut first) => {
            first.get_mut().wait_for_end(rule)?;
            *waiting += 1;
            Ok(())
        }
        Entry::Vacant(place) => {
            place.insert(rule);
            Ok(())
        }
    }
}

/// The form in which an entry's ARN is compared: as STS tells it, and so without the path of a role.
fn matching_form(arn: &Arn) -> String {
    if is_role(arn.kind()) { arn.canonical_without_path() } else { arn.canonical() }
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
    #[must_use]
    pub fn of(caller: &Caller) -> Option<Self> {
        let name = caller.sso_permission_set.as_ref()?;
        Some(Self::new(&caller.partition, &caller.account_id, name))
    }
}

impl fmt::Display for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account_id, name, partition } = self;
        write!(f, "sso:{partition}:{account_id}:{name}")
    }
}

// === impl Rule ===

impl Rule {
    /// A rule that stands on `line`.
    #[must_use]
    pub fn new(username: Template, groups: Arc<[Template]>, line: u32) -> Self {
        Self { username, groups, line, arn: None, end: None }
    }

    /// The same, in force up to and including `not_after`.
    #[must_use]
    pub fn ending(mut self, not_after: SystemTime) -> Self {
        self.end = Some(Box::new(End { not_after, next: Vec::new() }));
        self
    }

    /// Whether it gives the same to the same callers as `other`, wherever the two stand.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same_end = match (&self.end, &other.end) {
            (None, None) => true,
            (Some(left), Some(right)) => {
                let pairs = left.next.iter().zip(&right.next);
                left.not_after == right.not_after
                    && left.next.len() == right.next.len()
                    && pairs.into_iter().all(|(left, right)| left.is_same(right))
            }
            _ => false,
        };
        same_end && self.username == other.username && self.groups == other.groups && self.arn == other.arn
    }

    /// When it ends by itself.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.end.as_ref().map(|end| end.not_after)
    }

    /// This entry, or once it has ended the first behind it that has not.
    fn in_force(&self, now: SystemTime) -> Option<&Self> {
        let lasts = |rule: &&Self| rule.not_after().is_none_or(|end| now <= end);
        self.in_turn().find(lasts)
    }

    /// This entry, and those behind it that wait for its end.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.end.iter().flat_map(|end| &end.next))
    }

    fn wait_for_end(&mut self, later: Self) -> Result<(), Duplicate> {
        let Some(end) = &mut self.end else { return Err(Duplicate { first_line: self.line }) };
        match end.next.last() {
            Some(last) if last.end.is_none() => Err(Duplicate { first_line: last.line }),
            _ => {
                end.next.push(later);
                Ok(())
            }
        }
    }

    /// Whether everybody whom it names has the group `name`.
    #[must_use]
    pub fn gives(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.literal() == Some(name))
    }

    /// Whether somebody may have the group `name`, a `system:` one, by it or by one behind it. A caller may choose the rest
    /// of such a name.
    pub(super) fn may_give(&self, name: &str) -> bool {
        let may = |group: &Template| group.literal() == Some(name) || group.opens_system_names();
        self.in_turn().any(|rule| rule.groups.iter().any(may))
    }

    /// Whether it lets nobody in who has no session.
    #[must_use]
    pub fn needs_session(&self) -> bool {
        self.username.needs_session() || self.groups.iter().any(Template::needs_session)
    }

    /// Whether the name of a node has to be found for it.
    #[must_use]
    pub fn needs_node(&self) -> bool {
        self.username.needs_node() || self.groups.iter().any(Template::needs_node)
    }

    /// What it gives, without whom and until when.
    fn as_written(&self) -> Self {
        Self::new(self.username.clone(), Arc::clone(&self.groups), self.line)
    }

    /// The Kubernetes identity that this entry gives `caller`, who is the node `node` if that is known.
    ///
    /// # Errors
    ///
    /// When a template does not fit the caller. The login is then refused.
    pub fn render(&self, caller: &Caller, node: Option<&NodeName>) -> Result<Mapping, StageError> {
        let misfit = |error: RenderError| StageError::Template(error.to_string());
        let username = self.username.render(caller, node).map_err(misfit)?;
        let groups = self.groups.iter().map(|group| group.render(caller, node).map_err(misfit));
        Ok(Mapping { username, groups: groups.collect::<Result<_, _>>()?, ..Mapping::default() })
    }
}

/// The username and groups as they are written, and the end if there is one.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        write!(f, "{} [{}]", self.username, groups.join(" "))?;
        self.not_after().map_or(Ok(()), |end| write!(f, " until {}", humantime::format_rfc3339_seconds(end)))
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
