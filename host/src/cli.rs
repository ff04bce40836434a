//! Command line: one file a command. Arguments arrive typed, output is injected, stdout carries
//! the answer and nothing else.
//!
//! Exit codes: 0 done, 1 not done, 2 the command line is wrong, 78 the configuration is wrong
//! (`EX_CONFIG` of BSD's sysexits).

use std::{io, path::PathBuf, process::ExitCode, time::SystemTime};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, ConfigError},
    observe::{audit::OpenError, log},
    policy::{FolderError, LoadError},
    provider::aws::ClusterId,
    server::Error as ServerError,
};

pub mod check_config;
pub mod explain;
pub mod init;
mod made_up;
pub mod policy;
pub mod server;
pub mod token;
pub mod verify;
pub mod version;

/// Tells Kubernetes who is calling, from a presigned cloud request.
#[derive(Debug, Parser)]
#[command(name = "herald", version, about, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(clap::Args, Debug)]
pub struct Globals {
    /// Configuration file (YAML or JSON). The server and the client may share one.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Id of the cluster that tokens are for: any string that no other cluster has.
    #[arg(short = 'i', long, global = true, env = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<ClusterId>,
    /// How lines of the process log look: text or json.
    #[arg(short = 'l', long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: log::Format,
    /// The least serious lines of the process log: error, warning, info, debug or trace. Default: info for
    /// the server, warning for every other command.
    #[arg(short = 'v', long, global = true, env = "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY", value_name = "LEVEL")]
    pub log_verbosity: Option<log::Verbosity>,
}

#[derive(Debug, Subcommand)]
enum Command {
    CheckConfig(check_config::Command),
    Explain(explain::Command),
    Init(init::Command),
    #[command(subcommand)]
    Policy(policy::Command),
    Server(server::Command),
    Token(token::Command),
    Verify(verify::Command),
    Version(version::Command),
}

const EXAMPLES: &str = "\
Examples:
  herald token -i my-cluster                       a token for kubectl, from the AWS credentials at hand
  herald server --config herald.yaml               the webhook beside the API server
  herald verify -i my-cluster -t -                 who is the token on stdin?
  herald check-config herald.yaml aws-auth.yaml    what is wrong with these files?
  herald explain --config herald.yaml --arn ARN    why is this caller let in, or not?
  herald init -i my-cluster                        certificate, key and webhook kubeconfig, before the first start
  herald policy build policies/session-groups      a policy's crate becomes a component";

/// `EX_CONFIG`: something is wrong with the configuration.
const EX_CONFIG: u8 = 78;

/// Parses the process's arguments, runs the command and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { globals, command } = Cli::parse();
    let quiet = if matches!(command, Command::Server(_)) { "info" } else { "warning" };
    let verbosity = globals.log_verbosity.or_else(|| quiet.parse().ok());
    log::init(globals.log_format, verbosity.expect("both words are levels"));
    match run(&globals, &command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("herald: {}", line(&error));
            if is_configuration(&error) { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn run(globals: &Globals, command: &Command) -> anyhow::Result<ExitCode> {
    let out = &mut io::stdout().lock();
    match command {
        Command::CheckConfig(command) => return command.run(globals.config.as_deref(), io::stdin(), out),
        Command::Explain(command) => {
            return command.run(globals.load()?, globals.config.as_deref(), io::stdin(), now(), out);
        }
        Command::Init(command) => command.run(&globals.load()?, now(), out)?,
        Command::Policy(command) => return command.run(globals, out),
        Command::Server(command) => command.run(globals)?,
        Command::Token(command) => command.run(&globals.load()?, out)?,
        Command::Verify(command) => command.run(globals.load()?, globals.config.is_some(), io::stdin(), now(), out)?,
        Command::Version(command) => command.run(out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The error and its causes in one line. Causes that a text holds already are left out.
fn line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text.replace(['\n', '\r'], " ")
}

/// Whether an error is about what the operator wrote or mounted.
fn is_configuration(error: &anyhow::Error) -> bool {
    let of_the_server = |error: &ServerError| !matches!(error, ServerError::Bind { .. });
    error.is::<ConfigError>()
        || error.is::<FolderError>()
        || error.is::<LoadError>()
        || error.is::<NoClusterId>()
        || error.is::<OpenError>()
        || error.downcast_ref().is_some_and(of_the_server)
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the clock is read")]
fn now() -> SystemTime {
    SystemTime::now()
}

// === impl Globals ===

impl Globals {
    /// The configuration file, or the defaults without one; the cluster id of the command line goes
    /// over the file's. Warnings go to the process log.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or does not say what it should.
    pub fn load(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            None => Config::default(),
            Some(file) => {
                let loaded = Config::load(file)?;
                loaded.log();
                loaded.config
            }
        };
        self.apply(&mut config);
        Ok(config)
    }

    /// Puts what the command line says over what the file says.
    pub fn apply(&self, config: &mut Config) {
        if let Some(id) = &self.cluster_id {
            config.cluster_id = Some(id.clone());
        }
    }
}

/// Nobody said which cluster tokens are for.
#[derive(Debug, thiserror::Error)]
#[error(
    "which cluster? Give --cluster-id, set KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID, or put clusterID into the file of --config"
)]
struct NoClusterId;

fn cluster_id(config: &Config) -> anyhow::Result<&ClusterId> {
    Ok(config.cluster_id.as_ref().ok_or(NoClusterId)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_is_one_line_that_says_nothing_twice() {
        let error = anyhow::anyhow!("no such\nfile").context("cannot read: no such\nfile").context("policy a");
        assert_eq!(line(&error), "policy a: cannot read: no such file");
    }
}
