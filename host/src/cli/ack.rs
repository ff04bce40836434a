//! `herald credential-plugin`: what kubeconfigs made by `ack-ram-tool` run, so that in such a file only `command:`
//! changes, and what makes such kubeconfigs. Options, defaults and output are those of that tool.

use std::{env, ffi::OsString, io::Write, path::PathBuf};

use anyhow::{Context as _, bail};

use super::{
    Globals,
    called::Name,
    given,
    token::{CacheSwitch, WantedOfAlibaba, forgiving_version, parse_role, role_of_alibaba},
};
use crate::{
    kubernetes::exec_credential::{ApiVersion, ExecCredential},
    provider::{ClusterId, Token},
};

pub mod kubeconfig;

/// Commands of ack-ram-tool that kubeconfigs run.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Certificates are ack-ram-tool's own to fetch.
    #[command(hide = true, disable_help_flag = true)]
    GetCredential(GetCredential),
    /// Print a token for kubectl as `ack-ram-tool credential-plugin get-token` does.
    GetToken(GetToken),
    /// Print a kubeconfig for a cluster as `ack-ram-tool credential-plugin get-kubeconfig` does, with this program to
    /// log in.
    GetKubeconfig(kubeconfig::GetKubeconfig),
}

/// What a kubeconfig that logs in by certificates runs.
#[derive(clap::Args, Debug)]
pub struct GetCredential {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// Options of `ack-ram-tool credential-plugin get-token`.
#[derive(clap::Args, Debug)]
pub struct GetToken {
    /// Version of the ExecCredential [default: the one kubectl asks for].
    #[arg(long, value_enum)]
    api_version: Option<Version>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    cache: CacheSwitch,
}

/// Options of every command of `ack-ram-tool`: where credentials come from.
#[derive(clap::Args, Debug)]
pub(super) struct Common {
    /// ARN of a role to assume first.
    #[arg(long, value_name = "ARN", env = "ACK_RAM_TOOL_ROLE_ARN")]
    role_arn: Option<String>,
    /// Region whose STS is asked for the role's session.
    #[arg(long, value_name = "REGION", env = "ACK_RAM_TOOL_REGION_ID")]
    region_id: Option<String>,
    /// STS that is asked for the role's session.
    #[arg(long, value_name = "HOST")]
    sts_endpoint: Option<String>,
    /// File with profiles: JSON, or sections of keys and values.
    #[arg(long, value_name = "FILE", env = "ACK_RAM_TOOL_PROFILE_FILE")]
    profile_file: Option<PathBuf>,
    /// Profile to use.
    #[arg(long, value_name = "NAME", env = "ACK_RAM_TOOL_PROFILE_NAME")]
    profile_name: Option<String>,
    /// Leave credentials in the environment aside.
    #[arg(long, env = "ACK_RAM_TOOL_IGNORE_ENV_CREDENTIALS", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    ignore_env_credentials: bool,
    /// Leave ~/.aliyun/config.json aside.
    #[arg(long, env = "ACK_RAM_TOOL_IGNORE_ALIYUN_CLI_CREDENTIALS", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    ignore_aliyun_cli_credentials: bool,
    /// Where credentials come from.
    #[arg(long, value_enum, default_value_t, env = "ACK_RAM_TOOL_CREDENTIAL_TYPE")]
    credential_type: CredentialType,
    /// Of no use here: existing kubeconfigs have it.
    #[arg(long, hide = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Endpoint of Container Service for Kubernetes.
    #[arg(long, value_name = "HOST", env = "ACK_RAM_TOOL_CS_ENDPOINT")]
    cs_endpoint: Option<String>,
    /// Of no use here: existing kubeconfigs have it.
    #[arg(long, hide = true, value_name = "HOST")]
    ram_endpoint: Option<String>,
    /// Of no use here: nothing is asked.
    #[arg(short = 'y', long, hide = true)]
    assume_yes: bool,
    /// Of no use here: existing command lines have it.
    #[arg(long, hide = true)]
    verbose: bool,
}

/// Versions of the ExecCredential.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    /// client.authentication.k8s.io/v1
    V1,
    /// client.authentication.k8s.io/v1beta1
    V1beta1,
}

/// Where credentials come from.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, Eq, PartialEq)]
enum CredentialType {
    /// The environment, then files.
    #[default]
    Auto,
    /// The instance's metadata alone.
    #[value(alias = "ecs-role")]
    Imds,
}

/// The variable of [`Common::profile_name`] in the spelling of ack-ram-tool's first versions.
const OLD_PROFILE_NAME: &str = "ACK_RAM_TOOL_PROFIL_ENAME";

// === impl GetCredential ===

impl GetCredential {
    /// Never anything else than an error that says what to do.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn run(&self) -> anyhow::Result<()> {
        bail!(
            "certificates are fetched by ack-ram-tool itself. To log in by tokens, replace get-credential by get-token \
             in the kubeconfig, without --expiration and --credential-cache-dir"
        )
    }
}

// === impl GetToken ===

impl GetToken {
    /// Writes the ExecCredential to `out`.
    ///
    /// # Errors
    ///
    /// When no cluster is named or there are no credentials.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<()> {
        let mut wanted = self.common.wanted(globals)?;
        wanted.cache = self.cache.on;
        let Token { token, expires_at } = wanted.token()?;
        let answer = ExecCredential::new(self.version(), token.expose(), expires_at);
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, formatter);
        serde::Serialize::serialize(&answer, &mut serializer)?;
        writeln!(out)?;
        out.flush().context("the token could not be written")
    }

    fn version(&self) -> ApiVersion {
        match self.api_version {
            Some(Version::V1) => ApiVersion::V1,
            Some(Version::V1beta1) => ApiVersion::V1beta1,
            None => forgiving_version(),
        }
    }
}

// === impl Common ===

impl Common {
    /// The way to the credentials that these options name.
    fn wanted<'a>(&self, globals: &'a Globals) -> anyhow::Result<WantedOfAlibaba<'a>> {
        let mut wanted =
            WantedOfAlibaba::new(cluster_id(globals)?, self.sts_endpoint.as_deref(), self.region_id.as_deref())?;
        let session_name = wanted.environment.session_name();
        let request = &mut wanted.request;
        request.session_name = Some(session_name.unwrap_or_else(|| Name::AckRamTool.as_str().to_owned()));
        request.profile = self.profile();
        request.profile_file.clone_from(&self.profile_file);
        request.ignore_environment = self.ignore_env_credentials;
        request.ignore_aliyun_cli = self.ignore_aliyun_cli_credentials;
        request.metadata_only = self.credential_type == CredentialType::Imds;
        let role = given(self.role_arn.as_deref());
        request.role = role.map(|arn| role_of_alibaba(&parse_role(&arn)?.arn)).transpose()?;
        Ok(wanted)
    }

    fn profile(&self) -> Option<String> {
        given(self.profile_name.as_deref()).or_else(|| given(env::var(OLD_PROFILE_NAME).ok().as_deref()))
    }

    /// The same options for a kubeconfig.
    fn arguments(&self) -> Vec<String> {
        let credential_type = (self.credential_type == CredentialType::Imds).then(|| "imds".to_owned());
        let file = self.profile_file.as_ref().map(|file| file.display().to_string());
        let named = [
            ("--profile-file", file),
            ("--profile-name", self.profile()),
            ("--role-arn", given(self.role_arn.as_deref())),
            ("--region-id", given(self.region_id.as_deref())),
            ("--sts-endpoint", given(self.sts_endpoint.as_deref())),
            ("--credential-type", credential_type),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let switches = [
            (self.ignore_aliyun_cli_credentials, "--ignore-aliyun-cli-credentials"),
            (self.ignore_env_credentials, "--ignore-env-credentials"),
        ];
        let switches = switches.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned());
        named.flatten().chain(switches).collect()
    }
}

fn cluster_id(globals: &Globals) -> anyhow::Result<&ClusterId> {
    globals.cluster_id.as_ref().context("which cluster? Give --cluster-id")
}
