//! `herald token`: the kubectl exec plugin.
//!
//! Finds AWS credentials, presigns a request with them for one cluster and writes the token to stdout,
//! where nothing else ever goes.

use std::{env, io::Write};

use anyhow::{Context as _, ensure};

use crate::{
    caller::{Arn, PrincipalKind},
    config::{ClientSection, Config},
    kubernetes::exec_credential::{ApiVersion, EXEC_INFO, ExecCredential},
    provider::aws::{
        ClusterId,
        credentials::{self, Role},
        hosts::Target,
        presign::{self, Token},
    },
};

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
    #[arg(short, long, requires = "role")]
    external_id: Option<String>,
    /// Name of the role session, as CloudTrail and the cluster will see it.
    #[arg(short, long, requires = "role")]
    session_name: Option<String>,
    /// Print the bare token instead of an ExecCredential.
    #[arg(long)]
    token_only: bool,
}

impl Command {
    /// Writes the token to `out`. What the command line leaves out comes from `config`.
    ///
    /// # Errors
    ///
    /// When there is no cluster id, no credentials, no endpoint to sign for, or `KUBERNETES_EXEC_INFO` asks
    /// for something else.
    pub fn run(&self, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
        let version = ApiVersion::requested(exec_info()?.as_deref())?;
        let Token { token, expires_at } = self.token(super::cluster_id(config)?, &config.client)?;
        if self.token_only || config.client.token_only {
            writeln!(out, "{}", token.expose())?;
        } else {
            serde_json::to_writer(&mut *out, &ExecCredential::new(version, token.expose(), expires_at))?;
            writeln!(out)?;
        }
        out.flush().context("the token could not be written")
    }

    fn token(&self, cluster_id: &ClusterId, file: &ClientSection) -> anyhow::Result<Token> {
        let request = credentials::Request {
            profile: self.profile.clone(),
            region: self.region.clone().or_else(|| file.region.clone()),
            role: self.role(file)?,
        };
        let session = credentials::load(&request, super::now())?;
        let target = Target::new(&session.region, session.fips, session.dual_stack)?;
        // Read again for the signature: fetching credentials may have asked a person for a code.
        Ok(presign::presign(&session.credentials, &target, cluster_id, super::now())?)
    }

    fn role(&self, file: &ClientSection) -> anyhow::Result<Option<Role>> {
        let role = self.role.as_ref().filter(|text| !text.is_empty()).or(file.role.as_ref());
        let Some(text) = role else { return Ok(None) };
        let arn: Arn = text.parse().with_context(|| format!("role {text}"))?;
        ensure!(arn.kind() == PrincipalKind::Role, "role {text}: not the ARN of a role");
        Ok(Some(Role {
            arn,
            external_id: self.external_id.clone().or_else(|| file.external_id.clone()),
            session_name: self.session_name.clone().or_else(|| file.session_name.clone()),
        }))
    }
}

fn exec_info() -> anyhow::Result<Option<String>> {
    match env::var(EXEC_INFO) {
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error @ env::VarError::NotUnicode(_)) => Err(error).context(EXEC_INFO),
    }
}
