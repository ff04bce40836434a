//! Names of nodes, from the instance that a kubelet runs on: its private DNS name, if its tags are those of a node.
//!
//! What an entry with `{{EC2PrivateDNSName}}` gives, and the tags besides: an instance of the right role that is not of this
//! cluster is no node of it.

use std::collections::BTreeMap;

use herald_policy::{Decision, Fault, Key, Mapping, Policy, PrincipalKind, Request, Rules, cloud};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug)]
pub struct Ec2Node(Rules<Nodes>);

/// What the operator sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Asked in order; the first whose account and role fit decides.
    nodes: Vec<Nodes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nodes {
    account: String,
    role: String,
    /// All of them, with these values. Default none.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Default: what a kubelet needs.
    #[serde(default = "groups")]
    groups: Vec<String>,
}

fn groups() -> Vec<String> {
    ["system:bootstrappers", "system:nodes"].map(str::to_owned).to_vec()
}

fn key(account: &str, role: &str) -> Key {
    Key::NONE.and(account).and(role)
}

impl Policy for Ec2Node {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self(Rules::new(settings.nodes, |nodes| vec![key(&nodes.account, &nodes.role)])))
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let caller = &request.caller;
        let is_session = caller.kind == PrincipalKind::AssumedRole;
        let fits = |nodes: &Nodes| is_session && nodes.account == caller.account_id && nodes.role == caller.name;
        let keys = [key(&caller.account_id, &caller.name)];
        let Some((_, nodes)) = self.0.first(&keys, fits) else { return Ok(Decision::Abstain) };
        let Some(instance) = cloud::caller_instance()? else {
            return Ok(Decision::deny("the session is not that of an instance of its account"));
        };
        if instance.private_dns_name.is_empty() {
            return Ok(Decision::deny(["the instance ", &instance.id, " has no private DNS name"].concat()));
        }
        let missing = nodes.tags.iter().find(|(key, value)| instance.tag(key) != Some(value));
        if let Some((key, value)) = missing {
            return Ok(Decision::deny(["the instance ", &instance.id, " has no tag ", key, "=", value].concat()));
        }
        let username = ["system:node:", &instance.private_dns_name].concat();
        Ok(Mapping::named(username).with_groups(nodes.groups.iter().cloned()).into())
    }
}

herald_policy::export!(Ec2Node);
