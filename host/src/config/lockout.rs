//! Lock-out: whether what is in force lets an administrator in, and nodes.
//!
//! Judged over all files of one check [`together`](super::together), and not at all where one of them could not be
//! read: who is not read may be in it. An entry counts that lets somebody in now. While Herald runs, [`Vital`] tells when a source has lost all of them at once.

use std::time::SystemTime;

use super::{
    Checked, CheckedFile, Config, Source,
    error::{Position, Problem},
    finding::{CheckId, Finding, Severity},
    remark::{MASTERS, NODE_NAME, NODES},
    together::Together,
};
use crate::{
    mapping::rule::{Rule, Rules},
    policy::Kind,
};

/// The groups of administrators: those the operator names, or else the one of Kubernetes.
#[derive(Clone, Debug, Default)]
pub struct Administrators(pub Vec<String>);

/// Those without whom a cluster is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Vital {
    /// Members of `system:masters`.
    Administrators,
    /// Nodes.
    Nodes,
}

/// The label of log lines about a source that lets none of them in any more.
pub(super) const LOST: &str = "mappings_lost";

/// What `files` leave open, each with the file that it is about.
#[must_use]
pub fn check(files: &[CheckedFile], administrators: &Administrators, now: SystemTime) -> Vec<(usize, Finding)> {
    let all = || files.iter().flat_map(|file| &file.parts);
    let maps = |part: &Checked| part.has_entries() || !part.left_out.is_empty() || part.asks_policies();
    let manifests = files.iter().any(|file| file.is_manifest);
    if !(manifests || all().any(maps)) || !all().all(|part| part.readable) {
        return Vec::new();
    }
    let standing = Standing { files, together: Together::new(files, now), manifests };
    let nobody = standing.administrator(administrators);
    nobody.into_iter().chain(standing.nodes()).collect()
}

struct Standing<'a> {
    files: &'a [CheckedFile],
    together: Together<'a>,
    manifests: bool,
}

// === impl Standing ===

impl Standing<'_> {
    fn administrator(&self, Administrators(named): &Administrators) -> Option<(usize, Finding)> {
        let masters = [MASTERS.to_owned()];
        let groups = if named.is_empty() { &masters[..] } else { named };
        if self.together.anybody(|rule| groups.iter().any(|group| rule.gives(group))) {
            return None;
        }
        let words: Vec<String> = groups.iter().map(|group| format!("`{group}`")).collect();
        let words = words.join(" or ");
        if let Some((file, at)) = self.lost(groups) {
            let what = format!("nobody gets {words}: the entry that gives it is left out");
            return Some((file, finding(CheckId::NoAdministrator, Severity::Error, at, what)));
        }
        let mut parts = self.files.iter().flat_map(|file| &file.parts);
        let policies = parts.clone().any(Checked::asks_policies);
        // A manifest that is checked too is taken for what these sources hold.
        let elsewhere = !self.manifests && parts.any(Checked::asks_live_sources);
        let severity = match () {
            () if policies || elsewhere => Severity::Note,
            () if !named.is_empty() => Severity::Error,
            () if self.manifests => Severity::Warning,
            () => Severity::Note,
        };
        let unless = match () {
            () if policies => ", unless a policy gives it",
            () if elsewhere => ", unless another source of `backendMode` gives it",
            () => "",
        };
        let what = format!("nobody gets {words}{unless}");
        let mut finding = finding(CheckId::NoAdministrator, severity, Position { line: 1, column: 1 }, what);
        if named.is_empty() {
            finding.fix = Some("name another group of administrators with --admin-group".to_owned());
        }
        Some((0, finding))
    }

    /// Nodes: who lets them in otherwise (certificates, another source) has no object that maps people alone.
    fn nodes(&self) -> Option<(usize, Finding)> {
        if self.together.anybody(|rule| Vital::Nodes.is_let_in_by(rule)) {
            return None;
        }
        if let Some((file, at)) = self.lost(&[NODES.to_owned()]) {
            let what = format!("no node is let in: the entry that gives `{NODES}` is left out");
            return Some((file, finding(CheckId::NoNodes, Severity::Error, at, what)));
        }
        let file = self.files.iter().position(|file| file.is_manifest)?;
        let what = format!("no node is let in: no entry gives `{NODES}` and a username `{NODE_NAME}…`");
        let mut finding = finding(CheckId::NoNodes, Severity::Warning, Position { line: 1, column: 1 }, what);
        finding.fix = Some(format!("map the nodes' role to `{NODE_NAME}{{{{EC2PrivateDNSName}}}}`"));
        Some((file, finding))
    }

    /// The first entry that is left out and would have given one of `groups`.
    fn lost(&self, groups: &[String]) -> Option<(usize, Position)> {
        let parts =
            self.files.iter().enumerate().flat_map(|(index, file)| file.parts.iter().map(move |part| (index, part)));
        let mut all = parts.flat_map(|(index, part)| part.left_out.iter().map(move |entry| (index, entry)));
        let found = all.find(|(_, entry)| entry.groups.iter().any(|group| groups.contains(group)));
        found.map(|(index, entry)| (index, entry.at))
    }
}

// === impl Vital ===

impl Vital {
    pub(super) const ALL: [Self; 2] = [Self::Administrators, Self::Nodes];

    /// The word for logs and metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Administrators => "administrators",
            Self::Nodes => "nodes",
        }
    }

    /// How many of `rules` let them in at `now`.
    pub(super) fn count(self, rules: &Rules, now: SystemTime) -> usize {
        rules.counting(now).filter(|rule| self.is_let_in_by(rule)).count()
    }

    fn is_let_in_by(self, rule: &Rule) -> bool {
        match self {
            Self::Administrators => rule.gives(MASTERS),
            Self::Nodes => rule.gives(NODES) && rule.username.literal_head().starts_with(NODE_NAME),
        }
    }
}

fn finding(id: CheckId, severity: Severity, at: Position, what: String) -> Finding {
    Finding { severity, ..Finding::error(Problem::new(at, what).id(id)) }
}

// === impl Checked ===

impl Checked {
    fn has_entries(&self) -> bool {
        let Config { bootstrap_admins, rules, .. } = &self.config;
        !bootstrap_admins.is_empty() || (self.asks_mounted_file() && !rules.is_empty())
    }

    /// Mappings stand elsewhere too.
    fn asks_live_sources(&self) -> bool {
        self.config.backend_mode_file.is_some() || self.config.sources.iter().any(Source::is_live)
    }

    /// A policy may map callers, or add to what they have.
    fn asks_policies(&self) -> bool {
        self.config.policies.iter().any(|policy| policy.kind != Kind::Guard)
    }
}
