//! The policy in the repository's README: sessions of one role are contractors, and nobody else is.

use herald_policy::{Decision, Fault, Mapping, Policy, Request};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Contractors {
    account: String,
    role: String,
}

impl Policy for Contractors {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let caller = &request.caller;
        if caller.account_id != self.account || caller.name != self.role {
            return Ok(Decision::Abstain); // the next stage is asked
        }
        let Some(session) = &caller.session_name else { return Ok(Decision::deny("not a session of the role")) };
        Ok(Mapping::named(format!("contractor:{session}")).with_group("contractors").into())
    }
}

herald_policy::export!(Contractors);

#[cfg(test)]
mod tests {
    use herald_policy::testing;

    use super::*;

    #[test]
    fn sessions_of_the_role_are_contractors() {
        let policy: Contractors =
            testing::configure(r#"{"account": "111122223333", "role": "Contractors"}"#).expect("good");
        let decide = |account: &str, role: &str| policy.decide(&testing::session(account, role, "ann"));
        let ann = Mapping::named("contractor:ann").with_group("contractors");
        assert_eq!(decide("111122223333", "Contractors"), Ok(ann.into()));
        assert_eq!(decide("111122223333", "Admin"), Ok(Decision::Abstain));
        assert_eq!(decide("444455556666", "Contractors"), Ok(Decision::Abstain));
    }

    #[test]
    fn the_readme_shows_this_policy() {
        let readme = include_str!("../../../README.md");
        let whole = include_str!("contractors.rs");
        let (_, from) = whole.split_once("\n\nuse ").expect("it uses the SDK");
        let (policy, _) = from.split_once("\n\n#[cfg(test)]").expect("it has tests");
        assert!(readme.contains(&format!("use {policy}")), "README.md is to show:\nuse {policy}");
    }
}
