//! Guard: the checks that every answer passes after the chain, whoever gave it.
//!
//! Bounds follow what Kubernetes accepts in impersonation headers and audit events with room to
//! spare; reserved prefixes are the operator's (`server.reservedPrefixConfig`).

use std::collections::BTreeMap;

use crate::{
    caller::{Fact, letters::steers},
    policy::Mapping,
};

/// Longest username, group, uid or extra value, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// Most groups in one answer.
pub const MAX_GROUPS: usize = 256;
/// Most extra keys in one answer, and most values of one key.
pub const MAX_EXTRA: usize = 64;
/// Extra keys under this prefix, and those of the provider, are the host's own.
pub const HOST_EXTRA_PREFIX: &str = "herald.dev/";

/// The rules for every answer.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Username prefixes that a source may not hand out, by the source's name.
    reserved: BTreeMap<String, Vec<String>>,
}

/// The rule that an answer breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The username is empty.
    #[error("the username is empty")]
    EmptyUsername,
    /// A group is empty.
    #[error("a group is empty")]
    EmptyGroup,
    /// A value has control or bidirectional-override characters.
    #[error("{0} holds control or direction-changing characters")]
    Characters(&'static str),
    /// A value is longer than [`MAX_NAME_BYTES`].
    #[error("{0} is longer than 1024 bytes")]
    TooLong(&'static str),
    /// More groups or extra keys than the host passes on.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The username starts with a prefix reserved for other sources.
    #[error("the username starts with a reserved prefix")]
    ReservedPrefix,
    /// An extra key that only the host may set, or not a key Kubernetes accepts.
    #[error("an extra key is reserved or empty")]
    ReservedExtra,
}

// === impl Guard ===

impl Guard {
    /// A guard with the operator's reserved username prefixes by source; empty prefixes are ignored.
    #[must_use]
    pub fn new(reserved: BTreeMap<String, Vec<String>>) -> Self {
        Self { reserved }
    }

    /// Checks what `stage` answered. `host_keys` are the extra keys the provider will add.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(&self, stage: &str, mapping: &Mapping, host_keys: &[(&'static str, Fact)]) -> Result<(), GuardError> {
        if mapping.username.is_empty() {
            return Err(GuardError::EmptyUsername);
        }
        check_text("the username", &mapping.username)?;
        if let Some(uid) = &mapping.uid {
            check_text("the uid", uid)?;
        }
        if mapping.groups.len() > MAX_GROUPS {
            return Err(GuardError::TooMany("groups"));
        }
        for group in &mapping.groups {
            if group.is_empty() {
                return Err(GuardError::EmptyGroup);
            }
            check_text("a group", group)?;
        }
        check_extra(mapping, host_keys)?;
        let reserved = self.reserved.get(stage).into_iter().flatten();
        for prefix in reserved.filter(|prefix| !prefix.is_empty()) {
            if mapping.username.starts_with(prefix.as_str()) {
                return Err(GuardError::ReservedPrefix);
            }
        }
        Ok(())
    }
}

fn check_extra(mapping: &Mapping, host_keys: &[(&'static str, Fact)]) -> Result<(), GuardError> {
    if mapping.extra.len() > MAX_EXTRA {
        return Err(GuardError::TooMany("extra keys"));
    }
    for (index, (key, values)) in mapping.extra.iter().enumerate() {
        let of_host = host_keys.iter().any(|(name, _)| key.eq_ignore_ascii_case(name));
        let twice = mapping.extra.iter().take(index).any(|(earlier, _)| earlier.eq_ignore_ascii_case(key));
        let ours = key.get(..HOST_EXTRA_PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(HOST_EXTRA_PREFIX));
        if key.is_empty() || of_host || twice || ours || is_of_kubernetes(key) {
            return Err(GuardError::ReservedExtra);
        }
        check_text("an extra key", key)?;
        if values.len() > MAX_EXTRA {
            return Err(GuardError::TooMany("values of an extra key"));
        }
        values.iter().try_for_each(|value| check_text("an extra value", value))?;
    }
    Ok(())
}

/// Keys of Kubernetes' own domains mean something to its admission rules, e.g. which node a token is for.
fn is_of_kubernetes(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain).to_ascii_lowercase();
    ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| domain.strip_suffix(own).is_some_and(|head| head.is_empty() || head.ends_with('.')))
}

fn check_text(what: &'static str, text: &str) -> Result<(), GuardError> {
    if text.len() > MAX_NAME_BYTES {
        return Err(GuardError::TooLong(what));
    }
    if text.chars().any(steers) {
        return Err(GuardError::Characters(what));
    }
    Ok(())
}

// === impl GuardError ===

impl GuardError {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::EmptyUsername => "guard_empty_username",
            Self::EmptyGroup => "guard_empty_group",
            Self::Characters(_) => "guard_characters",
            Self::TooLong(_) => "guard_too_long",
            Self::TooMany(_) => "guard_too_many",
            Self::ReservedPrefix => "guard_reserved_prefix",
            Self::ReservedExtra => "guard_reserved_extra",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(username: &str) -> Mapping {
        Mapping { username: username.to_owned(), ..Mapping::default() }
    }

    #[track_caller]
    fn check(mapping: &Mapping, expected: Result<(), &str>) {
        let reserved = BTreeMap::from([("MountedFile".to_owned(), vec![String::new(), "aws:".to_owned()])]);
        let found = Guard::new(reserved).check("MountedFile", mapping, &[("canonicalArn", Fact::CanonicalArn)]);
        assert_eq!(found.map_err(GuardError::reason), expected);
    }

    #[test]
    fn usernames() {
        check(&named("alice"), Ok(()));
        check(&named(""), Err("guard_empty_username"));
        check(&named("aws:alice"), Err("guard_reserved_prefix"));
        check(&named("AWS:alice"), Ok(()));
        check(&named("ali\nce"), Err("guard_characters"));
        check(&named("ali\u{202E}ce"), Err("guard_characters"));
        check(&named("ali\u{200B}ce"), Err("guard_characters"));
        check(&named("alice\u{E0061}"), Err("guard_characters"));
        check(&named(&"a".repeat(1024)), Ok(()));
        check(&named(&"a".repeat(1025)), Err("guard_too_long"));
    }

    #[test]
    fn groups() {
        let grouped = |groups: Vec<String>| Mapping { groups, ..named("alice") };
        check(&grouped(vec!["dev".to_owned(), "dev".to_owned()]), Ok(()));
        check(&grouped(vec![String::new()]), Err("guard_empty_group"));
        check(&grouped(vec!["d\u{0}".to_owned()]), Err("guard_characters"));
        check(&grouped(vec!["dev".to_owned(); 257]), Err("guard_too_many"));
    }

    #[test]
    fn extra_keys_of_the_host_are_its_own() {
        let extra = |keys: &[&str]| Mapping {
            extra: keys.iter().map(|key| ((*key).to_owned(), vec!["x".to_owned()])).collect(),
            ..named("alice")
        };
        check(&extra(&["example.com/team"]), Ok(()));
        check(&extra(&["canonicalArn"]), Err("guard_reserved_extra"));
        check(&extra(&["canonicalarn"]), Err("guard_reserved_extra"));
        check(&extra(&["Herald.dev/decision-id"]), Err("guard_reserved_extra"));
        check(&extra(&["a", "A"]), Err("guard_reserved_extra"));
        check(&extra(&["authentication.kubernetes.io/node-name"]), Err("guard_reserved_extra"));
        check(&extra(&["Sigs.K8s.io/x"]), Err("guard_reserved_extra"));
        check(&extra(&["notk8s.io/x"]), Ok(()));
        check(&extra(&[""]), Err("guard_reserved_extra"));
    }
}
