//! Live: a source whose mappings change while Herald runs, as a stage.
//!
//! Whoever reads the source puts whole sets in; a login sees one of them, for it looks once. A
//! source that has never been read refuses, and is told by `/readyz`; one that has been keeps the last good set
//! through every outage.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::future::{BoxFuture, ready};

use super::{
    Answer, Stage, StageError,
    bootstrap_admins::GROUP,
    rule::{Rule, Rules},
};
use crate::{caller::AccountId, policy::Request};

/// Name of kube-system/aws-auth in `server.backendMode`, in the trail, in logs and metrics.
pub const EKS_CONFIG_MAP: &str = "EKSConfigMap";
/// The same of kube-system/alibabacloud-auth.
pub const ACK_CONFIG_MAP: &str = "ACKConfigMap";
/// The same of IAMIdentityMapping objects.
pub const CRD: &str = "CRD";
/// The same of RAMIdentityMapping objects beside them.
pub const RAM_IDENTITY_MAPPING: &str = "RAMIdentityMapping";
/// The same of the file at `server.dynamicFilePath`.
pub const DYNAMIC_FILE: &str = "DynamicFile";

/// What one source maps at one moment.
#[derive(Debug, Default)]
pub struct Mappings {
    /// Its entries.
    pub rules: Rules,
    /// Accounts whose callers it lets in when no entry of any source names them.
    pub accounts: BTreeSet<AccountId>,
}

/// One such source. Cheap to clone: every clone is the same source.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    name: &'static str,
    mappings: ArcSwapOption<Mappings>,
    missing: ArcSwap<String>,
}

/// What became of one principal, or of one account, between two sets.
#[derive(Debug)]
pub struct Change {
    /// The ARN in its canonical form, permission set, unique id or account.
    pub who: String,
    /// What happened.
    pub kind: ChangeKind,
    /// What is given now, or was before it was taken away; with an end, also what is given after it.
    pub gives: String,
    /// Whether administrators are among whom it lets in, or were.
    pub is_of_administrators: bool,
}

/// The three ways in which sets differ.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ChangeKind {
    /// Not there before.
    Added,
    /// There before and now, and gives something else.
    Changed,
    /// Not there any more.
    Removed,
}

// === impl Live ===

impl Live {
    /// The source called `name`, which nobody has read yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let missing = ArcSwap::from_pointee("not read yet".to_owned());
        Self(Arc::new(Inner { name, mappings: ArcSwapOption::empty(), missing }))
    }

    /// From now on logins see `mappings`. Gives back what they saw before.
    pub fn replace(&self, mappings: Arc<Mappings>) -> Option<Arc<Mappings>> {
        self.0.mappings.swap(Some(mappings))
    }

    /// Why it has not been read, until it has.
    pub fn failed(&self, why: String) {
        self.0.missing.store(Arc::new(why));
    }

    /// What logins see; `None` until it is read for the first time.
    #[must_use]
    pub fn mappings(&self) -> Option<Arc<Mappings>> {
        self.0.mappings.load_full()
    }
}

impl Stage for Live {
    fn name(&self) -> &str {
        self.0.name
    }

    fn decide<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        let answer = match &*self.0.mappings.load() {
            None => Answer::plain(Err(StageError::NotReady)),
            Some(mappings) => {
                let lists_account = mappings.accounts.contains(&request.caller.account_id);
                Answer { lists_account, ..mappings.rules.answer(request) }
            }
        };
        Box::pin(ready(answer))
    }

    fn missing(&self) -> Option<String> {
        self.0.mappings.load().is_none().then(|| self.0.missing.load().to_string())
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({})", self.0.name)
    }
}

// === impl Mappings ===

impl Mappings {
    /// How many entries and accounts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len() + self.accounts.len()
    }

    /// Whether it maps nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is other than in `before`, as [`changes`] gives it.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        changes((&before.rules, &before.accounts), (&self.rules, &self.accounts))
    }
}

/// What is other in the second of two sets of rules and accounts: administrators first, since not all of a large change may be
/// told, and then sorted by kind and by whom it is about.
#[must_use]
pub fn changes(
    (old_rules, old): (&Rules, &BTreeSet<AccountId>),
    (new_rules, new): (&Rules, &BTreeSet<AccountId>),
) -> Vec<Change> {
    let change = |who: &str, kind, rule: &Rule| {
        let gives: Vec<String> = rule.in_turn().map(ToString::to_string).collect();
        let is_of_administrators = rule.may_give(GROUP);
        Change { who: who.to_owned(), kind, gives: gives.join(", then "), is_of_administrators }
    };
    let (was, is): (BTreeMap<_, _>, BTreeMap<_, _>) = (old_rules.iter().collect(), new_rules.iter().collect());
    let mut changes = Vec::new();
    for (who, rule) in &is {
        match was.get(who) {
            None => changes.push(change(who, ChangeKind::Added, rule)),
            Some(old) if !old.is_same(rule) => {
                let changed = change(who, ChangeKind::Changed, rule);
                let is_of_administrators = changed.is_of_administrators || old.may_give(GROUP);
                changes.push(Change { is_of_administrators, ..changed });
            }
            Some(_) => {}
        }
    }
    let gone = was.iter().filter(|(who, _)| !is.contains_key(*who));
    changes.extend(gone.map(|(who, rule)| change(who, ChangeKind::Removed, rule)));
    let account = |id: &AccountId, kind| {
        let (who, gives) = (id.to_string(), "its own ARN".to_owned());
        Change { who, kind, gives, is_of_administrators: false }
    };
    changes.extend(new.difference(old).map(|id| account(id, ChangeKind::Added)));
    changes.extend(old.difference(new).map(|id| account(id, ChangeKind::Removed)));
    let order = |change: &Change| (!change.is_of_administrators, change.kind, change.who.clone());
    changes.sort_by_cached_key(order);
    changes
}

// === impl ChangeKind ===

impl ChangeKind {
    /// The word for logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

#[cfg(test)]
mod tests;
