//! Entries of every source: each is read by itself, so that a wrong one is left out and reported and never
//! takes its neighbours with it. What is right and may not mean what it says is for [`super::remark`].

use std::{collections::HashMap, time::SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    de::{fold, twice, unknown},
    error::{Position, Problem, did_you_mean},
    finding::{CheckId, Findings, Severity},
    node::{Key, Node, Section, Value},
    remark::{Census, Entry, Spot},
};
use crate::{
    mapping::{
        Rules, bootstrap_admins,
        rule::{GroupLists, Rule, Subject},
        template::Template,
    },
    provider::Cloud,
};

mod subject;

/// What has been read of one source's mappings so far.
pub(super) struct Entries<'a> {
    pub(super) source: &'a str,
    style: Style,
    rules: Rules,
    /// Users wait until all roles are in: role entries come first, wherever they are written.
    users: Vec<(Place, Read)>,
    groups: GroupLists,
    pub(super) findings: Findings,
    census: Census,
    /// How many findings there were before the last entry.
    before_last: usize,
}

/// Whose entries they are, which decides how they are read and named in messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Style {
    /// The key that the lists stand under; empty for none.
    pub(super) under: &'static str,
    /// Documents that other programs write and read too: a key that is like none of ours is passed over. One that is
    /// may be a slip that changes what the entry means, so it still costs the entry. Groups are a list there: those
    /// programs take none from a text, and whoever moves from them gives nobody more than before.
    pub(super) shared: bool,
    pub(super) user_ids: UserIds,
    /// An `arn` may have wildcards.
    pub(super) globs: bool,
    /// Clouds of which the ARN of a session stands for its role. To programs that read such documents too, one of another cloud
    /// names nobody; here every session of the role would be let in by it, whichever it names.
    pub(super) sessions: &'static [Cloud],
}

/// What `userid`, the unique id of a principal, is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum UserIds {
    /// Nothing: entries match by ARN.
    #[default]
    Idle,
    /// Entries match by it.
    Match,
    /// One or the other, as a configuration says that is not at hand.
    Unknown,
}

/// Where an entry stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a list.
    Item(usize),
    /// In an object of a cluster, known by its name. Others are older, and none has lines.
    Object(Box<str>),
    /// In an object that stands in a file, by its name if it has one: a file may hold many, and with those of a cluster
    /// nobody has the lines at hand.
    Spec(Box<str>),
}

/// What one entry says.
struct Read {
    subject: Subject,
    rule: Rule,
    at: Position,
    /// Where it says whom it is about.
    named_at: Position,
}

/// The end of the year 9999. Times behind it, and those before 1970, have no place in RFC 3339 texts made of Unix seconds.
const LAST_SECOND: i64 = 253_402_300_799;
const ROLE_KEYS: [&str; 6] = ["roleARN", "sso", "username", "groups", "userid", "notAfter"];
const USER_KEYS: [&str; 5] = ["userARN", "username", "groups", "userid", "notAfter"];
const PRINCIPAL_KEYS: [&str; 4] = ["arn", "username", "groups", "notAfter"];

// === impl Entries ===

impl<'a> Entries<'a> {
    pub(super) fn new(source: &'a str, style: Style) -> Self {
        Self {
            source,
            style,
            rules: Rules::default(),
            users: Vec::new(),
            groups: GroupLists::default(),
            findings: Findings::default(),
            census: Census::default(),
            before_last: 0,
        }
    }

    /// Reads one entry, or reports why it is left out.
    pub(super) fn add(&mut self, section: Section, place: Place, node: &Node) {
        self.before_last = self.findings.len();
        match self.read(section, &place, node) {
            Ok(read) if section == Section::Users => self.users.push((place, read)),
            Ok(read) => self.insert(section, place, read),
            Err(problem) => {
                self.census.leave_out(node, &problem);
                self.lose(section, place.of(problem, section, self.style.under, node.at));
            }
        }
    }

    /// What was said of the last entry that was left out, if that is the last one that was added and it is not of a
    /// list of users; `in_force` is how many were in force before it.
    pub(super) fn last_left_out(&self, in_force: usize) -> Option<(CheckId, String)> {
        if self.rules.len() > in_force {
            return None;
        }
        let last = self.findings.since(self.before_last).iter().rfind(|finding| finding.severity == Severity::Error);
        let told = last.map(|finding| (finding.id, finding.text()));
        Some(told.unwrap_or_else(|| (CheckId::More, "left out".to_owned())))
    }

    /// How many entries are in force so far, those of users left aside.
    pub(super) fn in_force(&self) -> usize {
        self.rules.len()
    }

    /// Takes back what was said of the last entry: the document ended in the middle of it.
    pub(super) fn forget_last(&mut self) {
        self.findings.truncate(self.before_last);
    }

    /// Every rule that is in force, and what is to be said about them.
    pub(super) fn finish(mut self) -> (Rules, Findings, Census) {
        for (place, read) in std::mem::take(&mut self.users) {
            self.insert(Section::Users, place, read);
        }
        self.rules.shrink_to_fit();
        self.census.overlaps(&self.rules, &mut self.findings);
        (self.rules, self.findings, self.census)
    }

    fn insert(&mut self, section: Section, place: Place, read: Read) {
        let Read { subject, rule, at, named_at } = read;
        let spot = Spot { at, named_at, under: self.style.under, section, place };
        let entry = Entry { subject: &subject, rule: &rule, spot };
        entry.remark(&mut self.findings);
        self.census.count(&entry);
        let spot = entry.spot;
        if let Err(duplicate) = self.rules.insert(subject, rule) {
            let what = match spot.place {
                Place::Object(_) => "an older object maps the same principal, which stays in force".to_owned(),
                Place::Item(_) | Place::Spec(_) => duplicate.to_string(),
            };
            let problem = Problem::new(named_at, what).id(CheckId::DuplicatePrincipal);
            self.lose(section, spot.of(problem.fix("keep one entry, with the groups of both")));
        }
    }

    /// That an entry is not in force. Those who are to get in whatever happens may not be left out: it could be
    /// found too late.
    fn lose(&mut self, section: Section, problem: Problem) {
        match section {
            Section::Admins => self.findings.refuse(problem),
            Section::Identities | Section::Roles | Section::Users => self.findings.left_out(problem),
        }
    }

    fn read(&mut self, section: Section, place: &Place, node: &Node) -> Result<Read, Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        let passed = check_keys(entries, section.keys(), self.style.shared)?;
        let (subject, named_at) = self.subject(section, entries, node.at)?;
        let username = self.username(section, entries, node.at)?;
        let groups = self.group_list(section, entries)?;
        let text = value(entries, "groups").filter(|node| self.style.shared && matches!(node.value, Value::Text(_)));
        if let Some(node) = text {
            let what = "`groups` is a text, which gives no groups here";
            let problem = Problem::new(node.at, what).id(CheckId::NoEffect).fix("write a list, such as [a, b]");
            let problem = place.of(problem.under("groups", node.at), section, self.style.under, node.at);
            self.findings.remark(Severity::Warning, problem);
        }
        let rule = Rule::new(username, self.groups.share(groups), node.at.line);
        let rule = match self.not_after(entries)? {
            None => rule,
            Some(end) => rule.ending(end),
        };
        let user_id = entries.iter().map(|(key, _)| key).find(|key| key.text.eq_ignore_ascii_case("userid"));
        let idle = user_id.filter(|_| self.style.user_ids == UserIds::Idle);
        let idle = idle.map(|key| (key, "`userid` has no effect here: entries match by ARN".to_owned()));
        let passed = passed.map(|key| (key, format!("the key `{}` is none of ours and has no effect", key.text)));
        for (key, what) in idle.into_iter().chain(passed) {
            let problem = place.of(Problem::new(key.at, what), section, self.style.under, node.at);
            self.findings.remark(Severity::Warning, problem.id(CheckId::NoEffect));
        }
        Ok(Read { subject, rule, at: node.at, named_at })
    }

    fn required<'n>(&self, entries: &'n [(Key, Node)], key: &str, at: Position) -> Result<&'n str, Problem> {
        let missing = || Problem::new(at, format!("the key `{key}` is missing")).id(CheckId::MissingKey);
        let node = value(entries, key).ok_or_else(missing)?;
        node.text(self.source).map_err(|problem| problem.under(key, node.at))
    }

    fn not_after(&self, entries: &[(Key, Node)]) -> Result<Option<SystemTime>, Problem> {
        let Some(node) = value(entries, "notAfter") else { return Ok(None) };
        let can_be_told = |time: &OffsetDateTime| (0..=LAST_SECOND).contains(&time.unix_timestamp());
        let parse = |text: &str| {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok().filter(can_be_told);
            time.ok_or_else(|| Problem::new(node.at, "not a time such as 2026-01-31T18:00:00Z (RFC 3339)"))
        };
        let end = node.text(self.source).and_then(parse).map_err(|problem| problem.under("notAfter", node.at))?;
        Ok(Some(end.into()))
    }

    fn username(&self, section: Section, entries: &[(Key, Node)], at: Position) -> Result<Template, Problem> {
        let none = |problem: Problem| match problem.id {
            CheckId::MissingKey => problem.id(CheckId::NoUsername),
            _ => problem,
        };
        let text = match value(entries, "username") {
            None if section == Section::Admins => bootstrap_admins::USERNAME,
            _ => self.required(entries, "username", at).map_err(none)?,
        };
        let node = value(entries, "username").map_or(at, |node| node.at);
        if text.trim().is_empty() {
            return Err(Problem::new(node, "the username is empty").id(CheckId::NoUsername).under("username", node));
        }
        template(text, node).map_err(|problem| problem.under("username", node))
    }

    /// A list, or as in existing configuration files a text with commas, an empty one for "none".
    fn group_list(&self, section: Section, entries: &[(Key, Node)]) -> Result<Vec<Template>, Problem> {
        let group = |at: Position, text: &str| match template(text, at) {
            Ok(group) if group.is_empty() => Err(Problem::new(at, "a group is empty")),
            group => group,
        };
        let Some(node) = value(entries, "groups") else {
            let default = (section == Section::Admins).then_some(bootstrap_admins::GROUP);
            return default.map(|text| group(Position::default(), text)).into_iter().collect();
        };
        let groups = match &node.value {
            Value::Null => Ok(Vec::new()),
            Value::Text(text) if self.style.shared || text.trim().is_empty() => Ok(Vec::new()),
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
}

/// The first key that is passed over, if `pass_over` allows it.
fn check_keys<'n>(
    entries: &'n [(Key, Node)],
    known: &'static [&'static str],
    pass_over: bool,
) -> Result<Option<&'n Key>, Problem> {
    let (mut passed, mut seen) = (None, HashMap::with_capacity(entries.len()));
    for (key, _) in entries {
        if let Some(first) = seen.insert(key.text.to_ascii_lowercase(), key) {
            return Err(twice(key, first));
        }
        if fold(&key.text, known).is_some() {
            continue;
        }
        if !pass_over || did_you_mean(&key.text, known.iter().copied()).is_some() {
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

fn template(text: &str, at: Position) -> Result<Template, Problem> {
    Template::parse(text).map_err(|error| Problem::new(at, error.to_string()).id(CheckId::Template))
}

// === impl UserIds ===

impl UserIds {
    /// As `dynamicFileUserIDStrict` says.
    pub(super) fn of(strict: bool) -> Self {
        if strict { Self::Match } else { Self::Idle }
    }
}

// === impl Place ===

impl Place {
    /// That `problem` is with the entry that stands `at` here, of lists under the key `under`.
    pub(super) fn of(&self, problem: Problem, section: Section, under: &str, at: Position) -> Problem {
        let problem = match self {
            Self::Object(name) => return problem.under(name, at),
            Self::Spec(name) if name.is_empty() => return problem.under(section.key(), at),
            Self::Spec(name) => return problem.under(section.key(), at).under(name, at),
            Self::Item(index) => problem.within(*index, at).under(section.key(), at),
        };
        if under.is_empty() { problem } else { problem.under(under, at) }
    }
}

// === impl Section ===

impl Section {
    pub(super) fn key(self) -> &'static str {
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
