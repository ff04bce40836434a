//! `herald eks get-token`: what kubeconfigs made by `aws eks update-kubeconfig` run, so that in such a file
//! only `command:` changes. Options, defaults and output are those of the AWS CLI.

use std::io::Write;

use anyhow::Context as _;

use super::{
    Globals, given,
    token::{CacheSwitch, Wanted, forgiving_version, parse_role},
};
use crate::{
    kubernetes::exec_credential::ExecCredential,
    provider::{ClusterId, Token, aws::credentials},
};

/// Commands of the AWS CLI that kubeconfigs run.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Print a token for kubectl as `aws eks get-token` does.
    GetToken(GetToken),
}

/// Options of `aws eks get-token`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GetToken {
    /// Name of the cluster. Clusters on Outposts have a --cluster-id instead.
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<ClusterId>,
    /// ARN of a role to assume first.
    #[arg(long, value_name = "ARN")]
    role_arn: Option<String>,
    /// Region whose STS is to vouch for you. Default: as for `herald token`.
    #[arg(long)]
    region: Option<String>,
    /// Profile in ~/.aws/config and ~/.aws/credentials to use instead of all other credentials.
    #[arg(long)]
    profile: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    cache: CacheSwitch,
}

/// What kubectl reads.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Output {
    /// An ExecCredential.
    #[default]
    Json,
}

const EXAMPLES: &str = "\
Examples:
  herald eks get-token --cluster-name my-cluster --region eu-west-1
  herald eks get-token --cluster-name my-cluster --role-arn arn:aws:iam::123456789012:role/Admin";

/// Name of the role sessions of `aws eks get-token`, which mappings with `{{SessionName}}` see.
const SESSION_NAME: &str = "EKSGetTokenAuth";

// === impl GetToken ===

impl GetToken {
    /// Writes the ExecCredential to `out`.
    ///
    /// # Errors
    ///
    /// When no cluster is named, there are no credentials, or no endpoint to sign for.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<()> {
        let cluster_id = self.cluster_name.as_ref().or(globals.cluster_id.as_ref());
        let cluster_id = cluster_id.context("which cluster? Give --cluster-name or --cluster-id")?;
        let mut role = given(self.role_arn.as_deref()).map(|arn| parse_role(&arn)).transpose()?;
        if let Some(role) = &mut role {
            role.session_name = Some(SESSION_NAME.to_owned());
        }
        let request = credentials::Request {
            profile: given(self.profile.as_deref()),
            region: given(self.region.as_deref()),
            role,
            ..credentials::Request::default()
        };
        let Token { token, expires_at } = Wanted { cluster_id, request, cache: self.cache.on }.token()?;
        let answer = ExecCredential::new(forgiving_version(), token.expose(), expires_at).with_empty_spec();
        match self.output {
            Output::Json => {
                let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
                let mut serializer = serde_json::Serializer::with_formatter(&mut *out, formatter);
                serde::Serialize::serialize(&answer, &mut serializer)?;
                writeln!(out)?;
            }
        }
        out.flush().context("the token could not be written")
    }
}
