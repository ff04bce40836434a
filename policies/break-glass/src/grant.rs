//! One grant: who may what, from when until when, and why.

use super::record::{LINE, cut, plain};
use herald_policy::{Caller, Glob, PrincipalKind, Template, Unfit};
use serde::{Deserialize, Deserializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A grant that may be used. Its account is the beginning of its key.
#[derive(Debug)]
pub(crate) struct Grant {
    key: String,
    entry: Entry,
}

/// What stands in the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    role: Option<String>,
    user: Option<String>,
    session_name: Option<Glob>,
    from: Moment,
    until: Moment,
    /// Who decided it, and why; for the audit log.
    reason: String,
    /// For callers whom nobody else names. Default `break-glass:{{PrincipalID}}`.
    #[serde(default = "username")]
    username: Template,
    groups: Vec<String>,
}

/// Where a moment is in a grant's time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Before it begins.
    Early,
    /// While it counts.
    Open,
    /// From its end on.
    Over,
}

/// Seconds since 1970, written as RFC 3339 has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Moment(u64);

/// Bytes of an alarm that are kept for the reason, if it has so many.
const MIN_REASON: usize = 100;
/// What a reason has, in characters.
const REASON: std::ops::RangeInclusive<usize> = 10..=300;

fn username() -> Template {
    // `expect` would bring the words of every error into the component.
    "break-glass:{{PrincipalID}}".parse().unwrap_or_else(|_| unreachable!("a template"))
}

// === impl Grant ===

impl Grant {
    /// Reads the entry at `key`; the error says what is wrong with it.
    pub(crate) fn parse(key: &str, entry: &str, max_hours: u64) -> Result<Self, String> {
        let entry: Entry = serde_json::from_str(entry).map_err(|error| error.to_string())?;
        entry.check(max_hours)?;
        Ok(Self { key: key.to_owned(), entry })
    }

    /// Whether it is for this caller, whose account is that of the key.
    pub(crate) fn fits(&self, caller: &Caller) -> bool {
        let (kind, name) = match (&self.entry.role, &self.entry.user) {
            (Some(role), _) => (PrincipalKind::AssumedRole, role),
            (None, Some(user)) => (PrincipalKind::User, user),
            (None, None) => return false,
        };
        let glob = self.entry.session_name.as_ref();
        let session = glob.is_none_or(|glob| caller.session_name.as_deref().is_some_and(|name| glob.matches(name)));
        caller.kind == kind && caller.name == *name && session
    }

    pub(crate) fn state(&self, now: u64) -> State {
        match Moment(now) {
            now if now < self.entry.from => State::Early,
            now if now < self.entry.until => State::Open,
            _ => State::Over,
        }
    }

    pub(crate) fn username(&self, caller: &Caller) -> Result<String, Unfit> {
        self.entry.username.render(caller)
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn groups(&self) -> &[String] {
        &self.entry.groups
    }

    /// The line that nobody is to miss. Of the reason, as much as there is room for; `None`: there is none for the rest.
    pub(crate) fn alarm(&self, caller: &Caller, now: u64) -> Option<String> {
        let minutes = self.entry.until.0.saturating_sub(now).div_ceil(60).to_string();
        let groups = self.entry.groups.join(", ");
        let words =
            ["BREAK GLASS: ", &caller.arn, " gets ", &groups, " for another ", &minutes, " minutes by ", &self.key];
        let words = plain(&words.concat());
        let fits = words.len() + MIN_REASON <= LINE;
        fits.then(|| cut([&words, ": ", &plain(self.entry.reason.trim())].concat(), LINE))
    }
}

// === impl Entry ===

impl Entry {
    fn check(&self, max_hours: u64) -> Result<(), String> {
        if self.role.is_some() == self.user.is_some() {
            return Err("either `role` or `user` is needed".to_owned());
        }
        let name = self.role.as_ref().or(self.user.as_ref()).filter(|name| !name.contains([':', '/', '*', '?']));
        if name.is_none_or(|name| name.is_empty()) {
            return Err("role and user are names alone, without path and pattern".to_owned());
        }
        if self.user.is_some() && self.session_name.is_some() {
            return Err("a user has no session name".to_owned());
        }
        if !REASON.contains(&self.reason.trim().chars().count()) {
            return Err("reason: say who decided it, and why, in 10 to 300 characters".to_owned());
        }
        if self.groups.is_empty() || self.groups.iter().any(String::is_empty) {
            return Err("groups: name at least one, and none without a name".to_owned());
        }
        match self.until.0.checked_sub(self.from.0) {
            None | Some(0) => Err("until must be later than from".to_owned()),
            Some(length) if length > max_hours * 3600 => {
                Err(["lasts longer than ", &max_hours.to_string(), " hours"].concat())
            }
            Some(_) => Ok(()),
        }
    }
}

// === impl Moment ===

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).ok();
        let seconds = time.and_then(|time| u64::try_from(time.unix_timestamp()).ok());
        seconds.map(Self).ok_or_else(|| D::Error::custom([&text, ": not a time such as 2026-01-01T00:00:00Z"].concat()))
    }
}
