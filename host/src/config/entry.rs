//! Entries of `mapRoles` and `mapUsers`, and lists of accounts: each is read by itself, so that a wrong
//! one is left out and reported and never takes its neighbours with it. What is right and may not mean
//! what it says is for [`super::remark`].

use std::collections::BTreeSet;

use super::{
    arn_hint,
    de::{fold, twice, unknown},
    error::{Position, Problem, did_you_mean},
    finding::{CheckId, Findings, Severity},
    node::{self, Key, Node, Section, Value},
    remark::{Census, Entry, Spot},
};
use crate::{
    caller::{
        AccountId, Arn, InvalidAccountId,
        arn::{AWS_PARTITIONS, InvalidArn},
    },
    mapping::{
        Rules,
        rule::{GroupLists, PermissionSet, Rule, Subject},
        template::{InvalidTemplate, Template},
    },
};

/// What has been read of a file's mappings so far.
pub(super) struct Entries<'a> {
    pub(super) source: &'a str,
    rules: Rules,
    /// Users wait until all roles are in: role entries come first, wherever they are written.
    users: Vec<(usize, Read)>,
    groups: GroupLists,
    /// The key that the lists stand under.
    under: &'static str,
    pub(super) findings: Findings,
    pub(super) census: Census,
    /// How many findings there were before the last entry.
    before_last: usize,
}

/// What one entry says.
struct Read {
    subject: Subject,
    rule: Rule,
    at: Position,
    /// Where it says whom it is about.
    named_at: Position,
}

const ROLE_KEYS: [&str; 5] = ["roleARN", "sso", "username", "groups", "userid"];
const USER_KEYS: [&str; 4] = ["userARN", "username", "groups", "userid"];
/// Where the one entry of an object stands.
const SPEC: &str = "spec";
const IDENTITY_KEYS: [&str; 3] = ["arn", "username", "groups"];
const SSO_KEYS: [&str; 3] = ["permissionSetName", "accountID", "partition"];
/// Longest name of a permission set (IAM Identity Center API Reference, "CreatePermissionSet").
const MAX_SET_NAME: usize = 32;

// === impl Entries ===

impl<'a> Entries<'a> {
    /// Entries of lists that stand under the key `under`.
    pub(super) fn new(source: &'a str, under: &'static str) -> Self {
        Self {
            source,
            under,
            rules: Rules::default(),
            users: Vec::new(),
            groups: GroupLists::default(),
            findings: Findings::default(),
            census: Census::default(),
            before_last: 0,
        }
    }

    /// Reads one entry, or reports why it is left out.
    pub(super) fn add(&mut self, section: Section, index: usize, node: &Node) {
        self.before_last = self.findings.len();
        match self.read(section, index, node) {
            Ok(read) if section == Section::Users => self.users.push((index, read)),
            Ok(read) => self.insert(section, index, read),
            Err(problem) => {
                self.census.leave_out(node, &problem);
                self.findings.left_out(self.place(problem, section, index, node.at));
            }
        }
    }

    /// Takes back what was said of the last entry, if that was after the finding numbered `first`: the document
    /// ended in the middle of it.
    pub(super) fn forget_last(&mut self, first: usize) {
        self.findings.truncate(self.before_last.max(first));
    }

    /// Every rule that is in force, and what is to be said about the file.
    pub(super) fn finish(mut self) -> (Rules, Findings, Census) {
        for (index, read) in std::mem::take(&mut self.users) {
            self.insert(Section::Users, index, read);
        }
        self.rules.shrink_to_fit();
        self.census.overlaps(&self.rules, &mut self.findings);
        (self.rules, self.findings, self.census)
    }

    fn insert(&mut self, section: Section, index: usize, read: Read) {
        let Read { subject, rule, at, named_at } = read;
        let spot = Spot { at, named_at, under: self.under, section, index };
        let entry = Entry { subject: &subject, rule: &rule, spot };
        entry.remark(&mut self.findings);
        self.census.count(&entry);
        if let Err(duplicate) = self.rules.insert(subject, rule) {
            let problem = Problem::new(named_at, duplicate.to_string()).id(CheckId::DuplicatePrincipal);
            let problem = problem.fix("keep one entry, with the groups of both");
            self.findings.left_out(self.place(problem, section, index, at));
        }
    }

    fn place(&self, problem: Problem, section: Section, index: usize, at: Position) -> Problem {
        match section {
            Section::Identities => problem.under(section.key(), at),
            _ => problem.within(index, at).under(section.key(), at).under(self.under, at),
        }
    }

    fn read(&mut self, section: Section, index: usize, node: &Node) -> Result<Read, Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        check_keys(entries, section.keys())?;
        let (subject, named_at) = self.subject(section, entries, node.at)?;
        let username = self.username(entries, node.at)?;
        let groups = self.group_list(entries)?;
        if let Some((key, _)) = entries.iter().find(|(key, _)| key.text.eq_ignore_ascii_case("userid")) {
            let problem =
                Problem::new(key.at, "`userid` has no effect here: entries match by ARN").id(CheckId::NoEffect);
            self.findings.remark(Severity::Warning, self.place(problem, section, index, node.at));
        }
        let rule = Rule::new(username, self.groups.share(groups), node.at.line);
        Ok(Read { subject, rule, at: node.at, named_at })
    }

    /// Whom an entry is about, and where it says so.
    fn subject(&self, section: Section, entries: &[(Key, Node)], at: Position) -> Result<(Subject, Position), Problem> {
        let key = section.arn_key();
        let sso = value(entries, "sso").filter(|_| section == Section::Roles);
        let nobody = |what: String| Problem::new(at, what).id(CheckId::MissingKey);
        match (value(entries, key), sso) {
            (Some(node), None) => match self.arn(node) {
                Ok(arn) => Ok((Subject::Arn(arn), node.at)),
                Err(problem) => Err(problem.under(key, node.at)),
            },
            (None, Some(node)) => match self.permission_set(node) {
                Ok(set) => Ok((set, node.at)),
                Err(problem) => Err(problem.under("sso", node.at)),
            },
            (Some(_), Some(_)) => Err(Problem::new(at, format!("has both `{key}` and `sso`")).fix("keep one of them")),
            (None, None) if section == Section::Roles => {
                Err(nobody(format!("has neither `{key}` nor `sso`: it names nobody")))
            }
            (None, None) => Err(nobody(format!("has no `{key}`: it names nobody"))),
        }
    }

    fn arn(&self, node: &Node) -> Result<Arn, Problem> {
        let text = node.text(self.source)?;
        if text.contains(['*', '?']) {
            let what = "wildcards are not supported in an ARN";
            return Err(Problem::new(node.at, what).id(CheckId::WildcardArn).fix(arn_hint::for_wildcard(text)));
        }
        text.parse().map_err(|error: InvalidArn| {
            Problem::new(node.at, error.to_string()).id(CheckId::InvalidArn).maybe(arn_hint::for_invalid(text))
        })
    }

    fn permission_set(&self, node: &Node) -> Result<Subject, Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        check_keys(entries, &SSO_KEYS)?;
        let bad = |at, what: String| Problem::new(at, what).id(CheckId::InvalidPermissionSet);
        let name = self.required(entries, "permissionSetName", node.at)?;
        let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        if !good || !(1..=MAX_SET_NAME).contains(&name.len()) {
            let what = "not the name of a permission set: 1 to 32 of A-Z a-z 0-9 _ + = , . @ -";
            return Err(bad(node.at, what.to_owned()));
        }
        let account = self.required(entries, "accountID", node.at)?;
        let wrong = |error: InvalidAccountId| Problem::new(node.at, error.to_string()).id(CheckId::AccountId);
        let account: AccountId = account.parse().map_err(wrong)?;
        let partition = match value(entries, "partition") {
            None => AWS_PARTITIONS[0],
            Some(node) => {
                let text = node.text(self.source)?;
                let known = AWS_PARTITIONS.into_iter().find(|known| *known == text);
                let hint = || did_you_mean(text, AWS_PARTITIONS);
                known.ok_or_else(|| bad(node.at, "no partition of AWS".to_owned()).maybe(hint()))?
            }
        };
        Ok(Subject::PermissionSet(PermissionSet::new(partition, &account, name)))
    }

    fn required<'n>(&self, entries: &'n [(Key, Node)], key: &str, at: Position) -> Result<&'n str, Problem> {
        let missing = || Problem::new(at, format!("the key `{key}` is missing")).id(CheckId::MissingKey);
        let node = value(entries, key).ok_or_else(missing)?;
        node.text(self.source).map_err(|problem| problem.under(key, node.at))
    }

    fn username(&self, entries: &[(Key, Node)], at: Position) -> Result<Template, Problem> {
        let none = |problem: Problem| match problem.id {
            CheckId::MissingKey => problem.id(CheckId::NoUsername),
            _ => problem,
        };
        let text = self.required(entries, "username", at).map_err(none)?;
        let node = value(entries, "username").map_or(at, |node| node.at);
        if text.trim().is_empty() {
            return Err(Problem::new(node, "the username is empty").id(CheckId::NoUsername).under("username", node));
        }
        template(text, node).map_err(|problem| problem.under("username", node))
    }

    /// A list, or as in existing files a text with commas.
    fn group_list(&self, entries: &[(Key, Node)]) -> Result<Vec<Template>, Problem> {
        let Some(node) = value(entries, "groups") else { return Ok(Vec::new()) };
        let group = |at: Position, text: &str| match template(text, at) {
            Ok(group) if group.is_empty() => Err(Problem::new(at, "a group is empty")),
            group => group,
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

fn template(text: &str, at: Position) -> Result<Template, Problem> {
    Template::parse(text).map_err(|error| {
        let id = if error == InvalidTemplate::NeedsEc2 { CheckId::NeedsEc2 } else { CheckId::Template };
        Problem::new(at, error.to_string()).id(id)
    })
}

// === impl Section ===

impl Section {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Identities => SPEC,
            Self::Roles => "mapRoles",
            Self::Users => "mapUsers",
        }
    }

    fn arn_key(self) -> &'static str {
        self.keys()[0]
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Identities => &IDENTITY_KEYS,
            Self::Roles => &ROLE_KEYS,
            Self::Users => &USER_KEYS,
        }
    }
}

/// The accounts of a list. `wrong` is told of each item that is none.
pub(super) fn accounts(
    node: &Node,
    source: &str,
    mut wrong: impl FnMut(Problem),
) -> Result<BTreeSet<AccountId>, Problem> {
    let items: &[Node] = match &node.value {
        Value::Null => &[],
        Value::List(items) => items,
        other => return Err(Problem::new(node.at, format!("expected a list of accounts, found {}", other.noun()))),
    };
    let mut accounts = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let parse = |text: &str| {
            let wrong = |error| Problem::new(item.at, format!("{error}, found `{text}`")).id(CheckId::AccountId);
            text.parse().map_err(wrong)
        };
        match item.text(source).and_then(parse) {
            Ok(account) => drop(accounts.insert(account)),
            Err(problem) => wrong(problem.within(index, item.at)),
        }
    }
    Ok(accounts)
}

/// Accounts of a list in a document by itself. Existing lists have numbers, which are taken as they are written.
pub(super) fn accounts_as_written(text: &str, findings: &mut Findings) {
    let under = |problem: Problem| problem.under("mapAccounts", Position::default()).under("data", Position::default());
    let items = match node::read_plain(text) {
        Ok(Node { value: Value::List(items), .. }) => items,
        Ok(Node { value: Value::Null, .. }) => return,
        Ok(other) => {
            let what = format!("expected a list of accounts, found {}", other.value.noun());
            return findings.whole_list(under(Problem::new(other.at, what)));
        }
        Err(problem) => return findings.whole_list(under(problem)),
    };
    for (index, item) in items.iter().enumerate() {
        let number = matches!(item.value, Value::Signed(_) | Value::Unsigned(_) | Value::Float(_));
        let written = if number { item.written(text) } else { item.plain().unwrap_or_default() };
        if written.parse::<AccountId>().is_err() {
            let what = format!("{InvalidAccountId}, found `{written}`");
            findings.left_out(under(Problem::new(item.at, what).id(CheckId::AccountId).within(index, item.at)));
        } else if number {
            let what = format!("`{written}` is a number, which other readers of YAML write in another way");
            let problem = Problem::new(item.at, what).id(CheckId::YamlTrap).fix("write it in quotes");
            findings.remark(Severity::Warning, under(problem.within(index, item.at)));
        }
    }
}
