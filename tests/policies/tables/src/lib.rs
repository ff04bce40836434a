//! A policy that names callers from the table `people`, by the name of their role or user.

use herald_policy::{Decision, Fault, Mapping, Policy, Request, data, log};
use serde::Deserialize;

/// It has no settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromTable {}

impl Policy for FromTable {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        // Tables are for decisions alone.
        match data::get("people", "anybody") {
            Err(data::DataError::NotGranted) => Ok(settings),
            found => Err(format!("a table before there is a login: {found:?}")),
        }
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let Some(username) = data::get("people", &request.caller.name)? else { return Ok(Decision::Abstain) };
        log::info(&["people is ", &data::version("people")?].concat());
        let groups = data::keys("people", "group:", 2)?;
        Ok(Mapping::named(username).with_groups(groups).into())
    }
}

herald_policy::export!(FromTable);
