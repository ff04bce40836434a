//! `herald token`: the kubectl exec plugin.
//!
//! Finds AWS credentials, presigns a request with them for one cluster and writes the token to stdout,
//! where nothing else ever goes.

use std::{env, io::Write, time::SystemTime};

use anyhow::{Context as _, bail, ensure};

use crate::{
    caller::{Arn, PrincipalKind},
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
    /// Writes the token for the cluster `cluster_id` to `out`.
    ///
    /// # Errors
    ///
    /// When there is no cluster id, no credentials, no endpoint to sign for, or `KUBERNETES_EXEC_INFO` asks
    /// for something else.
    pub fn run(&self, cluster_id: Option<&str>, out: &mut impl Write) -> anyhow::Result<()> {
        let version = ApiVersion::requested(exec_info()?.as_deref())?;
        let Some(cluster_id) = cluster_id.filter(|id| !id.is_empty()) else {
            bail!("which cluster? Give --cluster-id or set KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID");
        };
        let cluster_id: ClusterId = cluster_id.parse()?;
        let Token { token, expires_at } = self.token(&cluster_id)?;
        if self.token_only {
            writeln!(out, "{}", token.expose())?;
        } else {
            serde_json::to_writer(&mut *out, &ExecCredential::new(version, token.expose(), expires_at))?;
            writeln!(out)?;
        }
        out.flush().context("the token could not be written")
    }

    fn token(&self, cluster_id: &ClusterId) -> anyhow::Result<Token> {
        let request =
            credentials::Request { profile: self.profile.clone(), region: self.region.clone(), role: self.role()? };
        let session = credentials::load(&request, now())?;
        let target = Target::new(&session.region, session.fips, session.dual_stack)?;
        Ok(presign::presign(&session.credentials, &target, cluster_id, now())?)
    }

    fn role(&self) -> anyhow::Result<Option<Role>> {
        let Some(text) = self.role.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let arn: Arn = text.parse().with_context(|| format!("--role {text}"))?;
        ensure!(arn.kind() == PrincipalKind::Role, "--role {text}: not the ARN of a role");
        let (external_id, session_name) = (self.external_id.clone(), self.session_name.clone());
        Ok(Some(Role { arn, external_id, session_name }))
    }
}

fn exec_info() -> anyhow::Result<Option<String>> {
    match env::var(EXEC_INFO) {
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error @ env::VarError::NotUnicode(_)) => Err(error).context(EXEC_INFO),
    }
}

/// Read again for the signature: fetching credentials may have asked a person for a code.
#[expect(clippy::disallowed_methods, reason = "the command line is where the clock is read")]
fn now() -> SystemTime {
    SystemTime::now()
}
