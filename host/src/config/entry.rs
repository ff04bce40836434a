//! Entries of every source: each is read by itself, so that a wrong one is left out and reported and never
//! takes its neighbours with it.

use std::time::SystemTime;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    de::{fold, twice, unknown},
    error::{Position, Problem, did_you_mean},
    node::{Key, Node, Section, Value},
    warnings::Warnings,
};
use crate::{
    caller::{
        AccountId, Arn, InvalidAccountId, PrincipalId, PrincipalKind,
        arn::{ACS_PARTITION, AWS_PARTITIONS},
    },
    mapping::{
        Rules, bootstrap_admins,
        rule::{GroupLists, PermissionSet, Rule, Subject},
        template::Template,
    },
};

/// What has been read of a file's mappings so far.
pub(super) struct Entries<'a> {
    pub(super) source: &'a str,
    style: Style,
    rules: Rules,
    /// Users wait until all roles are in: role entries come first, wherever they are written.
    users: Vec<(Place, Subject, Rule)>,
    groups: GroupLists,
    pub(super) warnings: Warnings,
}

/// Whose entries they are, which decides how they are read and named in messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Style {
    /// What stands in front of a list's name.
    pub(super) under: &'static str,
    /// Documents that other programs write too: a key that is like none of ours is passed over. One that is may
    /// be a slip that changes what the entry means, so it still costs the entry.
    pub(super) shared: bool,
    /// Entries match by `userid`, the unique id of a principal.
    pub(super) by_user_id: bool,
}

/// Where an entry stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a list.
    Item(usize),
    /// In an object of its own.
    Object(String),
}

const ROLE_KEYS: [&str; 6] = ["roleARN", "sso", "username", "groups", "userid", "notAfter"];
const USER_KEYS: [&str; 5] = ["userARN", "username", "groups", "userid", "notAfter"];
const PRINCIPAL_KEYS: [&str; 4] = ["arn", "username", "groups", "notAfter"];
const SSO_KEYS: [&str; 3] = ["permissionSetName", "accountID", "partition"];
/// Longest name of a permission set (IAM Identity Center API Reference, "CreatePermissionSet").
const MAX_SET_NAME: usize = 32;

// === impl Entries ===

impl<'a> Entries<'a> {
    pub(super) fn new(source: &'a str, style: Style) -> Self {
        let (rules, users, groups) = (Rules::default(), Vec::new(), GroupLists::default());
        Self { source, style, rules, users, groups, warnings: Warnings::default() }
    }

    /// Reads one entry, or reports why it is left out.
    pub(super) fn add(&mut self, section: Section, place: Place, node: &Node) {
        match self.read(section, &place, node) {
            Ok((subject, rule)) if section == Section::Users => self.users.push((place, subject, rule)),
            Ok((subject, rule)) => self.insert(section, &place, subject, rule),
            Err(problem) => {
                let inner = problem.path();
                let dot = if inner.is_empty() || inner.starts_with('[') { "" } else { "." };
                let path = format!("{}{dot}{inner}", self.path(section, &place));
                let line = problem.at.unwrap_or(node.at).line;
                self.warnings.push(line, &path, format!("left out: {}", problem.what));
            }
        }
    }

    /// Reads one entry that may not be left out.
    pub(super) fn require(&mut self, section: Section, index: usize, node: &Node) -> Result<(), Problem> {
        let (subject, rule) = self.read(section, &Place::Item(index), node)?;
        self.rules.insert(subject, rule).map_err(|duplicate| Problem::new(node.at, duplicate.to_string()))
    }

    /// Every rule that is in force.
    pub(super) fn finish(mut self) -> (Rules, Warnings) {
        for (place, subject, rule) in std::mem::take(&mut self.users) {
            self.insert(Section::Users, &place, subject, rule);
        }
        self.rules.shrink_to_fit();
        (self.rules, self.warnings)
    }

    fn insert(&mut self, section: Section, place: &Place, subject: Subject, rule: Rule) {
        let line = rule.line;
        if let Err(duplicate) = self.rules.insert(subject, rule) {
            let why = match place {
                Place::Item(_) => duplicate.to_string(),
                Place::Object(_) => "an older object maps the same principal, which stays in force".to_owned(),
            };
            self.warnings.push(line, &self.path(section, place), format!("left out: {why}"));
        }
    }

    fn path(&self, section: Section, place: &Place) -> String {
        match place {
            Place::Item(index) => format!("{}{}[{index}]", self.style.under, section.key()),
            Place::Object(name) => name.clone(),
        }
    }

    fn read(&mut self, section: Section, place: &Place, node: &Node) -> Result<(Subject, Rule), Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        self.check_keys(section, place, entries)?;
        let subject = self.subject(section, entries, node.at)?;
        let username = self.username(section, entries, node.at)?;
        let groups = self.group_list(section, entries)?;
        let not_after = self.not_after(entries)?;
        self.remark(section, place, entries, &subject, &username, &groups);
        let rule = Rule::new(username, self.groups.share(groups), node.at.line);
        Ok(match not_after {
            None => (subject, rule),
            Some(end) => (subject, rule.ending(end)),
        })
    }

    fn check_keys(&mut self, section: Section, place: &Place, entries: &[(Key, Node)]) -> Result<(), Problem> {
        if let Some(key) = check_keys(entries, section.keys(), self.style.shared)? {
            let text = format!("the key `{}` is none of ours and has no effect", key.text);
            self.warnings.push(key.at.line, &self.path(section, place), text);
        }
        Ok(())
    }

    fn not_after(&self, entries: &[(Key, Node)]) -> Result<Option<SystemTime>, Problem> {
        let Some(node) = value(entries, "notAfter") else { return Ok(None) };
        let parse = |text: &str| {
            let time = OffsetDateTime::parse(text, &Rfc3339);
            time.map_err(|_| Problem::new(node.at, "not a time such as 2026-01-31T18:00:00Z (RFC 3339)"))
        };
        let end = node.text(self.source).and_then(parse).map_err(|problem| problem.under("notAfter", node.at))?;
        Ok(Some(end.into()))
    }

    fn subject(&self, section: Section, entries: &[(Key, Node)], at: Position) -> Result<Subject, Problem> {
        let key = section.arn_key();
        let arn = value(entries, key).map(|node| self.arn(node).map_err(|problem| problem.under(key, node.at)));
        if self.style.by_user_id {
            let id = PrincipalId::new(self.required(entries, "userid", at)?);
            return Ok(Subject::Principal(id, arn.transpose()?));
        }
        let sso = value(entries, "sso").filter(|_| section == Section::Roles);
        match (arn, sso) {
            (Some(arn), None) => arn.map(Subject::Arn),
            (None, Some(node)) => self.permission_set(node).map_err(|problem| problem.under("sso", node.at)),
            (Some(_), Some(_)) => Err(Problem::new(at, format!("has both `{key}` and `sso`: keep one of them"))),
            (None, None) if section == Section::Roles => {
                Err(Problem::new(at, format!("has neither `{key}` nor `sso`: it names nobody")))
            }
            (None, None) => Err(Problem::new(at, format!("has no `{key}`: it names nobody"))),
        }
    }

    fn arn(&self, node: &Node) -> Result<Arn, Problem> {
        let text = node.text(self.source)?;
        if text.contains(['*', '?']) {
            return Err(Problem::new(node.at, "wildcards are not supported in an ARN: name each role"));
        }
        text.parse().map_err(|error| Problem::new(node.at, format!("{error}{}", partition_hint(text))))
    }

    fn permission_set(&self, node: &Node) -> Result<Subject, Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        check_keys(entries, &SSO_KEYS, false)?;
        let name = self.required(entries, "permissionSetName", node.at)?;
        let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        if !good || !(1..=MAX_SET_NAME).contains(&name.len()) {
            return Err(Problem::new(
                node.at,
                "not the name of a permission set: 1 to 32 of A-Z a-z 0-9 _ + = , . @ -",
            ));
        }
        let account = self.required(entries, "accountID", node.at)?;
        let bad = |error: InvalidAccountId| Problem::new(node.at, error.to_string());
        let account: AccountId = account.parse().map_err(bad)?;
        let partition = match value(entries, "partition") {
            None => AWS_PARTITIONS[0],
            Some(node) => aws_partition(node.text(self.source)?).map_err(|what| Problem::new(node.at, what))?,
        };
        Ok(Subject::PermissionSet(PermissionSet::new(partition, &account, name)))
    }

    fn required<'n>(&self, entries: &'n [(Key, Node)], key: &str, at: Position) -> Result<&'n str, Problem> {
        let missing = || Problem::new(at, format!("the key `{key}` is missing"));
        let node = value(entries, key).ok_or_else(missing)?;
        node.text(self.source).map_err(|problem| problem.under(key, node.at))
    }

    fn username(&self, section: Section, entries: &[(Key, Node)], at: Position) -> Result<Template, Problem> {
        let text = match value(entries, "username") {
            None if section == Section::Admins => bootstrap_admins::USERNAME,
            _ => self.required(entries, "username", at)?,
        };
        let node = value(entries, "username").map_or(at, |node| node.at);
        if text.trim().is_empty() {
            return Err(Problem::new(node, "the username is empty").under("username", node));
        }
        Template::parse(text).map_err(|error| Problem::new(node, error.to_string()).under("username", node))
    }

    /// A list, or as in existing files a text with commas.
    fn group_list(&self, section: Section, entries: &[(Key, Node)]) -> Result<Vec<Template>, Problem> {
        let group = |at: Position, text: &str| match Template::parse(text) {
            Ok(group) if group.is_empty() => Err(Problem::new(at, "a group is empty")),
            group => group.map_err(|error| Problem::new(at, error.to_string())),
        };
        let Some(node) = value(entries, "groups") else {
            let default = (section == Section::Admins).then_some(bootstrap_admins::GROUP);
            return default.map(|text| group(Position::default(), text)).into_iter().collect();
        };
        let groups = match &node.value {
            Value::Null => Ok(Vec::new()),
            Value::Text(text) => text.split(',').map(|text| group(node.at, text.trim())).collect(),
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    let text = item.text(self.source).map_err(|problem| problem.within(index, item.at))?;
                    group(item.at, text).map_err(|problem| problem.within(index, item.at))
                })
                .collect(),
            other => Err(Problem::new(node.at, format!("expected a list of groups, found {}", other.noun()))),
        };
        groups.map_err(|problem| problem.under("groups", node.at))
    }

    /// Reports what an entry that is in force may not mean as it is written.
    fn remark(
        &mut self,
        section: Section,
        place: &Place,
        entries: &[(Key, Node)],
        subject: &Subject,
        username: &Template,
        groups: &[Template],
    ) {
        let path = self.path(section, place);
        let mut remark = |line, text: &str| self.warnings.push(line, &path, text.to_owned());
        let line = entries.first().map_or(0, |(key, _)| key.at.line);
        let user_id = entries.iter().find(|(key, _)| key.text.eq_ignore_ascii_case("userid"));
        if let Some((key, _)) = user_id.filter(|_| !self.style.by_user_id) {
            remark(key.at.line, "`userid` has no effect here: entries match by ARN");
        }
        if let Subject::Arn(arn) = subject {
            if arn.session_name().is_some() {
                remark(line, "names one session, and is in force for every session of its role");
            }
            let role = matches!(arn.kind(), PrincipalKind::AssumedRole | PrincipalKind::Role);
            if role && arn.path() != "/" {
                remark(line, "STS leaves out the path of a role: this entry matches by the role's name alone");
            }
        }
        if username.opens_system_names() || groups.iter().any(Template::opens_system_names) {
            remark(line, "whoever may assume this role chooses the rest of a `system:` name");
        }
    }
}

/// The first key that is passed over, if `pass_over` allows it.
fn check_keys<'n>(
    entries: &'n [(Key, Node)],
    known: &'static [&'static str],
    pass_over: bool,
) -> Result<Option<&'n Key>, Problem> {
    let mut passed = None;
    for (index, (key, _)) in entries.iter().enumerate() {
        let earlier = entries.iter().take(index).find(|(other, _)| other.text.eq_ignore_ascii_case(&key.text));
        if let Some((first, _)) = earlier {
            return Err(twice(key, first));
        }
        if fold(&key.text, known).is_some() {
            continue;
        }
        if !pass_over || !did_you_mean(&key.text, known.iter().copied()).is_empty() {
            return Err(unknown(key, known));
        }
        passed.get_or_insert(key);
    }
    Ok(passed)
}

/// The value under `key`, whatever the key's case.
pub(super) fn value<'n>(entries: &'n [(Key, Node)], key: &str) -> Option<&'n Node> {
    let found = entries.iter().find(|(other, _)| other.text.eq_ignore_ascii_case(key));
    found.map(|(_, node)| node).filter(|node| !matches!(node.value, Value::Null))
}

/// The partition of AWS that `text` names.
pub(super) fn aws_partition(text: &str) -> Result<&'static str, String> {
    let found = AWS_PARTITIONS.iter().find(|known| **known == text);
    found.copied().ok_or_else(|| format!("no partition of AWS{}", did_you_mean(text, AWS_PARTITIONS)))
}

fn partition_hint(arn: &str) -> String {
    let partition = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(':')).map(|(partition, _)| partition);
    let wrong = partition.filter(|name| !AWS_PARTITIONS.contains(name) && *name != ACS_PARTITION);
    wrong.map_or_else(String::new, |name| did_you_mean(name, AWS_PARTITIONS))
}

// === impl Section ===

impl Section {
    fn key(self) -> &'static str {
        match self {
            Self::Admins => "bootstrapAdmins",
            Self::Identities => "spec",
            Self::Roles => "mapRoles",
            Self::Users => "mapUsers",
        }
    }

    fn arn_key(self) -> &'static str {
        self.keys()[0]
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Admins | Self::Identities => &PRINCIPAL_KEYS,
            Self::Roles => &ROLE_KEYS,
            Self::Users => &USER_KEYS,
        }
    }
}
