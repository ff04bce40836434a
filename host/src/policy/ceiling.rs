//! Ceiling: the most that the operator lets one policy hand out.
//!
//! A pattern is a whole name with `*` for any run of characters. Names that start with `system:`
//! belong to Kubernetes: only a pattern without `*` covers them, so nothing gives them by accident. `{{EC2PrivateDNSName}}` in a
//! pattern is the name of the caller's own instance, which the host has looked up for a policy with that grant. Of a caller without
//! one such a pattern covers nothing.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::Mapping;

/// Prefix of names that Kubernetes keeps for itself (Kubernetes documentation, "Using RBAC Authorization").
const SYSTEM: &str = "system:";
/// Stands for the caller's own private DNS name.
pub(super) const NODE: &str = "{{EC2PrivateDNSName}}";

/// What a policy may grant. A list left out allows every name but those under `system:`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// Patterns for usernames.
    #[serde(deserialize_with = "patterns")]
    pub usernames: Option<Vec<String>>,
    /// Patterns for groups.
    #[serde(deserialize_with = "patterns")]
    pub groups: Option<Vec<String>>,
    /// Patterns for uids. Left out, a policy may choose none: the provider's own names the principal.
    #[serde(deserialize_with = "patterns")]
    pub uids: Option<Vec<String>>,
}

// === impl Ceiling ===

impl Ceiling {
    /// Checks what a policy granted beyond `before`, which is not its doing. `node` is the private DNS name of the caller's
    /// instance, if the policy was granted to know it.
    ///
    /// # Errors
    ///
    /// The first name above the ceiling, in words for the audit log.
    pub fn check(&self, granted: &Mapping, before: Option<&Mapping>, node: Option<&str>) -> Result<(), String> {
        let covers = |patterns: Option<&[String]>, name: &str| covers(patterns, name, node);
        let same_name = before.is_some_and(|before| before.username == granted.username);
        if !same_name && !covers(self.usernames.as_deref(), &granted.username) {
            return Err(format!("username {:?} is above the ceiling", granted.username));
        }
        let same_uid = before.is_some_and(|before| before.uid == granted.uid);
        let uids = self.uids.as_deref().unwrap_or_default();
        if let Some(uid) = granted.uid.as_ref().filter(|uid| !same_uid && !covers(Some(uids), uid)) {
            return Err(format!("uid {uid:?} is above the ceiling"));
        }
        let had = |group: &String| before.is_some_and(|before| before.groups.contains(group));
        let above = granted.groups.iter().find(|group| !had(group) && !covers(self.groups.as_deref(), group));
        above.map_or(Ok(()), |group| Err(format!("group {group:?} is above the ceiling")))
    }
}

/// Patterns, each of which covers something.
fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let patterns = Option::<Vec<String>>::deserialize(deserializer)?;
    match patterns.iter().flatten().find(|pattern| pattern.contains('*') && is_system(pattern)) {
        Some(pattern) => Err(D::Error::custom(format_args!(
            "`{pattern}` covers nothing: names under {SYSTEM} have to be written out, without `*`"
        ))),
        None => Ok(patterns),
    }
}

/// Whether it is Kubernetes' own.
fn is_system(name: &str) -> bool {
    name.get(..SYSTEM.len()).is_some_and(|head| head.eq_ignore_ascii_case(SYSTEM))
}

fn covers(patterns: Option<&[String]>, name: &str, node: Option<&str>) -> bool {
    let system = is_system(name);
    let Some(patterns) = patterns else { return !system };
    let mut candidates = patterns.iter().filter(|pattern| !(system && pattern.contains('*')));
    candidates.any(|pattern| with_node(pattern, node).is_some_and(|pattern| name_matches(&pattern, name)))
}

/// What `pattern` is for this caller; `None`: it covers nothing. A name with `*` in it is nobody's, and would be a pattern itself.
fn with_node<'a>(pattern: &'a str, node: Option<&str>) -> Option<Cow<'a, str>> {
    if !pattern.contains(NODE) {
        return Some(pattern.into());
    }
    node.filter(|node| !node.contains('*')).map(|node| pattern.replace(NODE, node).into())
}

/// Whether `name` is `pattern` with each `*` standing for any run of characters.
pub(crate) fn name_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: Option<&[&str]>, name: &str, expected: bool) {
        let patterns: Option<Vec<String>> = patterns.map(|list| list.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(
            covers(patterns.as_deref(), name, Some("ip-10-0-0-1.ec2.internal")),
            expected,
            "{patterns:?} {name:?}"
        );
    }

    #[test]
    fn patterns_cover_whole_names() {
        check(None, "team-a", true);
        check(Some(&[]), "team-a", false);
        check(Some(&["team-*"]), "team-a", true);
        check(Some(&["team-*"]), "my-team-a", false);
        check(Some(&["team"]), "team-a", false);
        check(Some(&["*-admin-*"]), "a-admin-b", true);
        check(Some(&["a*a"]), "a", false);
        check(Some(&["a*b*c"]), "a-b-c", true);
        check(Some(&["a*b*c"]), "a-c-b", false);
        check(Some(&["*"]), "anything", true);
    }

    #[test]
    fn no_wildcard_covers_system_names() {
        check(None, "system:masters", false);
        check(Some(&["*"]), "system:masters", false);
        check(Some(&["system:*"]), "system:masters", false);
        check(Some(&["*"]), "SYSTEM:masters", false);
        check(Some(&["system:masters"]), "system:masters", true);
        check(Some(&["system:masters"]), "system:nodes", false);
        check(Some(&["*"]), "systemic", true);
    }

    #[test]
    fn the_name_of_the_callers_own_instance() {
        let pattern: &[&str] = &["system:node:{{EC2PrivateDNSName}}"];
        check(Some(pattern), "system:node:ip-10-0-0-1.ec2.internal", true);
        check(Some(pattern), "system:node:ip-10-0-0-2.ec2.internal", false);
        check(Some(pattern), "system:node:{{EC2PrivateDNSName}}", false);
        check(Some(&["system:node:*"]), "system:node:ip-10-0-0-1.ec2.internal", false);
        check(Some(&["node-{{EC2PrivateDNSName}}"]), "node-ip-10-0-0-1.ec2.internal", true);
        let granted = Mapping { username: "system:node:a".into(), ..Mapping::default() };
        let ceiling = Ceiling { usernames: Some(vec![pattern[0].to_owned()]), ..Ceiling::default() };
        assert_eq!(ceiling.check(&granted, None, Some("a")), Ok(()));
        assert!(ceiling.check(&granted, None, None).is_err(), "nobody has looked");
    }

    /// Whatever it is called, and where it has no name: the pattern is that one name and no other.
    #[test]
    fn the_placeholder_is_one_name_or_none() {
        #[track_caller]
        fn check(pattern: &str, name: &str, node: Option<&str>, expected: bool) {
            assert_eq!(covers(Some(&[pattern.to_owned()]), name, node), expected, "{pattern} {name} {node:?}");
        }
        for before in ["system:node:", "node-"] {
            let pattern = format!("{before}{NODE}");
            let named = |name: &str| format!("{before}{name}");
            check(&pattern, &named(NODE), None, false);
            check(&pattern, &named(NODE), Some("a"), false);
            check(&pattern, &named("a"), Some("a"), true);
            check(&pattern, &named("a"), Some("*"), false);
            check(&pattern, &named("*"), Some("*"), false);
            check(&pattern, &named("ab"), Some("a*"), false);
            let odd = format!("a{NODE}");
            check(&pattern, &named(&odd), Some(&odd), true);
            check(&pattern, &named(&format!("a{odd}")), Some(&odd), false);
            check(&pattern, &named("aa"), Some(&odd), false);
        }
        check("*-{{EC2PrivateDNSName}}", "node-{{EC2PrivateDNSName}}", None, false);
        check("*-{{EC2PrivateDNSName}}", "node-a", Some("a"), true);
        check("team-*", "team-{{EC2PrivateDNSName}}", None, true);
    }

    #[test]
    fn a_uid_is_given_only_where_the_ceiling_says_so() {
        let granted = Mapping { uid: Some("1000".into()), username: "a".into(), ..Mapping::default() };
        assert!(Ceiling::default().check(&granted, None, None).is_err());
        let ceiling = Ceiling { uids: Some(vec!["10*".into()]), ..Ceiling::default() };
        assert_eq!(ceiling.check(&granted, None, None), Ok(()));
        assert_eq!(Ceiling::default().check(&granted, Some(&granted), None), Ok(()));
    }

    #[test]
    fn what_was_there_before_is_not_the_policys_doing() {
        let before =
            Mapping { username: "system:node:a".into(), groups: vec!["system:nodes".into()], ..Mapping::default() };
        let mut after = before.clone();
        assert_eq!(Ceiling::default().check(&after, Some(&before), None), Ok(()));
        after.groups.push("system:masters".into());
        assert!(Ceiling::default().check(&after, Some(&before), None).is_err());
        assert!(Ceiling::default().check(&before, None, None).is_err());
    }
}
