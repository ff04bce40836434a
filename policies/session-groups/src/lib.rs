//! Username and groups of a role session, from its account, role, permission set and session name.
//!
//! Settings are an ordered list of rules; the first one whose `match` fits decides. What the rules
//! mean, and what a caller-chosen session name may do, is in `README.md`.

use herald_policy::{Caller, Decision, Fault, Glob, Key, Mapping, Policy, Request, Rules, Template, Unfit, log};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug)]
pub struct SessionGroups {
    require_session: bool,
    rules: Rules<Rule>,
}

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
/// Whose name it is that stands in a key.
const ROLE: &str = "r";
const PERMISSION_SET: &str = "p";
const SESSION_NAME: &str = "s";

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
        Ok(Self { require_session: settings.require_session, rules: Rules::new(settings.rules, Rule::keys) })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let caller = &request.caller;
        let Some(session_name) = &caller.session_name else {
            let answer = if self.require_session { Decision::deny("not a role session") } else { Decision::Abstain };
            return Ok(answer);
        };
        if !PROVIDERS.contains(&caller.provider.as_str()) {
            return Ok(Decision::Abstain);
        }
        let fits = |rule: &Rule| rule.conditions.fit(caller, session_name);
        let Some((index, rule)) = self.rules.first(&keys(caller, session_name), fits) else {
            return Ok(Decision::Abstain);
        };
        log::info(&["rules[", &index.to_string(), "] fits"].concat());
        Ok(rule.name(caller).map_or_else(|why| Decision::deny(why.to_string()), Decision::Allow))
    }
}

herald_policy::export!(SessionGroups);

/// The keys of all rules that may fit this caller; see [`Rule::keys`].
fn keys(caller: &Caller, session_name: &str) -> [Key; 4] {
    let account = Key::NONE.and(&caller.account_id);
    // No rule has a name without a character.
    let permission_set = caller.sso_permission_set.as_deref().unwrap_or_default();
    let named = |field: &str, name: &str| account.and(field).and(name);
    [named(ROLE, &caller.name), named(PERMISSION_SET, permission_set), named(SESSION_NAME, session_name), account]
}

// === impl Rule ===

impl Rule {
    /// For each of its accounts, the account and the first name that is no pattern; or the account alone.
    fn keys(&self) -> Vec<Key> {
        let Conditions { accounts, permission_set, role, session_name } = &self.conditions;
        let named = [(ROLE, role), (PERMISSION_SET, permission_set), (SESSION_NAME, session_name)];
        let named = named.into_iter().find_map(|(field, glob)| Some((field, glob.as_ref()?.literal()?)));
        let key = |account: &String| {
            let account = Key::NONE.and(account);
            named.map_or(account, |(field, name)| account.and(field).and(name))
        };
        accounts.iter().map(key).collect()
    }

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
