//! `herald verify`: who a token is, by STS, and who that is in the cluster, by a configuration.
//!
//! Existing scripts read the seven keys that `-o json` prints; what Herald adds stands beside them.

use std::{
    convert::Infallible,
    fmt,
    io::{Read, Write},
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::{Globals, called::Name, policy};
use crate::{
    authenticator::{Authenticator, Decision, Outcome},
    caller::{Caller, letters::steers},
    config::{Config, Shared},
    mapping::StageRecord,
    provider::{Cloud, aws::Partition},
    token::BearerToken,
};

const EXAMPLES: &str = "\
Examples:
  herald token -i my-cluster --token-only | herald verify -i my-cluster -t -
  herald verify --config herald.yaml -t - -o json < token";

/// Verify a token with STS, and show the decision about it.
///
/// Without --config only the identity is shown. Sources in a cluster have five seconds to be read.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Token to verify; `-` reads it from stdin, so that it need not stand in the list of processes.
    #[arg(short, long, env = "HERALD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Token,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// AWS partition of the token [default: the configuration's, else aws].
    #[arg(long, value_name = "PARTITION")]
    pub partition: Option<Partition>,
}

/// A token on the command line, which is never printed.
#[derive(Clone)]
pub struct Token(Arc<BearerToken>);

/// What `herald verify` prints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// The keys of existing scripts, in their order and spelling.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(rename = "ARN")]
    arn: &'a str,
    #[serde(rename = "CanonicalARN")]
    canonical_arn: &'a str,
    #[serde(rename = "AccountID")]
    account_id: &'a str,
    #[serde(rename = "UserID")]
    user_id: &'a str,
    #[serde(rename = "SessionName")]
    session_name: &'a str,
    #[serde(rename = "AccessKeyID")]
    access_key_id: &'a str,
    #[serde(rename = "STSEndpoint")]
    sts_endpoint: &'a str,
    #[serde(rename = "Decision", skip_serializing_if = "Option::is_none")]
    decision: Option<&'a Decision>,
}

/// What to show, and how.
#[derive(Clone, Copy)]
struct Style {
    decides: bool,
    output: Output,
    name: Name,
}

/// A proven caller, and which STS proved it.
struct Identity {
    caller: Arc<Caller>,
    sts_endpoint: String,
}

/// Longest wait for sources that have to be read first.
const READ: Duration = Duration::from_secs(5);
/// Longest token that is read from stdin, in bytes; far more than any is long.
const MAX_STDIN: u64 = 64 << 10;
/// What stands for "read it from stdin".
const STDIN: &str = "-";

// === impl Command ===

impl Command {
    /// Verifies the token and writes what is known about it to `out`. If a configuration was given, its
    /// decision is shown too, but under an old name: scripts that call it know no decision.
    ///
    /// # Errors
    ///
    /// When the token proves nobody, a policy does not load, or the decision is to let nobody in. The report
    /// is written even then, as far as it goes.
    pub fn run(
        &self,
        mut config: Config,
        globals: &Globals,
        stdin: impl Read,
        now: SystemTime,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        super::cluster_id(&config)?;
        config.partition = self.partition(&config);
        if globals.config.is_none() {
            config.providers.get_or_insert_with(|| Cloud::ALL.to_vec());
        }
        let token = self.token.read(stdin)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let style = Style {
            decides: globals.config.is_some() && !globals.name.is_old(),
            output: self.output,
            name: globals.name,
        };
        runtime.block_on(async {
            let shared = policy::shared(&config)?;
            let authenticator = config.build(&shared)?;
            if style.decides {
                read_sources(&shared).await;
            }
            verify(&authenticator, &token, now, style, out).await
        })
    }

    fn partition(&self, config: &Config) -> Partition {
        self.partition.or(config.client.partition).unwrap_or(config.partition)
    }
}

/// Waits until the sources of `shared` have been read, and says which one is not in time. A decision that needs it
/// says so too, and one that is made before it does not need it.
pub(super) async fn read_sources(shared: &Shared) {
    if let Err(error) = shared.read_once(None, READ).await {
        tracing::warn!("given up after {}: {error}", humantime::format_duration(READ));
    }
}

/// The part of the command that needs no command line.
async fn verify(
    authenticator: &Authenticator,
    token: &BearerToken,
    now: SystemTime,
    Style { decides, output, name }: Style,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let identity = identify(authenticator, token, now).await.context("could not verify token")?;
    let decision = if decides { Some(authenticator.decide(token, now).await) } else { None };
    match output {
        Output::Json => write_json(out, &identity, decision.as_ref())?,
        Output::Text if name.is_old() => writeln!(out, "{}", identity.report(None))?,
        Output::Text => write_text(out, &identity, decision.as_ref())?,
    }
    match decision.as_ref().and_then(Decision::denial) {
        None => Ok(()),
        Some(denial) => bail!("the token is good, the caller is not let in: {} ({})", denial.message, denial.reason),
    }
}

async fn identify(authenticator: &Authenticator, token: &BearerToken, now: SystemTime) -> anyhow::Result<Identity> {
    let ours = authenticator.providers.iter().find(|provider| provider.claims(token));
    let provider = ours.context("not a token of a configured provider")?;
    let sts_endpoint = authenticator.sts.inspect(provider.as_ref(), token, now)?.host;
    let verified = authenticator.sts.verify(provider.as_ref(), token, now).await?;
    Ok(Identity { caller: verified.caller, sts_endpoint })
}

fn write_json(out: &mut impl Write, identity: &Identity, decision: Option<&Decision>) -> anyhow::Result<()> {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, formatter);
    identity.report(decision).serialize(&mut serializer)?;
    Ok(writeln!(out)?)
}

fn write_text(out: &mut impl Write, identity: &Identity, decision: Option<&Decision>) -> anyhow::Result<()> {
    let caller = &identity.caller;
    let fields = [
        ("arn", caller.arn.as_str()),
        ("canonical arn", &caller.canonical_arn),
        ("account", caller.account_id.as_str()),
        ("principal id", caller.principal_id.as_str()),
        ("session", caller.session_name.as_ref().map_or("none", |name| name.as_str())),
        ("access key", &caller.access_key_id),
        ("sts", &identity.sts_endpoint),
    ];
    writeln!(out, "identity")?;
    for (name, value) in fields {
        writeln!(out, "  {name:<14} {}", Plain(value))?;
    }
    let Some(decision) = decision else { return Ok(()) };
    writeln!(out, "stages")?;
    for stage in &decision.stages {
        write_stage(out, stage)?;
    }
    writeln!(out, "decision")?;
    match &decision.outcome {
        Outcome::Allowed { user } => {
            writeln!(out, "  {:<14} {}", "username", Plain(&user.username))?;
            writeln!(out, "  {:<14} {}", "groups", Plain(&user.groups.join(", ")))?;
            writeln!(out, "  {:<14} {}", "uid", Plain(&user.uid))?;
        }
        Outcome::Denied(denial) => {
            writeln!(out, "  {:<14} {} ({})", "denied", Plain(&denial.message), denial.reason)?;
        }
    }
    writeln!(out, "  {:<14} {}", "generation", decision.generation)?;
    Ok(())
}

fn write_stage(out: &mut impl Write, stage: &StageRecord) -> std::io::Result<()> {
    write!(out, "  {:<14} {} in {} µs", stage.stage, stage.verdict, stage.micros)?;
    match stage.fuel {
        Some(fuel) => writeln!(out, ", fuel {fuel}")?,
        None => writeln!(out)?,
    }
    if let Some(node) = &stage.node {
        let name = node.name.as_ref().map_or("not found", |name| name.as_str());
        writeln!(out, "    node: {} (source: {})", Plain(name), node.source)?;
    }
    for line in &stage.log {
        writeln!(out, "    {}: {}", line.level, Plain(&line.message))?;
    }
    Ok(())
}

/// In braces, as existing scripts read it.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("ARN", self.arn),
            ("CanonicalARN", self.canonical_arn),
            ("AccountID", self.account_id),
            ("UserID", self.user_id),
            ("SessionName", self.session_name),
            ("AccessKeyID", self.access_key_id),
            ("STSEndpoint", self.sts_endpoint),
        ];
        let fields = fields.map(|(name, value)| format!("{name}:{}", Plain(value)));
        write!(f, "&{{{}}}", fields.join(" "))
    }
}

/// Text that others chose, so that it cannot steer a terminal, or look like another.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if steers(letter) { write!(f, "{}", letter.escape_default())? } else { write!(f, "{letter}")? }
        }
        Ok(())
    }
}

// === impl Identity ===

impl Identity {
    fn report<'a>(&'a self, decision: Option<&'a Decision>) -> Report<'a> {
        let caller = &self.caller;
        Report {
            arn: &caller.arn,
            canonical_arn: &caller.canonical_arn,
            account_id: caller.account_id.as_str(),
            user_id: caller.principal_id.as_str(),
            session_name: caller.session_name.as_ref().map_or("", |name| name.as_str()),
            access_key_id: &caller.access_key_id,
            sts_endpoint: &self.sts_endpoint,
            decision,
        }
    }
}

// === impl Token ===

impl Token {
    /// The token itself, from `stdin` if it stands there.
    pub(super) fn read(&self, stdin: impl Read) -> anyhow::Result<Arc<BearerToken>> {
        if self.0.expose() != STDIN {
            return Ok(Arc::clone(&self.0));
        }
        let mut text = String::new();
        stdin.take(MAX_STDIN).read_to_string(&mut text).context("cannot read the token from stdin")?;
        text.truncate(text.trim_end().len());
        Ok(Arc::new(BearerToken::new(text)))
    }
}

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Arc::new(BearerToken::new(text.to_owned()))))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
