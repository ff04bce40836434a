//! Usernames and groups from anchored patterns with captures, field by field.
//!
//! A pattern never crosses a field: what stands for a role's name cannot reach into the account before it or the
//! session name behind it. What may be captured cannot become more than a part of a name. See `README.md`.

use herald_policy::{Caller, Decision, Fault, Mapping, Policy, PrincipalKind, Request, log};
use serde::Deserialize;

use pattern::{Captured, Name, Pattern};

mod pattern;

/// The policy, configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArnGlobs {
    /// At least one; the first whose `match` fits decides.
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "match")]
    fields: Fields,
    username: Name,
    #[serde(default)]
    groups: Vec<Name>,
}

/// All that are given must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    /// Never a pattern, and never optional: without it strangers would fit.
    accounts: Vec<String>,
    role: Option<Pattern>,
    user: Option<Pattern>,
    session_name: Option<Pattern>,
}

const PROVIDERS: [&str; 2] = ["aws", "alibaba"];
/// What every rule may use, besides its own captures.
const GIVEN: &str = "account";

impl Policy for ArnGlobs {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        for (index, rule) in settings.rules.iter().enumerate() {
            rule.check().map_err(|why| ["rules[", &index.to_string(), "]: ", &why].concat())?;
        }
        Ok(settings)
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let caller = &request.caller;
        if !PROVIDERS.contains(&caller.provider.as_str()) {
            return Ok(Decision::Abstain);
        }
        let mut fitting =
            self.rules.iter().enumerate().filter_map(|(index, rule)| Some((index, rule, rule.fields.fit(caller)?)));
        let Some((index, rule, values)) = fitting.next() else {
            return Ok(Decision::Abstain);
        };
        log::info(&["rules[", &index.to_string(), "] fits"].concat());
        let named = || {
            let groups = rule.groups.iter().map(|group| group.render(&values)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, String>(Mapping::named(rule.username.render(&values)?).with_groups(groups))
        };
        Ok(named().map_or_else(Decision::deny, Decision::Allow))
    }
}

herald_policy::export!(ArnGlobs);

// === impl Rule ===

impl Rule {
    fn check(&self) -> Result<(), String> {
        let fields = &self.fields;
        if fields.accounts.is_empty() {
            return Err("match.accounts: at least one is needed, or strangers would fit".to_owned());
        }
        let principal = match (&fields.role, &fields.user) {
            (Some(role), None) => role,
            (None, Some(user)) if fields.session_name.is_none() => user,
            (None, Some(_)) => return Err("match: a user has no session name".to_owned()),
            _ => return Err("match: either `role` or `user` is needed".to_owned()),
        };
        let mut known = vec![GIVEN];
        for name in principal.captures().chain(fields.session_name.iter().flat_map(Pattern::captures)) {
            if known.contains(&name) {
                return Err(["match: {", name, "} has a value already: call it something else"].concat());
            }
            known.push(name);
        }
        for name in std::iter::once(&self.username).chain(&self.groups) {
            name.check(&known)?;
        }
        self.username.check_apart(GIVEN)
    }
}

// === impl Fields ===

impl Fields {
    /// What the patterns captured, if all of them fit.
    fn fit(&self, caller: &Caller) -> Option<Captured<'_>> {
        if !self.accounts.contains(&caller.account_id) {
            return None;
        }
        let kind = if self.role.is_some() { PrincipalKind::AssumedRole } else { PrincipalKind::User };
        if caller.kind != kind {
            return None;
        }
        let mut values = self.role.as_ref().or(self.user.as_ref())?.matches(&caller.name)?;
        if let Some(pattern) = &self.session_name {
            values.extend(pattern.matches(caller.session_name.as_deref()?)?);
        }
        values.push((GIVEN, caller.account_id.clone()));
        Some(values)
    }
}
