//! Username and groups of a role session, from its account, role, permission set and session name.
//!
//! Settings are an ordered list of rules; the first one whose `match` fits decides. What the rules
//! mean, and what a caller-chosen session name may do, is in `README.md`.

use herald_policy::{Caller, Decision, Fault, Glob, Mapping, Policy, Request, Template, Unfit, log};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug)]
pub struct SessionGroups(Settings);

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Deny callers without a session name instead of leaving them to the next stage. Default false.
    #[serde(default)]
    require_session: bool,
    /// At least one; the first that fits decides.
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "match")]
    conditions: Conditions,
    username: Template,
    #[serde(default)]
    groups: Vec<Template>,
}

/// All that are given must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Conditions {
    /// Never optional: without it a rule would let in the roles of strangers.
    accounts: Vec<String>,
    permission_set: Option<Glob>,
    role: Option<Glob>,
    session_name: Option<Glob>,
}

const PROVIDERS: [&str; 2] = ["aws", "alibaba"];

// === impl SessionGroups ===

impl Policy for SessionGroups {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.rules.is_empty() {
            return Err("rules: at least one is needed".to_owned());
        }
        for (index, rule) in settings.rules.iter().enumerate() {
            rule.conditions.check().map_err(|why| ["rules[", &index.to_string(), "].match.", why].concat())?;
        }
        Ok(Self(settings))
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let Self(settings) = self;
        let caller = &request.caller;
        let Some(session_name) = &caller.session_name else {
            let answer =
                if settings.require_session { Decision::deny("not a role session") } else { Decision::Abstain };
            return Ok(answer);
        };
        if !PROVIDERS.contains(&caller.provider.as_str()) {
            return Ok(Decision::Abstain);
        }
        let fits = |rule: &Rule| rule.conditions.fit(caller, session_name);
        let Some(index) = settings.rules.iter().position(fits) else { return Ok(Decision::Abstain) };
        log::info(&["rules[", &index.to_string(), "] fits"].concat());
        let named = settings.rules[index].name(caller);
        Ok(named.map_or_else(|why| Decision::deny(why.to_string()), Decision::Allow))
    }
}

herald_policy::export!(SessionGroups);

// === impl Rule ===

impl Rule {
    fn name(&self, caller: &Caller) -> Result<Mapping, Unfit> {
        let groups = self.groups.iter().map(|group| group.render(caller)).collect::<Result<Vec<_>, _>>()?;
        Ok(Mapping::named(self.username.render(caller)?).with_groups(groups))
    }
}

// === impl Conditions ===

impl Conditions {
    fn check(&self) -> Result<(), &'static str> {
        if self.accounts.is_empty() {
            return Err("accounts: at least one is needed, or roles of any account in the world would fit");
        }
        let good = |account: &String| matches!(account.len(), 12 | 16) && account.bytes().all(|b| b.is_ascii_digit());
        if !self.accounts.iter().all(good) {
            return Err("accounts: an account is 12 digits (AWS) or 16 digits (Alibaba Cloud)");
        }
        if self.role.as_ref().is_some_and(|role| role.as_str().contains([':', '/'])) {
            return Err("role: a role's name, without ARN and path");
        }
        Ok(())
    }

    fn fit(&self, caller: &Caller, session_name: &str) -> bool {
        let fits = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|glob| glob.matches(text));
        let permission_set = match &self.permission_set {
            Some(glob) => caller.sso_permission_set.as_deref().is_some_and(|name| glob.matches(name)),
            None => true,
        };
        self.accounts.contains(&caller.account_id)
            && permission_set
            && fits(&self.role, &caller.name)
            && fits(&self.session_name, session_name)
    }
}

#[cfg(test)]
mod tests;
