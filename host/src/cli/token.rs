//! `herald token`: the kubectl exec plugin.
//!
//! Finds the credentials of one cloud, signs a request with them for one cluster and writes the token to stdout,
//! where nothing else ever goes. What makes a token is here for `herald eks get-token` too; the commands
//! differ in their options and in what they print.

use std::{env, io::Write};

use anyhow::{Context as _, ensure};
use clap::builder::BoolishValueParser;

use self::cache::Cache;
use super::called::Name;
use crate::{
    caller::{Arn, PrincipalKind},
    config::{ClientSection, Config},
    kubernetes::exec_credential::{ApiVersion, EXEC_INFO, ExecCredential},
    provider::{
        Cloud, ClusterId, Token,
        aws::{
            credentials::{self, Role, Session},
            hosts::Target,
            presign,
        },
    },
};

mod alibaba;
pub mod cache;
mod terminal;

pub(super) use alibaba::{Wanted as WantedOfAlibaba, role as role_of_alibaba};

const EXAMPLES: &str = "\
Examples:
  herald token -i my-cluster
  herald token -i my-cluster --role arn:aws:iam::123456789012:role/Admin --cache
  herald token -i my-cluster --provider alibaba --profile prod
  herald token -i my-cluster --token-only | herald verify -i my-cluster -t -";

/// Print a token for kubectl.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Cloud whose credentials sign: aws or alibaba. Default: the only one that the file's server accepts, else aws.
    #[arg(long, env = "HERALD_PROVIDER", hide_env_values = true)]
    provider: Option<Cloud>,
    /// STS that is asked for a role of Alibaba Cloud. Default: that of the region, else the global one.
    #[arg(long, value_name = "HOST")]
    sts_endpoint: Option<String>,
    /// Region whose STS is to vouch for you. Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, the
    /// EC2 instance's if the credentials are its own, us-east-1.
    #[arg(long)]
    region: Option<String>,
    /// Profile to use instead of all other credentials: in ~/.aws/config and ~/.aws/credentials, or in
    /// ~/.aliyun/config.json.
    #[arg(long)]
    profile: Option<String>,
    /// ARN of a role to assume first.
    #[arg(short, long, env = "DEFAULT_ROLE", hide_env_values = true)]
    role: Option<String>,
    /// External id that the role's trust policy asks for.
    #[arg(short, long)]
    external_id: Option<String>,
    /// Name of the role session, as CloudTrail and the cluster will see it.
    #[arg(short, long)]
    session_name: Option<String>,
    /// Give the role session the name of the session that you are in. Not with --session-name.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    forward_session_name: Option<bool>,
    /// Print the bare token instead of an ExecCredential.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    token_only: Option<bool>,
    #[command(flatten)]
    cache: CacheSwitch,
}

/// Whether files keep anything from one run to the next.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct CacheSwitch {
    /// Keep the token, and temporary credentials, in ~/.kube/cache/herald until they end. Without this option,
    /// only role sessions that took the code of an MFA device are kept; with --cache=false, nothing is.
    #[arg(long = "cache", env = "HERALD_CACHE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub on: Option<bool>,
}

/// For whom and for which cluster a token is wanted.
pub(super) struct Wanted<'a> {
    pub(super) cluster_id: &'a ClusterId,
    pub(super) request: credentials::Request,
    pub(super) cache: Option<bool>,
}

// === impl Command ===

impl Command {
    /// Writes the token to `out`. What the command line leaves out comes from `config`.
    ///
    /// # Errors
    ///
    /// When there is no cluster id, no credentials, no endpoint to sign for, or `KUBERNETES_EXEC_INFO` asks
    /// for something else.
    pub fn run(&self, config: &Config, name: Name, out: &mut impl Write) -> anyhow::Result<()> {
        let version = if name.is_old() { forgiving_version() } else { ApiVersion::requested(exec_info()?.as_deref())? };
        let made = match self.cloud(config, name) {
            Cloud::Alibaba => self.wanted_of_alibaba(config).and_then(WantedOfAlibaba::token),
            Cloud::Aws => self.wanted(config).and_then(Wanted::token),
        };
        let Token { token, expires_at } = if name.is_old() { made.context("could not get token")? } else { made? };
        if self.token_only.unwrap_or(config.client.token_only) {
            writeln!(out, "{}", token.expose())?;
        } else {
            serde_json::to_writer(&mut *out, &ExecCredential::new(version, token.expose(), expires_at))?;
            writeln!(out)?;
        }
        out.flush().context("the token could not be written")
    }

    /// Whether a name for the role session is given, and another one asked for.
    pub(super) fn names_session_twice(&self) -> bool {
        self.forward_session_name == Some(true) && super::given(self.session_name.as_deref()).is_some()
    }

    /// The cloud that is asked for, or the one that there is.
    fn cloud(&self, config: &Config, name: Name) -> Cloud {
        let only = match config.clouds() {
            [cloud] => Some(*cloud),
            _ => None,
        };
        self.provider.or(config.client.provider).or_else(|| name.cloud()).or(only).unwrap_or(Cloud::Aws)
    }

    fn wanted<'a>(&self, config: &'a Config) -> anyhow::Result<Wanted<'a>> {
        Ok(Wanted {
            cluster_id: super::cluster_id(config)?,
            request: credentials::Request {
                profile: super::given(self.profile.as_deref()),
                region: self.region(config),
                role: self.role(&config.client)?,
                ..credentials::Request::default()
            },
            cache: self.cache(config),
        })
    }

    fn wanted_of_alibaba<'a>(&self, config: &'a Config) -> anyhow::Result<WantedOfAlibaba<'a>> {
        let cluster_id = super::cluster_id(config)?;
        let region = self.region(config);
        let mut wanted = WantedOfAlibaba::new(cluster_id, self.sts_endpoint.as_deref(), region.as_deref())?;
        wanted.request.profile = super::given(self.profile.as_deref());
        wanted.request.profile_only = wanted.request.profile.is_some();
        wanted.request.role = self.role_of_alibaba(&config.client)?;
        wanted.cache = self.cache(config);
        Ok(wanted)
    }

    fn region(&self, config: &Config) -> Option<String> {
        either(self.region.as_deref(), config.client.region.as_deref())
    }

    fn cache(&self, config: &Config) -> Option<bool> {
        self.cache.on.or_else(|| config.client.cache.then_some(true))
    }

    fn role_of_alibaba(&self, file: &ClientSection) -> anyhow::Result<Option<alibaba::Role>> {
        let Some(role) = self.role(file)? else { return Ok(None) };
        ensure!(!role.forward_session_name, "--forward-session-name is for AWS: give a --session-name");
        Ok(Some(alibaba::Role {
            external_id: role.external_id,
            session_name: role.session_name,
            ..alibaba::role(&role.arn)?
        }))
    }

    fn role(&self, file: &ClientSection) -> anyhow::Result<Option<Role>> {
        let Some(text) = either(self.role.as_deref(), file.role.as_deref()) else {
            let names = [&self.external_id, &self.session_name];
            let is_any_given = names.into_iter().any(|name| super::given(name.as_deref()).is_some());
            if is_any_given || self.forward_session_name == Some(true) {
                tracing::warn!(
                    "--external-id, --session-name and --forward-session-name have no effect without a role"
                );
            }
            return Ok(None);
        };
        let mut role = parse_role(&text)?;
        role.external_id = either(self.external_id.as_deref(), file.external_id.as_deref());
        (role.session_name, role.forward_session_name) = self.session_name(file)?;
        Ok(Some(role))
    }

    /// What the command line says about the session's name goes over all that the file says.
    fn session_name(&self, file: &ClientSection) -> anyhow::Result<(Option<String>, bool)> {
        let named = super::given(self.session_name.as_deref());
        let of_file = super::given(file.session_name.as_deref());
        match (named, self.forward_session_name) {
            (Some(name), _) => Ok((Some(name), false)),
            (None, Some(true)) => Ok((None, true)),
            (None, Some(false)) => Ok((of_file, false)),
            (None, None) => {
                let both = of_file.is_some() && file.forward_session_name;
                ensure!(!both, "sessionName and forwardSessionName exclude each other");
                Ok((of_file, file.forward_session_name))
            }
        }
    }
}

// === impl Wanted ===

impl Wanted<'_> {
    /// The token: a kept one, or a new one.
    pub(super) fn token(mut self) -> anyhow::Result<Token> {
        let now = super::now();
        self.request.ask_code = Some(terminal::ask_code);
        self.request.long = self.cache == Some(true);
        let cache = Cache::new(&self.request, self.cache);
        if let Some(token) = cache.as_ref().and_then(|cache| cache.token(self.cluster_id, now)) {
            return Ok(token);
        }
        let session = match cache.as_ref().and_then(|cache| cache.session(now)) {
            Some(session) => session,
            None => credentials::load(&self.request, now)?,
        };
        // Read again for the signature: fetching credentials may have asked a person for a code.
        let now = super::now();
        let token = self.sign(&session)?;
        if let Some(cache) = &cache {
            cache.keep(self.cluster_id, &session, &token, now);
        }
        Ok(token)
    }

    fn sign(&self, session: &Session) -> anyhow::Result<Token> {
        let target = Target::new(&session.region, session.fips, session.dual_stack)?;
        Ok(presign::presign(&session.credentials, &target, self.cluster_id, super::now())?)
    }
}

/// The option, else what the file says. An empty text says nothing.
fn either(option: Option<&str>, file: Option<&str>) -> Option<String> {
    [option, file].into_iter().find_map(super::given)
}

/// A role of this ARN, to be assumed under any session name.
pub(super) fn parse_role(text: &str) -> anyhow::Result<Role> {
    let arn: Arn = text.parse().with_context(|| format!("role {text}"))?;
    ensure!(arn.kind() == PrincipalKind::Role, "role {text}: not the ARN of a role");
    Ok(Role { arn, external_id: None, session_name: None, forward_session_name: false, source_arn: None })
}

/// The version that is asked for, or v1beta1 if that makes no sense: existing clients count on an answer.
pub(super) fn forgiving_version() -> ApiVersion {
    let asked = exec_info().and_then(|info| Ok(ApiVersion::requested(info.as_deref())?));
    asked.unwrap_or_else(|error| {
        tracing::warn!("{}: answering in v1beta1", super::line(&error));
        ApiVersion::default()
    })
}

fn exec_info() -> anyhow::Result<Option<String>> {
    match env::var(EXEC_INFO) {
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error @ env::VarError::NotUnicode(_)) => Err(error).context(EXEC_INFO),
    }
}

#[cfg(test)]
mod tests;
