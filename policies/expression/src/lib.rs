//! Names, groups and refusals from expressions in CEL (Common Expression Language), so that most operators write no code.
//!
//! Everything is parsed and checked when the policy loads: an unknown name, a wrong type or a bad pattern keeps it out, with a
//! mark under the place. What is left to fail at a login (a key that is not there, a division by zero) is a fault, which refuses.
//!
//! ```text
//! text ─▶ expression ─▶ check ─▶ decide ─▶ evaluate in a scope of caller, clusterId, now, current, trail
//!         parsed once   types    per rule
//! ```

use herald_policy::{Decision, Fault, Mapping, Policy, Request};
use serde::Deserialize;

mod check;
mod depth;
mod expression;
mod functions;
mod scope;
mod types;

use self::{
    expression::{Compiler, Expression},
    scope::{Root, Scope},
    types::Type,
};

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Asked in order; the first that matches decides.
    rules: Vec<Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    r#match: String,
    username: Option<String>,
    groups: Option<String>,
    deny: Option<String>,
}

/// The policy, configured.
pub struct Expressions {
    rules: Vec<Rule>,
    root: Root,
}

struct Rule {
    matches: Expression,
    outcome: Outcome,
}

enum Outcome {
    Deny(Expression),
    /// What is not written stays as it is.
    Name {
        username: Option<Expression>,
        groups: Option<Expression>,
    },
}

impl Policy for Expressions {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let mut compiler = Compiler::new();
        let rules = settings.rules.into_iter().enumerate();
        let rules =
            rules.map(|(index, written)| Rule::compile(&mut compiler, index, &written)).collect::<Result<_, _>>()?;
        Ok(Self { rules, root: compiler.finish() })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let scope = self.root.scope(request);
        for rule in &self.rules {
            if rule.matches.boolean(&scope)? {
                return rule.decide(&scope, request);
            }
        }
        Ok(Decision::Abstain)
    }
}

herald_policy::export!(Expressions);

// === impl Rule ===

impl Rule {
    fn compile(compiler: &mut Compiler, index: usize, written: &Written) -> Result<Self, String> {
        let mut compile =
            |key: &str, text: &str, wanted: &Type| compiler.compile(&format!("rules[{index}].{key}"), text, wanted);
        let matches = compile("match", &written.r#match, &Type::Bool)?;
        let outcome = match (&written.deny, &written.username, &written.groups) {
            (Some(deny), None, None) => Outcome::Deny(compile("deny", deny, &Type::String)?),
            (None, None, None) => {
                return Err(format!(
                    "rules[{index}]: says what to look for, but not what to do: `username`, `groups` or `deny`"
                ));
            }
            (Some(_), ..) => {
                return Err(format!("rules[{index}]: a rule with `deny` has neither `username` nor `groups`"));
            }
            (None, username, groups) => {
                let username = username.as_ref().map(|text| compile("username", text, &Type::String)).transpose()?;
                let groups =
                    groups.as_ref().map(|text| compile("groups", text, &Type::list(Type::String))).transpose()?;
                Outcome::Name { username, groups }
            }
        };
        Ok(Self { matches, outcome })
    }

    /// What it says of a caller whom it matches.
    fn decide(&self, scope: &Scope<'_>, request: &Request) -> Result<Decision, Fault> {
        let (username, groups) = match &self.outcome {
            Outcome::Deny(reason) => return Ok(Decision::Deny(reason.text(scope)?)),
            Outcome::Name { username, groups } => (username, groups),
        };
        let mut user = match (&request.current, username) {
            (Some(current), _) => current.clone(),
            (None, Some(_)) => Mapping::default(),
            (None, None) => {
                return Err(self.matches.fault("a rule without `username` matches a caller whom nobody has named"));
            }
        };
        if let Some(username) = username {
            user.username = username.text(scope)?;
        }
        if let Some(groups) = groups {
            user.groups = groups.texts(scope)?;
        }
        Ok(user.into())
    }
}

#[cfg(test)]
mod tests;
