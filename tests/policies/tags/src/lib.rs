//! A policy that names callers by the tags `username` and `groups` of their role or user, and refuses whoever is neither.

use herald_policy::{Decision, Fault, Mapping, Policy, Request, cloud};
use serde::Deserialize;

/// It has no settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByTags {}

impl Policy for ByTags {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        // Facts are for decisions alone.
        match cloud::caller_tags() {
            Err(cloud::LookUpError::NotGranted) => Ok(settings),
            found => Err(format!("a caller before there is a login: {found:?}")),
        }
    }

    fn decide(&self, _: &Request) -> Result<Decision, Fault> {
        let Some(tags) = cloud::caller_tags()? else { return Ok(Decision::deny("no role or user")) };
        let Some(username) = tags.get("username") else { return Ok(Decision::Abstain) };
        let groups = tags.get("groups").map(|groups| groups.split(' ')).into_iter().flatten();
        Ok(Mapping::named(username).with_groups(groups).into())
    }
}

herald_policy::export!(ByTags);
