//! Globs over ARNs of Alibaba Cloud, as RAMIdentityMapping objects name principals: `*` is any text, `?` one
//! character.
//!
//! A glob covers the whole canonical ARN, and no wildcard reaches from the account into the resource, so that
//! `acs:ram::1234567890123456:role/dev-*` is never an account's neighbour or a role that only contains the name. Of
//! several that fit, the most specific counts: one of a single account before one of many, then the one with more
//! letters of its own, then the one with fewer `*`, then the one written first.

use std::{cmp::Reverse, fmt};

use crate::caller::{Caller, arn::ACS_PARTITION};

/// An ARN with wildcards, in lower case.
#[derive(Clone, Debug, Eq)]
pub struct ArnGlob {
    account: Box<str>,
    resource: Box<str>,
    /// Some sessions are written, and it fits every session of their roles.
    is_of_sessions: bool,
}

/// Not a glob of principals.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an ARN with wildcards of Alibaba Cloud, such as acs:ram::1234567890123456:role/dev-*")]
pub struct InvalidGlob;

const WILDCARDS: [char; 2] = ['*', '?'];
/// Longest glob, in bytes; ARNs have a few hundred.
const MAX_BYTES: usize = 1024;
/// What a session's ARN has in place of `role/`.
const SESSION: &str = "assumed-role/";
const KINDS: [&str; 3] = ["role/", "user/", "root"];

// === impl ArnGlob ===

impl ArnGlob {
    /// Reads `acs:ram::<account>:<resource>`; one of sessions means their roles.
    ///
    /// # Errors
    ///
    /// [`InvalidGlob`].
    pub fn parse(text: &str) -> Result<Self, InvalidGlob> {
        let rest = text.strip_prefix("acs:ram::").filter(|_| text.len() <= MAX_BYTES).ok_or(InvalidGlob)?;
        let (account, resource) = rest.split_once(':').ok_or(InvalidGlob)?;
        let digits = account.bytes().all(|byte| byte.is_ascii_digit());
        let some = account.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'?'));
        let one = digits && matches!(account.len(), 12 | 16);
        let many = !digits && some;
        let (resource, session) = match resource.strip_prefix(SESSION) {
            Some(rest) => {
                let (role, session) = rest.rsplit_once('/').ok_or(InvalidGlob)?;
                (format!("role/{role}"), session)
            }
            None => (resource.to_owned(), "*"),
        };
        let head = resource.split(WILDCARDS).next().unwrap_or_default();
        let kind =
            KINDS.iter().any(|kind| head.starts_with(kind) || (kind.starts_with(head) && head.len() < resource.len()));
        let plain = resource.bytes().all(|byte| byte.is_ascii_graphic());
        if !(one || many) || !kind || !plain || resource.ends_with('/') {
            return Err(InvalidGlob);
        }
        let is_of_sessions = session.bytes().any(|byte| byte != b'*');
        Ok(Self { account: account.into(), resource: resource.to_ascii_lowercase().into(), is_of_sessions })
    }

    /// Whether `text` has a wildcard at all.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.contains(WILDCARDS)
    }

    /// Whether it names callers of more accounts than one.
    #[must_use]
    pub fn is_of_many_accounts(&self) -> bool {
        Self::is_meant(&self.account)
    }

    /// Whether it was written for some sessions alone, which says nothing of whom it fits.
    #[must_use]
    pub fn is_of_sessions(&self) -> bool {
        self.is_of_sessions
    }

    /// Whether whoever it names has no session.
    #[must_use]
    pub fn is_of_users(&self) -> bool {
        KINDS[1..].iter().any(|kind| self.resource.starts_with(kind))
    }

    /// Whether it names `caller`.
    pub(super) fn fits(&self, caller: &Caller) -> bool {
        self.fits_account(caller) && self.fits_resource(caller)
    }

    /// Whether it names callers of this one's account.
    pub(in crate::mapping) fn fits_account(&self, caller: &Caller) -> bool {
        caller.partition == ACS_PARTITION && is_match(self.account.as_bytes(), caller.account_id.as_str().as_bytes())
    }

    /// Whether it names callers of this one's kind and name.
    pub(in crate::mapping) fn fits_resource(&self, caller: &Caller) -> bool {
        let resource = caller.canonical_arn.splitn(5, ':').nth(4).unwrap_or_default().to_ascii_lowercase();
        caller.partition == ACS_PARTITION && is_match(self.resource.as_bytes(), resource.as_bytes())
    }

    /// The text in front of its first wildcard, behind the kind: `dev-` of `role/dev-*`.
    pub(in crate::mapping) fn stem(&self) -> &str {
        let name = self.resource.split_once('/').map_or("", |(_, name)| name);
        name.split(WILDCARDS).next().unwrap_or_default()
    }

    /// Whether it names callers whose resource is `role/…`, `user/…` or the like.
    pub(in crate::mapping) fn is_of_kind(&self, kind: &str) -> bool {
        self.resource.split_once('/').is_some_and(|(own, _)| own == kind)
    }

    /// By what globs are ordered, the most specific first.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let count = |wanted: char| self.resource.chars().filter(|letter| *letter == wanted).count();
        let letters = self.resource.len() - count('*') - count('?');
        (self.is_of_many_accounts(), Reverse(letters), count('*'))
    }
}

/// Two that fit the same callers are one, however they were written.
impl PartialEq for ArnGlob {
    fn eq(&self, other: &Self) -> bool {
        self.account == other.account && self.resource == other.resource
    }
}

impl fmt::Display for ArnGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acs:ram::{}:{}", self.account, self.resource)
    }
}

/// Whether `glob` covers the whole of `text`. In the worst case as many steps as their lengths' product.
fn is_match(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last `*` stands, and what it has taken so far ends.
    let mut star = None;
    while read < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                read = taken + 1;
            }
        }
    }
    glob[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::rule::tests::caller;

    #[test]
    fn globs() {
        #[track_caller]
        fn check(glob: &str, arn: &str, expected: bool) {
            let glob = ArnGlob::parse(glob).expect("a glob");
            assert_eq!(glob.fits(&caller(arn)), expected, "{glob} {arn}");
        }
        let dev = "acs:ram::1234567890123456:role/dev-*";
        check(dev, "acs:ram::1234567890123456:assumed-role/dev-eu/alice", true);
        check(dev, "acs:ram::1234567890123456:assumed-role/DEV-EU/alice", true);
        check(dev, "acs:ram::1234567890123456:assumed-role/dev-/alice", true);
        check(dev, "acs:ram::1234567890123456:assumed-role/dev-a:b/alice", true);
        check(dev, "acs:ram::1234567890123456:assumed-role/x:role/dev-eu/alice", false);
        check(dev, "acs:ram::1234567890123456:assumed-role/dev/alice", false);
        check(dev, "acs:ram::1234567890123456:assumed-role/devx/alice", false);
        check(dev, "acs:ram::1234567890123456:assumed-role/other-dev-eu/alice", false);
        check(dev, "acs:ram::1234567890123456:user/dev-eu", false);
        check(dev, "acs:ram::1234567890123457:assumed-role/dev-eu/alice", false);
        check(dev, "arn:aws:sts::1234567890123456:assumed-role/dev-eu/alice", false);
        let one = "acs:ram::1234567890123456:role/?";
        check(one, "acs:ram::1234567890123456:assumed-role/a/alice", true);
        check(one, "acs:ram::1234567890123456:assumed-role/ab/alice", false);
        let all = "acs:ram::1234567890123456:*";
        check(all, "acs:ram::1234567890123456:user/alice", true);
        check(all, "acs:ram::1234567890123456:root", true);
        check(all, "acs:ram::1234567890123457:user/alice", false);
        check("acs:ram::*:role/x", "acs:ram::1234567890123456:assumed-role/x/alice", true);
        check("acs:ram::*:role/x", "acs:ram::1234567890123456:assumed-role/y/alice", false);
        check("acs:ram::1234567890123456:role/a*b", "acs:ram::1234567890123456:assumed-role/azzb/alice", true);
        check("acs:ram::1234567890123456:role/a*b", "acs:ram::1234567890123456:assumed-role/abc/alice", false);
        check("acs:ram::1234567890123456:role/**", "acs:ram::1234567890123456:assumed-role/x/alice", true);
        check("acs:ram::1234567890123456:assumed-role/x*/*", "acs:ram::1234567890123456:assumed-role/xy/alice", true);
        check("acs:ram::1234567890123456:role/x?*", "acs:ram::1234567890123456:assumed-role/x/alice", false);
    }

    #[test]
    fn sessions_do_not_tell_globs_apart() {
        #[track_caller]
        fn check(text: &str, expected: bool) {
            let role = ArnGlob::parse("acs:ram::1234567890123456:role/x*").expect("a glob");
            let glob = ArnGlob::parse(text).expect("a glob");
            assert_eq!((glob == role, glob.is_of_sessions()), (true, expected), "{text}");
        }
        check("acs:ram::1234567890123456:role/x*", false);
        check("acs:ram::1234567890123456:assumed-role/x*/*", false);
        check("acs:ram::1234567890123456:assumed-role/x*/**", false);
        check("acs:ram::1234567890123456:assumed-role/x*/alice", true);
        check("acs:ram::1234567890123456:assumed-role/x*/a*", true);
    }

    #[test]
    fn what_no_glob_is() {
        for text in [
            "*",
            "acs:*",
            "acs:ram:*:1234567890123456:role/x",
            "acs:ram::1234567890123456",
            "acs:ram::12345:role/*",
            "acs:ram::x*:role/*",
            "acs:ram::1234567890123456:group/*",
            "acs:ram::1234567890123456:role/",
            "acs:ram::1234567890123456:role/a b*",
            "acs:ram::1234567890123456:assumed-role/*",
            "arn:aws:iam::123456789012:role/*",
            "ACS:ram::1234567890123456:role/*",
        ] {
            assert_eq!(ArnGlob::parse(text), Err(InvalidGlob), "{text}");
        }
        assert!(ArnGlob::parse(&format!("acs:ram::1234567890123456:role/{}*", "a".repeat(MAX_BYTES))).is_err());
    }

    #[test]
    fn the_most_specific_comes_first() {
        let mut globs = [
            "acs:ram::*:role/developers-eu",
            "acs:ram::1234567890123456:*",
            "acs:ram::1234567890123456:role/*",
            "acs:ram::1234567890123456:role/d*v*",
            "acs:ram::1234567890123456:role/dv?",
            "acs:ram::1234567890123456:role/dev*",
        ]
        .map(|text| ArnGlob::parse(text).expect("a glob"));
        globs.sort_by_key(ArnGlob::order);
        let names = globs.map(|glob| glob.resource.to_string());
        assert_eq!(names, ["role/dev*", "role/dv?", "role/d*v*", "role/*", "*", "role/developers-eu"]);
    }

    #[test]
    fn many_stars_cost_no_more_than_their_length() {
        let glob = ArnGlob::parse(&format!("acs:ram::1234567890123456:role/{}b", "*a".repeat(400))).expect("a glob");
        let name = "a".repeat(64);
        assert!(!glob.fits(&caller(&format!("acs:ram::1234567890123456:assumed-role/{name}/alice"))));
    }
}
