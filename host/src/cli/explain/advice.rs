//! What to do about a denial, by its reason.

use super::NOT_READY;
use crate::{
    caller::Caller,
    config::Config,
    mapping::{live, near},
};

/// What helps where only who the caller is is known.
pub(super) const NOT_KNOWN: &str = "give --config: without it nobody knows whether this caller is let in";

/// What helps a caller whom nothing names, where not everything could be looked through.
pub(super) const UNREAD: &str = "mend what could not be looked through: an entry for this caller may be in it";

/// What helps against `reason`, if it is known.
pub(super) fn for_reason(reason: &str, config: &Config) -> Option<String> {
    let id = config.cluster_id.as_ref().map_or("<cluster id>", |id| id.as_str());
    let advice = match reason {
        "ec2_credentials" => "give Herald AWS credentials, or let it assume the roles of `server.ec2`".to_owned(),
        "ec2_endpoint" => "set `server.ec2.region` or `server.ec2.endpoint`".to_owned(),
        "ec2_overloaded" | "ec2_throttled" | "ec2_timeout" | "ec2_unavailable" | "ec2_unintelligible" => {
            "try again in a moment; the log says what keeps EC2 from answering".to_owned()
        }
        "ec2_refused" => "allow Herald's role ec2:DescribeInstances".to_owned(),
        "expired" => {
            format!("make a new token: one is good for {}", humantime::format_duration(config.sts.max_token_age))
        }
        "foreign" | "token_prefix" => "make a token with `herald token` or `aws eks get-token`".to_owned(),
        "host_partition" => "use credentials of this cluster's partition, or set `server.partition`".to_owned(),
        "host_region" => "add the host and its region to `server.sts.endpoints`".to_owned(),
        "host_unknown" => "use an STS of AWS, or add its host to `server.sts.endpoints`".to_owned(),
        "node_name_invalid" => "give the instance a private DNS name that Kubernetes takes".to_owned(),
        "node_not_an_instance" => {
            "map this role to people with `{{SessionName}}`; only EC2 instances have a node's name".to_owned()
        }
        "node_not_found" => {
            "set `server.ec2.region`, and a role for the instance's account in `server.ec2.roles`".to_owned()
        }
        "node_not_looked_up" => "give --ec2 to have EC2 asked".to_owned(),
        "node_other_account" => "nobody but EC2 should be allowed to assume the nodes' role".to_owned(),
        "node_without_name" => "wait until the instance runs".to_owned(),
        "not_yet_valid" => "set the clock of the machine that made the token, or of the one that checks it".to_owned(),
        "policy_denied" => "the policy's words say why; its settings decide".to_owned(),
        "root_denied" => "log in as a user or a role: `server.denyRoot` keeps accounts' roots out".to_owned(),
        "signed_headers_cluster_id" => format!("make the token for this cluster: `herald token -i {id}`"),
        NOT_READY => "wait until the source has been read; the server's log says what keeps it".to_owned(),
        "sts_refused" => format!(
            "make the token for this cluster, `herald token -i {id}`; if it was, look at the clock and the credentials of the machine that made it"
        ),
        "sts_throttled" | "sts_unavailable" | "overloaded" => "try again in a moment".to_owned(),
        "template" => "the entry's username or a group does not fit this caller: change it, or add an entry".to_owned(),
        "token_base64" | "token_too_long" => "give the whole token, and nothing else".to_owned(),
        guard if guard.starts_with("guard_") => "change the name that the stage gives, or what is reserved".to_owned(),
        _ => return None,
    };
    Some(advice)
}

/// What helps where it is this command that cannot read `source`, in the cluster of its command line if that names one.
pub(super) fn for_unread(source: &str, is_named: bool) -> String {
    match source {
        live::DYNAMIC_FILE => format!("mend what the line about {source} on stderr says of the file"),
        _ if is_named => format!("mend what the line about {source} on stderr says of this cluster"),
        _ => format!(
            "name the cluster that has {source}, with --context or --kubeconfig; a line on stderr says why it cannot be read here"
        ),
    }
}

/// What lets in a caller whom nothing names.
pub(super) fn for_unmapped(caller: &Caller) -> String {
    let form = near::sso_form(caller).unwrap_or_else(|| caller.canonical_arn.clone());
    format!("add an entry for `{form}`, or a policy that knows this caller")
}
