//! Callers that are put together at random, and made smaller part by part.

use std::{
    iter,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::{
    caller::{Arn, made_up},
    policy::{
        Mapping,
        cases::{DEFAULT_NOW, OwnedRequest},
    },
};

/// Words to make callers of.
#[derive(Debug)]
pub(super) struct Words {
    accounts: Vec<String>,
    names: Vec<String>,
    times: Vec<SystemTime>,
}

/// A caller before it is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Draft {
    kind: Kind,
    account: String,
    name: String,
    session: String,
    now: SystemTime,
    username: Option<String>,
    groups: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Federated,
    PermissionSet,
    Role,
    Root,
    User,
}

/// Accounts that are nobody's: strangers.
const STRANGERS: [&str; 3] = ["999999999999", "000000000000", "9999999999999999"];
/// Names that break what is put together carelessly.
const ODD: [&str; 18] = [
    "a",
    "admin",
    "Admin",
    "system",
    "system:masters",
    "system:",
    "SYSTEM:masters",
    "alice@example.com",
    "x:y",
    "a/b",
    "{{SessionName}}",
    "{team}",
    "*",
    "?",
    "-",
    "ä",
    "a b",
    "\u{202e}x",
];
/// Longest made name.
const LONG: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

// === impl Words ===

impl Words {
    /// Every text in what is around a policy: whole, and in parts. Times count to the second, before and after too.
    pub(super) fn of(surroundings: &Value) -> Self {
        let mut texts = Vec::new();
        gather(surroundings, &mut texts);
        let digits = |text: &str| matches!(text.len(), 12 | 16) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut times = vec![SystemTime::UNIX_EPOCH + DEFAULT_NOW];
        let mut names: Vec<String> = ODD.map(str::to_owned).to_vec();
        names.push("y".repeat(LONG));
        for text in texts {
            if let Ok(time) = humantime::parse_rfc3339(text) {
                times.extend([Some(time), time.checked_sub(SECOND), time.checked_add(SECOND)].into_iter().flatten());
            }
            names.extend([text.to_owned(), text.replace(['*', '?'], "x")]);
            let parts = text.split([':', '/', '*', '?', '{', '}', '.']).filter(|part| !part.is_empty());
            names.extend(parts.map(str::to_owned));
        }
        names.sort();
        names.dedup();
        let (accounts, names) = names.into_iter().partition(|name| digits(name));
        Self { accounts, names, times }
    }

    fn account(&self, random: &mut fastrand::Rng) -> String {
        match self.accounts.len() {
            0 => STRANGERS[0].to_owned(),
            _ if random.u8(..4) == 0 => STRANGERS[random.usize(..STRANGERS.len())].to_owned(),
            count => self.accounts[random.usize(..count)].clone(),
        }
    }

    fn name(&self, random: &mut fastrand::Rng) -> String {
        let one = |random: &mut fastrand::Rng| &self.names[random.usize(..self.names.len())];
        match random.u8(..6) {
            0 => [one(random).as_str(), one(random)].concat(),
            1 => [one(random).as_str(), ":", one(random)].concat(),
            _ => one(random).clone(),
        }
    }
}

fn gather<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            texts.push(key);
            gather(value, texts);
        }),
        _ => {}
    }
}

// === impl Draft ===

impl Draft {
    pub(super) fn random(words: &Words, random: &mut fastrand::Rng) -> Self {
        let kind = match random.u8(..12) {
            0 => Kind::Root,
            1 => Kind::Federated,
            2 | 3 => Kind::User,
            4 | 5 => Kind::PermissionSet,
            _ => Kind::Role,
        };
        let mapped = random.bool();
        Self {
            kind,
            account: words.account(random),
            name: words.name(random),
            session: words.name(random),
            now: words.times[random.usize(..words.times.len())],
            username: mapped.then(|| words.name(random)),
            groups: if mapped { (0..random.usize(..4)).map(|_| words.name(random)).collect() } else { Vec::new() },
        }
    }

    /// Those that some cloud has, without an end.
    pub(super) fn of_callers(words: &Words, random: &mut fastrand::Rng) -> impl Iterator<Item = Self> {
        iter::repeat_with(|| Self::random(words, random)).filter(|draft| draft.request().is_some())
    }

    pub(super) fn arn(&self) -> String {
        let Self { kind, account, name, session, .. } = self;
        let alibaba = account.len() == 16;
        match (kind, alibaba) {
            (Kind::Root, false) => format!("arn:aws:iam::{account}:root"),
            (Kind::Root, true) => format!("acs:ram::{account}:root"),
            (Kind::Federated, false) => format!("arn:aws:sts::{account}:federated-user/{name}"),
            (Kind::User, false) => format!("arn:aws:iam::{account}:user/{name}"),
            (Kind::User, true) => format!("acs:ram::{account}:user/{name}"),
            (Kind::PermissionSet, false) => {
                format!("arn:aws:sts::{account}:assumed-role/AWSReservedSSO_{name}_0123456789abcdef/{session}")
            }
            (_, false) => format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
            (_, true) => format!("acs:ram::{account}:assumed-role/{name}/{session}"),
        }
    }

    pub(super) fn current(&self) -> Option<Mapping> {
        let username = self.username.clone()?;
        Some(Mapping { username, groups: self.groups.clone(), ..Mapping::default() })
    }

    /// When he asks, as cases write it; `None` at the time of every case that sets none.
    pub(super) fn unusual_now(&self) -> Option<String> {
        let usual = self.now == SystemTime::UNIX_EPOCH + DEFAULT_NOW;
        (!usual).then(|| humantime::format_rfc3339_seconds(self.now).to_string())
    }

    /// Who named him.
    pub(super) fn trail(&self) -> Vec<String> {
        self.username.iter().map(|_| "MountedFile".to_owned()).collect()
    }

    /// What the policy is asked; `None` if no cloud has such a caller.
    pub(super) fn request(&self) -> Option<OwnedRequest> {
        let arn: Arn = self.arn().parse().ok()?;
        let (current, now) = (self.current(), self.now);
        Some(OwnedRequest { current, trail: self.trail(), ..OwnedRequest::from(made_up::caller(&arn, now), now) })
    }

    /// The same with one part left out, shortened or made ordinary; smaller ones first.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if self.unusual_now().is_some() {
            all.push(Self { now: SystemTime::UNIX_EPOCH + DEFAULT_NOW, ..self.clone() });
        }
        if self.username.is_some() {
            all.push(Self { username: None, groups: Vec::new(), ..self.clone() });
        }
        for index in 0..self.groups.len() {
            let mut groups = self.groups.clone();
            groups.remove(index);
            all.push(Self { groups, ..self.clone() });
        }
        for session in shorter(&self.session) {
            all.push(Self { session, ..self.clone() });
        }
        for name in shorter(&self.name) {
            all.push(Self { name, ..self.clone() });
        }
        for username in self.username.iter().flat_map(|name| shorter(name)) {
            all.push(Self { username: Some(username), ..self.clone() });
        }
        all
    }
}

/// Texts that are shorter, or as short and simpler.
fn shorter(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    if text.len() > 1 {
        all.push("a".to_owned());
        let half = text.floor_char_boundary(text.len() / 2);
        all.extend([&text[..half], &text[half..]].map(str::to_owned));
        let mut rest = text.chars();
        rest.next();
        all.push(rest.as_str().to_owned());
        let mut rest = text.chars();
        rest.next_back();
        all.push(rest.as_str().to_owned());
    }
    all.retain(|shorter| !shorter.is_empty() && shorter.len() < text.len());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_from_the_settings() {
        let settings = serde_json::json!({"rules": [{"accounts": ["111122223333"], "role": "team-*"}]});
        let words = Words::of(&settings);
        assert_eq!((words.accounts.as_slice(), words.times.len()), (["111122223333".to_owned()].as_slice(), 1));
        assert!(["role", "team-", "team-x", "team-*"].iter().all(|word| words.names.iter().any(|name| name == word)));
        let mut random = fastrand::Rng::with_seed(7);
        let drafts: Vec<Draft> = (0..100).map(|_| Draft::random(&words, &mut random)).collect();
        let mut again = fastrand::Rng::with_seed(7);
        assert!(drafts.iter().all(|draft| *draft == Draft::random(&words, &mut again)));
        assert!(drafts.iter().any(|draft| draft.request().is_none()));
        assert!(Draft::of_callers(&words, &mut again).take(100).all(|draft| draft.request().is_some()));
    }

    #[test]
    fn words_come_from_tables_too() {
        let grant = serde_json::json!({"role": "OnCall", "until": "2026-05-04T12:00:00Z"});
        let words = Words::of(&serde_json::json!({"tables": {"grants": {"111122223333.fire": grant}}}));
        assert_eq!(words.accounts, ["111122223333"]);
        assert!(["OnCall", "fire", "111122223333.fire"].iter().all(|word| words.names.iter().any(|name| name == word)));
        let times: Vec<String> =
            words.times.iter().map(|time| humantime::format_rfc3339_seconds(*time).to_string()).collect();
        assert_eq!(times[1..], ["2026-05-04T12:00:00Z", "2026-05-04T11:59:59Z", "2026-05-04T12:00:01Z"]);
        // Each kind of caller is somebody whom a cloud has.
        let draft = Draft::random(&words, &mut fastrand::Rng::with_seed(1));
        for kind in [Kind::Federated, Kind::PermissionSet, Kind::Role, Kind::Root, Kind::User] {
            for account in ["111122223333", "1111222233334444"] {
                let (name, session) = ("OnCall".to_owned(), "fire".to_owned());
                let draft = Draft { kind, account: account.to_owned(), name, session, ..draft.clone() };
                assert!(draft.request().is_some(), "{}", draft.arn());
            }
        }
    }

    #[test]
    fn what_is_smaller_is_smaller() {
        let draft = Draft {
            kind: Kind::Role,
            account: "111122223333".into(),
            name: "Dev".into(),
            session: "alice".into(),
            now: SystemTime::UNIX_EPOCH,
            username: Some("al".into()),
            groups: vec!["x".into()],
        };
        let size = |draft: &Draft| {
            draft.name.len()
                + draft.session.len()
                + draft.username.as_ref().map_or(0, |name| name.len() + 1)
                + draft.groups.len()
                + usize::from(draft.unusual_now().is_some())
        };
        assert!(draft.smaller().iter().all(|smaller| size(smaller) < size(&draft)));
    }
}
