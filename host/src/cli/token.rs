//! `herald token`: the kubectl exec plugin.
//!
//! Finds AWS credentials, presigns a request with them for one cluster and writes the token to stdout,
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
    provider::aws::{
        ClusterId,
        credentials::{self, Role, Session},
        hosts::Target,
        presign::{self, Token},
    },
};

mod cache;
mod terminal;

/// Print a token for kubectl.
#[derive(clap::Args, Debug)]
pub struct Command {
    /// Region whose STS is to vouch for you. Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, the
    /// EC2 instance's, us-east-1.
    #[arg(long)]
    region: Option<String>,
    /// Profile in ~/.aws/config and ~/.aws/credentials to use instead of all other credentials.
    #[arg(long)]
    profile: Option<String>,
    /// ARN of a role to assume first.
    #[arg(short, long, env = "DEFAULT_ROLE", hide_env_values = true)]
    role: Option<String>,
    /// External id that the role's trust policy asks for.
    #[arg(short, long)]
    external_id: Option<String>,
    /// Name of the role session, as CloudTrail and the cluster will see it.
    #[arg(short, long, conflicts_with = "forward_session_name")]
    session_name: Option<String>,
    /// Give the role session the name of the session that you are in.
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
        let wanted = Wanted {
            cluster_id: super::cluster_id(config)?,
            request: credentials::Request {
                profile: self.profile.clone(),
                region: self.region.clone().or_else(|| config.client.region.clone()),
                role: self.role(&config.client)?,
                ..credentials::Request::default()
            },
            cache: self.cache.on.or_else(|| config.client.cache.then_some(true)),
        };
        let made = wanted.token();
        let Token { token, expires_at } = if name.is_old() { made.context("could not get token")? } else { made? };
        if self.token_only.unwrap_or(config.client.token_only) {
            writeln!(out, "{}", token.expose())?;
        } else {
            serde_json::to_writer(&mut *out, &ExecCredential::new(version, token.expose(), expires_at))?;
            writeln!(out)?;
        }
        out.flush().context("the token could not be written")
    }

    fn role(&self, file: &ClientSection) -> anyhow::Result<Option<Role>> {
        let role = self.role.as_deref().filter(|text| !text.is_empty()).or(file.role.as_deref());
        let Some(text) = role else {
            if self.external_id.is_some() || self.session_name.is_some() || self.forward_session_name == Some(true) {
                tracing::warn!(
                    "--external-id, --session-name and --forward-session-name have no effect without a role"
                );
            }
            return Ok(None);
        };
        let mut role = parse_role(text)?;
        role.external_id = self.external_id.clone().or_else(|| file.external_id.clone());
        (role.session_name, role.forward_session_name) = self.session_name(file)?;
        Ok(Some(role))
    }

    /// What the command line says about the session's name goes over all that the file says.
    fn session_name(&self, file: &ClientSection) -> anyhow::Result<(Option<String>, bool)> {
        match (&self.session_name, self.forward_session_name) {
            (Some(name), _) => Ok((Some(name.clone()), false)),
            (None, Some(true)) => Ok((None, true)),
            (None, Some(false)) => Ok((file.session_name.clone(), false)),
            (None, None) => {
                let both = file.session_name.is_some() && file.forward_session_name;
                ensure!(!both, "sessionName and forwardSessionName exclude each other");
                Ok((file.session_name.clone(), file.forward_session_name))
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
