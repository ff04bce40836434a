//! Entries of `mapRoles` and `mapUsers`, and lists of accounts: each is read by itself, so that a wrong
//! one is left out and reported and never takes its neighbours with it.

use std::collections::BTreeSet;

use super::{
    de::{fold, twice, unknown},
    error::{Position, Problem, Warning, did_you_mean},
    node::{Key, Node, Section, Value},
};
use crate::{
    caller::{
        AccountId, Arn, InvalidAccountId, PrincipalKind,
        arn::{ACS_PARTITION, AWS_PARTITIONS},
    },
    mapping::{
        Rules,
        rule::{GroupLists, PermissionSet, Rule, Subject},
        template::Template,
    },
};

/// What has been read of a file's mappings so far.
pub(super) struct Entries<'a> {
    source: &'a str,
    rules: Rules,
    /// Users wait until all roles are in: role entries come first, wherever they are written.
    users: Vec<(usize, Subject, Rule)>,
    groups: GroupLists,
    pub(super) warnings: Warnings,
}

/// What is reported of a file, with a bound.
#[derive(Default)]
pub(super) struct Warnings {
    list: Vec<Warning>,
    more: usize,
}

/// Most warnings that are kept with their text.
const MAX_WARNINGS: usize = 1_000;
const ROLE_KEYS: [&str; 5] = ["roleARN", "sso", "username", "groups", "userid"];
const USER_KEYS: [&str; 4] = ["userARN", "username", "groups", "userid"];
const SSO_KEYS: [&str; 3] = ["permissionSetName", "accountID", "partition"];
/// Longest name of a permission set (IAM Identity Center API Reference, "CreatePermissionSet").
const MAX_SET_NAME: usize = 32;

// === impl Entries ===

impl<'a> Entries<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let (rules, users, groups) = (Rules::default(), Vec::new(), GroupLists::default());
        Self { source, rules, users, groups, warnings: Warnings::default() }
    }

    /// Reads one entry, or reports why it is left out.
    pub(super) fn add(&mut self, section: Section, index: usize, node: &Node) {
        match self.read(section, index, node) {
            Ok((subject, rule)) if section == Section::Users => self.users.push((index, subject, rule)),
            Ok((subject, rule)) => self.insert(section, index, subject, rule),
            Err(problem) => {
                let problem = problem.within(index, node.at).under(section.key(), node.at).under("server", node.at);
                self.warnings.left_out(&problem);
            }
        }
    }

    /// Every rule that is in force.
    pub(super) fn finish(mut self) -> (Rules, Warnings) {
        for (index, subject, rule) in std::mem::take(&mut self.users) {
            self.insert(Section::Users, index, subject, rule);
        }
        self.rules.shrink_to_fit();
        (self.rules, self.warnings)
    }

    fn insert(&mut self, section: Section, index: usize, subject: Subject, rule: Rule) {
        let line = rule.line;
        if let Err(duplicate) = self.rules.insert(subject, rule) {
            self.warnings.push(line, &path(section, index), format!("left out: {duplicate}"));
        }
    }

    fn read(&mut self, section: Section, index: usize, node: &Node) -> Result<(Subject, Rule), Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        check_keys(entries, section.keys())?;
        let subject = self.subject(section, entries, node.at)?;
        let username = self.username(entries, node.at)?;
        let groups = self.group_list(entries)?;
        self.remark(section, index, entries, &subject, &username, &groups);
        Ok((subject, Rule::new(username, self.groups.share(groups), node.at.line)))
    }

    fn subject(&self, section: Section, entries: &[(Key, Node)], at: Position) -> Result<Subject, Problem> {
        let key = section.arn_key();
        let arn = value(entries, key).map(|node| self.arn(node).map_err(|problem| problem.under(key, node.at)));
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
        check_keys(entries, &SSO_KEYS)?;
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

    fn username(&self, entries: &[(Key, Node)], at: Position) -> Result<Template, Problem> {
        let text = self.required(entries, "username", at)?;
        let node = value(entries, "username").map_or(at, |node| node.at);
        if text.trim().is_empty() {
            return Err(Problem::new(node, "the username is empty").under("username", node));
        }
        Template::parse(text).map_err(|error| Problem::new(node, error.to_string()).under("username", node))
    }

    /// A list, or as in existing files a text with commas.
    fn group_list(&self, entries: &[(Key, Node)]) -> Result<Vec<Template>, Problem> {
        let Some(node) = value(entries, "groups") else { return Ok(Vec::new()) };
        let group = |at: Position, text: &str| match Template::parse(text) {
            Ok(group) if group.is_empty() => Err(Problem::new(at, "a group is empty")),
            group => group.map_err(|error| Problem::new(at, error.to_string())),
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
        index: usize,
        entries: &[(Key, Node)],
        subject: &Subject,
        username: &Template,
        groups: &[Template],
    ) {
        let mut remark = |line, text: &str| self.warnings.push(line, &path(section, index), text.to_owned());
        let line = entries.first().map_or(0, |(key, _)| key.at.line);
        if let Some((key, _)) = entries.iter().find(|(key, _)| key.text.eq_ignore_ascii_case("userid")) {
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

fn path(section: Section, index: usize) -> String {
    format!("server.{}[{index}]", section.key())
}

fn check_keys(entries: &[(Key, Node)], known: &'static [&'static str]) -> Result<(), Problem> {
    for (index, (key, _)) in entries.iter().enumerate() {
        let earlier = entries.iter().take(index).find(|(other, _)| other.text.eq_ignore_ascii_case(&key.text));
        if let Some((first, _)) = earlier {
            return Err(twice(key, first));
        }
        fold(&key.text, known).ok_or_else(|| unknown(key, known))?;
    }
    Ok(())
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
            Self::Roles => "mapRoles",
            Self::Users => "mapUsers",
        }
    }

    fn arn_key(self) -> &'static str {
        self.keys()[0]
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Roles => &ROLE_KEYS,
            Self::Users => &USER_KEYS,
        }
    }
}

// === impl Warnings ===

impl Warnings {
    pub(super) fn push(&mut self, line: u32, path: &str, text: String) {
        if self.list.len() == MAX_WARNINGS {
            self.more += 1;
            return;
        }
        self.list.push(Warning { line, path: path.to_owned(), text });
    }

    pub(super) fn left_out(&mut self, problem: &Problem) {
        let line = problem.at.map_or(0, |at| at.line);
        self.push(line, &problem.path(), format!("left out: {}", problem.what));
    }

    /// All of them by line, and last how many more there are.
    pub(super) fn finish(mut self) -> Vec<Warning> {
        self.list.sort_by_key(|warning| warning.line);
        if self.more > 0 {
            let text = format!("and {} more of this kind", self.more);
            self.list.push(Warning { line: self.list.last().map_or(0, |last| last.line), path: String::new(), text });
        }
        self.list
    }
}

/// The accounts of a list. `wrong` is told of each item that is none, and decides whether that fails
/// the whole list.
pub(super) fn accounts(
    node: &Node,
    source: &str,
    mut wrong: impl FnMut(Problem) -> Result<(), Problem>,
) -> Result<BTreeSet<AccountId>, Problem> {
    let items: &[Node] = match &node.value {
        Value::Null => &[],
        Value::List(items) => items,
        other => return Err(Problem::new(node.at, format!("expected a list of accounts, found {}", other.noun()))),
    };
    let mut accounts = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let parse =
            |text: &str| text.parse().map_err(|error| Problem::new(item.at, format!("{error}, found `{text}`")));
        match item.text(source).and_then(parse) {
            Ok(account) => drop(accounts.insert(account)),
            Err(problem) => wrong(problem.within(index, item.at))?,
        }
    }
    Ok(accounts)
}
