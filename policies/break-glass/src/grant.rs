//! One grant: who may what, from when until when, and why.

use super::{
    BreakGlass,
    record::{LINE, cut, plain},
};
use herald_policy::{Caller, Glob, PrincipalKind, Template, Unfit};
use serde::{Deserialize, Deserializer, de::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A grant, as it stands in the table. Its account is the beginning of its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Grant {
    #[serde(default, deserialize_with = "present")]
    role: Option<String>,
    #[serde(default, deserialize_with = "present")]
    user: Option<String>,
    #[serde(default, deserialize_with = "present")]
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

/// A key that is there has a value: one that was emptied is no key that was left out, which would stand for anybody.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

// === impl Grant ===

impl Grant {
    /// Reads an entry; the error says what is wrong with it. Of a grant that is over nobody has to know more than that.
    pub(crate) fn parse(entry: &str, settings: &BreakGlass, now: u64) -> Result<Self, String> {
        let grant: Self = serde_json::from_str(entry).map_err(|error| error.to_string())?;
        if grant.state(now) != State::Over {
            grant.check(settings)?;
        }
        Ok(grant)
    }

    /// Whether it is for this caller, whose account is that of the key.
    pub(crate) fn fits(&self, caller: &Caller) -> bool {
        let kind = if self.role.is_some() { PrincipalKind::AssumedRole } else { PrincipalKind::User };
        let glob = self.session_name.as_ref();
        let session = glob.is_none_or(|glob| caller.session_name.as_deref().is_some_and(|name| glob.matches(name)));
        caller.kind == kind && self.role.as_ref().or(self.user.as_ref()) == Some(&caller.name) && session
    }

    pub(crate) fn state(&self, now: u64) -> State {
        match Moment(now) {
            now if now < self.from => State::Early,
            now if now < self.until => State::Open,
            _ => State::Over,
        }
    }

    pub(crate) fn username(&self, caller: &Caller) -> Result<String, Unfit> {
        self.username.render(caller)
    }

    pub(crate) fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The line that nobody is to miss. Of the reason, as much as there is room for; `None`: there is none for the rest.
    pub(crate) fn alarm(&self, key: &str, caller: &Caller, now: u64) -> Option<String> {
        let minutes = self.until.0.saturating_sub(now).div_ceil(60).to_string();
        let groups = self.groups.join(", ");
        let words = ["BREAK GLASS: ", &caller.arn, " gets ", &groups, " for another ", &minutes, " minutes by ", key];
        let words = plain(&words.concat());
        let fits = words.len() + MIN_REASON <= LINE;
        fits.then(|| cut([&words, ": ", &plain(self.reason.trim())].concat(), LINE))
    }

    fn check(&self, settings: &BreakGlass) -> Result<(), String> {
        let ((Some(name), None) | (None, Some(name))) = (&self.role, &self.user) else {
            return Err("either `role` or `user` is needed".to_owned());
        };
        if name.is_empty() || name.contains([':', '/', '*', '?']) {
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
        let other = self.groups.iter().find(|group| !settings.groups.contains(group));
        if let (Some(group), false) = (other, settings.groups.is_empty()) {
            return Err(["groups: ", group, " is not among those of the settings"].concat());
        }
        match self.until.0.checked_sub(self.from.0) {
            None | Some(0) => Err("until must be later than from".to_owned()),
            Some(length) if length > settings.max_hours * 3600 => {
                Err(["lasts longer than ", &settings.max_hours.to_string(), " hours"].concat())
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
