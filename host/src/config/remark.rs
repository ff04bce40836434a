//! Remarks: what an entry that is in force may not mean as it is written, and what entries mean together.

use std::collections::BTreeMap;

use super::{
    entry::{Place, value},
    error::{Position, Problem},
    finding::{CheckId, Finding, Findings, Severity},
    node::{Node, Section, Value},
};
use crate::{
    caller::{
        Arn, Caller, PrincipalId, PrincipalKind,
        arn::{ACS_PARTITION, AWS_PARTITIONS},
    },
    mapping::{
        Rules,
        rule::{ArnGlob, PermissionSet, Rule, Subject},
    },
};

/// An entry as it was read.
pub(super) struct Entry<'a> {
    pub(super) subject: &'a Subject,
    pub(super) rule: &'a Rule,
    pub(super) spot: Spot,
}

/// Where an entry stands, and the principal that it names.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) at: Position,
    pub(super) named_at: Position,
    /// The key that its list stands under; empty for none.
    pub(super) under: &'static str,
    pub(super) section: Section,
    pub(super) place: Place,
}

/// What is counted over all entries of a file, to be compared at its end. Bounded by [`MAX_COUNTED`] each.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Entries by the partition of AWS that they name.
    partitions: BTreeMap<String, Vec<Spot>>,
    /// Roles that are one of the roles of a permission set.
    sso_roles: Vec<(PermissionSet, Spot)>,
    /// Entries that are left out.
    pub(super) left_out: Vec<LeftOut>,
}

/// An entry that is left out, as far as it can be read.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Where it stands.
    pub at: Position,
    /// Why it is left out.
    pub why: String,
    /// The principal that it names, as mappings compare them.
    principal: Option<String>,
    /// The permission set that it names instead.
    permission_set: Option<PermissionSet>,
    /// The unique id of one that it names in no other way.
    principal_id: Option<PrincipalId>,
    /// The groups that it would give.
    pub(super) groups: Vec<String>,
}

/// The group that may do everything (Kubernetes documentation, "Using RBAC Authorization").
pub(super) const MASTERS: &str = "system:masters";
/// The group of kubelets, whose usernames start with [`NODE_NAME`].
pub(super) const NODES: &str = "system:nodes";
/// How usernames of kubelets start (Kubernetes documentation, "Using Node Authorization").
pub(super) const NODE_NAME: &str = "system:node:";
/// Groups that Kubernetes itself knows, and so their spelling.
const KNOWN_GROUPS: [&str; 3] = [MASTERS, NODES, "system:bootstrappers"];
/// How roles of IAM Identity Center are called.
const SSO_ROLE: &str = "AWSReservedSSO_";
/// Most entries that are kept for a comparison at the end.
const MAX_COUNTED: usize = 1_000;

// === impl Entry ===

impl Entry<'_> {
    /// Says what there is to say about this entry alone.
    pub(super) fn remark(&self, findings: &mut Findings) {
        if let Subject::Arn(arn) = self.subject {
            self.remark_on_arn(arn, findings);
        }
        if let Subject::Glob(glob) = self.subject {
            self.remark_on_glob(glob, findings);
        }
        self.remark_on_names(findings);
        if self.gives(MASTERS) {
            self.remark_on_administrator(findings);
        }
    }

    fn remark_on_glob(&self, glob: &ArnGlob, findings: &mut Findings) {
        let mut warn = |problem: Problem| findings.push(self.spot.finding(Severity::Warning, problem));
        let at = self.spot.named_at;
        if glob.is_of_many_accounts() {
            let what = "names callers of every account that fits, of strangers too";
            warn(Problem::new(at, what).id(CheckId::WildcardArn).fix("write the account's id"));
        }
        if glob.is_of_sessions() {
            let what = "names some sessions, and is in force for every session of their roles";
            warn(Problem::new(at, what).id(CheckId::SessionArn).fix(format!("write `{glob}`")));
        }
    }

    fn remark_on_arn(&self, arn: &Arn, findings: &mut Findings) {
        let mut say = |severity, problem: Problem| findings.push(self.spot.finding(severity, problem));
        let at = self.spot.named_at;
        let role = matches!(arn.kind(), PrincipalKind::AssumedRole | PrincipalKind::Role);
        let plain = || format!("write `{}`", arn.canonical_without_path());
        if arn.kind() == PrincipalKind::Root && !self.gives(MASTERS) {
            let what = "names the account's root user alone, not everybody of the account";
            let fix = "name a role, or list the account in `mapAccounts`";
            say(Severity::Warning, Problem::new(at, what).id(CheckId::RootArn).fix(fix));
        }
        if arn.session_name().is_some() {
            let what = "names one session, and is in force for every session of its role";
            say(Severity::Warning, Problem::new(at, what).id(CheckId::SessionArn).fix(plain()));
        }
        if let Some(set) = arn.permission_set() {
            let what = "the end of this role's name changes when the permission set is assigned anew";
            let problem = Problem::new(at, what).id(CheckId::SsoRoleArn);
            say(Severity::Warning, problem.fix(self.permission_set_form(arn, set)));
        } else if role && arn.name().starts_with(SSO_ROLE) {
            let what = "no role of IAM Identity Center has such a name: it ends in `_` and 16 hexadecimal digits";
            let fix = "name the permission set, under `sso`";
            say(Severity::Warning, Problem::new(at, what).id(CheckId::SsoRoleArn).fix(fix));
        } else if role && arn.path() != "/" {
            let what = "STS leaves out the path of a role: this entry matches by the role's name alone";
            say(Severity::Warning, Problem::new(at, what).id(CheckId::RolePath).fix(plain()));
        }
        let fix = match self.spot.section {
            Section::Roles if !role && arn.kind() != PrincipalKind::Root => "put it under `mapUsers`",
            Section::Users if role => "put it under `mapRoles`",
            _ => return,
        };
        let what = "matches, and stands in the list of another kind of principal";
        say(Severity::Note, Problem::new(at, what).id(CheckId::WrongSection).fix(fix));
    }

    fn permission_set_form(&self, arn: &Arn, set: &str) -> String {
        if matches!(self.spot.section, Section::Admins | Section::Identities) {
            return "map the permission set, with `sso` in a list `mapRoles`".to_owned();
        }
        let partition = match arn.partition() {
            "aws" => String::new(),
            other => format!(", partition: {other}"),
        };
        format!("write `sso: {{permissionSetName: {set}, accountID: '{}'{partition}}}`", arn.account_id())
    }

    fn remark_on_names(&self, findings: &mut Findings) {
        let Rule { username, groups, .. } = self.rule;
        let at = self.spot.at;
        if username.opens_system_names() || groups.iter().any(|group| group.opens_system_names()) {
            let what = "whoever may assume this role chooses the rest of a `system:` name";
            let problem = Problem::new(at, what).id(CheckId::SystemName);
            findings.push(self.spot.finding(Severity::Warning, problem));
        }
        if self.rule.needs_session() && self.is_without_session() {
            let what = "refuses every login: the template asks for the name of a session, and users have none";
            let problem = Problem::new(at, what).id(CheckId::NoSession);
            let problem = problem.fix("leave {{SessionName}} and {{SessionNameRaw}} out");
            findings.push(self.spot.finding(Severity::Warning, problem));
        }
        if self.rule.needs_node() {
            let what = "each login asks EC2 for the instance that its session is named after";
            let problem = Problem::new(at, what).id(CheckId::NeedsEc2);
            let fix = "allow Herald ec2:DescribeInstances, and let nobody but EC2 assume this role: a session is named by its maker";
            findings.push(self.spot.finding(Severity::Note, problem.fix(fix)));
        }
        if self.gives(NODES) && !username.literal_head().starts_with(NODE_NAME) {
            let what = format!("gives `{NODES}`, and a username that is no node's: it may do nothing that nodes do");
            let problem = Problem::new(at, what).id(CheckId::NodeName);
            let problem = problem.fix(format!("write `{NODE_NAME}{{{{EC2PrivateDNSName}}}}` as the username"));
            findings.push(self.spot.finding(Severity::Warning, problem));
        }
        for group in groups.iter().filter_map(|group| group.literal()) {
            let meant = KNOWN_GROUPS.into_iter().find(|known| known.eq_ignore_ascii_case(group) && *known != group);
            if let Some(meant) = meant {
                let what = format!("the group `{group}` is another one than `{meant}` to Kubernetes");
                let problem = Problem::new(at, what).id(CheckId::NameCase).fix(format!("write `{meant}`"));
                findings.push(self.spot.finding(Severity::Warning, problem));
            }
        }
    }

    fn remark_on_administrator(&self, findings: &mut Findings) {
        // They share one username by default, and are not meant for every day.
        let admin = self.spot.section == Section::Admins;
        let root = matches!(self.subject, Subject::Arn(arn) if arn.kind() == PrincipalKind::Root);
        let user = matches!(self.subject, Subject::Arn(arn) if arn.kind() == PrincipalKind::User);
        let (severity, id, what, fix) = if KNOWN_GROUPS[1..].iter().any(|group| self.gives(group)) {
            (
                Severity::Warning,
                CheckId::NodeAdministrator,
                "every program on these nodes can become an administrator",
                "give nodes `system:bootstrappers` and `system:nodes` alone",
            )
        } else if root {
            (
                Severity::Warning,
                CheckId::RootAdministrator,
                "makes the account's root user an administrator, who cannot be told from other people",
                "map a role that administrators assume",
            )
        } else if !admin && !user && self.rule.username.literal().is_some() {
            (
                Severity::Note,
                CheckId::SharedAdministrator,
                "all sessions are administrators under one username, and the cluster's audit log tells them apart by `extra` alone",
                "put {{SessionName}} into the username",
            )
        } else {
            return;
        };
        findings.push(self.spot.finding(severity, Problem::new(self.spot.at, what).id(id).fix(fix)));
    }

    /// Whether whom it names is never in a session.
    fn is_without_session(&self) -> bool {
        match self.subject {
            Subject::Arn(arn) | Subject::Principal(_, Some(arn)) => {
                matches!(arn.kind(), PrincipalKind::FederatedUser | PrincipalKind::Root | PrincipalKind::User)
            }
            Subject::Glob(glob) => glob.is_of_users(),
            Subject::PermissionSet(_) | Subject::Principal(_, None) => false,
        }
    }

    fn gives(&self, group: &str) -> bool {
        self.rule.gives(group)
    }
}

/// How two principals are compared that STS does not tell apart.
fn comparable(arn: &Arn) -> String {
    let role = matches!(arn.kind(), PrincipalKind::AssumedRole | PrincipalKind::Role);
    let text = if role { arn.canonical_without_path() } else { arn.canonical() };
    text.to_ascii_lowercase()
}

/// The permission set that `node` means, also where its account is a number, which is what an entry may be left out for.
fn permission_set(node: &Node) -> Option<PermissionSet> {
    let Value::Map(entries) = &node.value else { return None };
    let account = match &value(entries, "accountID")?.value {
        Value::Text(text) => text.to_string(),
        Value::Unsigned(number) => number.to_string(),
        _ => return None,
    };
    let partition = value(entries, "partition").and_then(Node::plain).unwrap_or(AWS_PARTITIONS[0]);
    let name = value(entries, "permissionSetName")?.plain()?;
    Some(PermissionSet::new(partition, &account.parse().ok()?, name))
}

// === impl LeftOut ===

impl LeftOut {
    /// Whether it would have named `caller`.
    #[must_use]
    pub fn names(&self, caller: &Caller) -> bool {
        let Ok(arn) = caller.canonical_arn.parse() else { return false };
        let is_set = || self.permission_set.is_some() && self.permission_set == PermissionSet::of(caller);
        let has_id = || self.principal_id.as_ref() == Some(&caller.principal_id);
        self.principal.as_deref() == Some(comparable(&arn).as_str()) || is_set() || has_id()
    }
}

// === impl Spot ===

impl Spot {
    /// That `problem` is with the entry that stands here.
    pub(super) fn of(&self, problem: Problem) -> Problem {
        self.place.of(problem, self.section, self.under, self.at)
    }

    fn finding(&self, severity: Severity, problem: Problem) -> Finding {
        Finding { severity, ..Finding::error(self.of(problem)) }
    }
}

// === impl Census ===

impl Census {
    /// Counts an entry that is in force.
    pub(super) fn count(&mut self, entry: &Entry<'_>) {
        let partition = match entry.subject {
            Subject::Arn(arn) | Subject::Principal(_, Some(arn)) => arn.partition(),
            Subject::PermissionSet(set) => set.partition(),
            Subject::Glob(_) => ACS_PARTITION,
            Subject::Principal(_, None) => return,
        };
        let places = self.partitions.entry(partition.to_owned()).or_default();
        if places.len() < MAX_COUNTED {
            places.push(entry.spot.clone());
        }
        let Subject::Arn(arn) = entry.subject else { return };
        if let Some(set) = arn.permission_set().filter(|_| self.sso_roles.len() < MAX_COUNTED) {
            let set = PermissionSet::new(arn.partition(), arn.account_id(), set);
            self.sso_roles.push((set, entry.spot.clone()));
        }
    }

    /// Keeps an entry in mind that is left out.
    pub(super) fn leave_out(&mut self, node: &Node, problem: &Problem) {
        let Value::Map(entries) = &node.value else { return };
        if self.left_out.len() == MAX_COUNTED {
            return;
        }
        let groups = value(entries, "groups").map(|groups| match &groups.value {
            Value::List(nodes) => nodes.iter().filter_map(Node::plain).collect(),
            Value::Text(text) => text.split(',').map(str::trim).collect(),
            _ => Vec::new(),
        });
        let named = ["roleARN", "userARN", "arn"].into_iter().find_map(|key| value(entries, key)?.plain());
        let named = named.filter(|arn| !arn.is_empty());
        let sso = value(entries, "sso");
        let user_id = value(entries, "userid").filter(|_| named.is_none() && sso.is_none()).and_then(Node::plain);
        self.left_out.push(LeftOut {
            at: problem.at.unwrap_or(node.at),
            why: problem.to_string(),
            principal: named.and_then(|arn| Some(comparable(&arn.parse().ok()?))),
            permission_set: sso.and_then(permission_set),
            principal_id: user_id.map(PrincipalId::new),
            groups: groups.unwrap_or_default().into_iter().map(str::to_owned).collect(),
        });
    }

    /// Roles that an entry names by their ARN and another by their permission set.
    pub(super) fn overlaps(&self, rules: &Rules, findings: &mut Findings) {
        for (set, place) in &self.sso_roles {
            if let Some(other) = rules.permission_set(set) {
                let what = format!("goes before the permission set of line {}, for this one role", other.line);
                let problem = Problem::new(place.named_at, what).id(CheckId::Shadowed);
                findings.push(place.finding(Severity::Note, problem.fix("keep the permission set alone")));
            }
        }
    }

    /// Entries of partitions whose tokens are not accepted. Whether those of Alibaba Cloud are is not known without
    /// `chosen` providers.
    pub(super) fn partitions(&self, accepted: &[&str], chosen: bool, findings: &mut Findings) {
        let foreign = self.partitions.iter().filter(|(name, _)| chosen || *name != ACS_PARTITION);
        for (name, places) in foreign.filter(|(name, _)| !accepted.contains(&name.as_str())) {
            for place in places {
                let what = format!(
                    "never matches: it is of partition {name}, and tokens are accepted from {}",
                    accepted.join(", ")
                );
                let other_cloud = name == ACS_PARTITION || accepted == [ACS_PARTITION];
                let fix = match other_cloud {
                    true => "add its cloud to `server.providers`",
                    false => "write the partition of your callers, or set `server.partition`",
                };
                let problem = Problem::new(place.named_at, what).id(CheckId::WrongPartition).fix(fix);
                findings.push(place.finding(Severity::Warning, problem));
            }
        }
    }
}
