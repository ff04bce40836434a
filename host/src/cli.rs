//! Command line: one file a command. Arguments arrive typed, output is injected, stdout carries
//! the answer and nothing else.
//!
//! Exit codes: 0 done, 1 not done, 2 the command line is wrong, 78 the configuration is wrong
//! (`EX_CONFIG` of BSD's sysexits), 141 nobody reads the answer (`herald … | head`), which is what a shell shows for programs
//! that SIGPIPE ends, and like them without a word.

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind, parser::ValueSource,
};

use self::{
    called::{FeatureGate, Name},
    late::Late,
    stdout::Stdout,
    verify::Plain,
};
use crate::{
    config::{Config, ConfigError, Loaded},
    observe::{audit::OpenError, log},
    policy::{FolderError, LoadError},
    provider::{Cloud, ClusterId},
    server::Error as ServerError,
};

pub mod ack;
pub mod add;
mod aws_auth;
pub mod called;
pub mod check_config;
pub mod cluster;
pub mod completions;
mod core_dump;
pub mod eks;
pub mod explain;
pub mod init;
pub mod kubeconfig;
mod late;
pub mod list;
pub mod policy;
pub mod remove;
pub mod server;
mod stdout;
pub mod token;
pub mod verify;
pub mod version;

pub use aws_auth::Sso;

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
#[derive(clap::Args, Clone, Debug, Default)]
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
    /// The least serious lines of the process log: error, warning, info, debug or trace. Default: `log-verbosity` of the
    /// configuration file, else info for the server, warning for every other command.
    #[arg(short = 'v', long, global = true, env = "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY", value_name = "LEVEL")]
    pub log_verbosity: Option<log::Verbosity>,
    /// Alpha features of existing command lines.
    #[arg(long, global = true, hide = true, value_delimiter = ',', value_name = "NAME=BOOL")]
    pub feature_gates: Vec<FeatureGate>,
    /// The name that Herald was called by.
    #[arg(skip)]
    pub name: Name,
    /// Whether the cluster's id is a variable's, and not the command line's.
    #[arg(skip)]
    pub is_id_of_environment: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Map a role or a user, in the aws-auth ConfigMap of a cluster, or in a file.
    #[command(subcommand)]
    Add(Late<add::Command>),
    /// Commands of ack-ram-tool that kubeconfigs run.
    #[command(subcommand)]
    CredentialPlugin(Late<ack::Command>),
    /// Say all that is wrong with configuration and mapping files, at once.
    CheckConfig(Late<check_config::Command>),
    #[command(alias = "completion")]
    Completions(completions::Command),
    /// Commands of the AWS CLI that kubeconfigs run.
    #[command(subcommand)]
    Eks(Late<eks::Command>),
    /// Say why a caller is let in, or is not: each check, each stage, and what nearly matches.
    Explain(Late<explain::Command>),
    /// Make the certificate, its key and the webhook kubeconfig before the server runs.
    Init(Late<init::Command>),
    /// Put a cluster into your kubeconfig, with `herald token` to log in.
    Kubeconfig(Late<kubeconfig::Command>),
    /// List what the aws-auth ConfigMap of a cluster, or a file, maps, in the order in which it is asked.
    List(Late<list::Command>),
    /// Write, build, test, inspect and compile policies.
    #[command(subcommand)]
    Policy(Late<policy::Command>),
    /// Take the mapping of a role or a user away, in the aws-auth ConfigMap of a cluster, or in a file.
    #[command(subcommand)]
    Remove(Late<remove::Command>),
    /// Answer TokenReviews from the Kubernetes API server.
    Server(Late<server::Command>),
    Token(token::Command),
    Verify(verify::Command),
    Version(version::Command),
}

const EXAMPLES: &str = "\
Examples:
  herald token -i my-cluster                       a token for kubectl, from the AWS credentials at hand
  herald kubeconfig --name my-cluster --server https://api.my-cluster.example.com --certificate-authority ca.pem
                                                   kubectl logs in to my-cluster with such tokens
  herald server --config herald.yaml               the webhook beside the API server
  herald verify -i my-cluster -t -                 who is the token on stdin?
  herald check-config herald.yaml aws-auth.yaml    what is wrong with these files?
  herald explain --config herald.yaml --arn ARN    why is this caller let in, or not?
  herald add role --rolearn ARN --username admin:{{SessionName}} --groups system:masters
                                                   map a role in the cluster's aws-auth; `herald list` shows it
  herald init -i my-cluster                        certificate, key and webhook kubeconfig, before the first start
  herald init -i my-cluster --emit daemonset       a file for the cluster's set-up, with your values
  herald policy build policies/session-groups      a policy's crate becomes a component";

/// How tokens start, of every version. Where one does not belong, it is not repeated.
const TOKENS: [&str; 2] = ["k8s-aws-v1.", "k8s-ack-v"];

/// The command line is wrong.
const USAGE: u8 = 2;

/// `EX_CONFIG`: something is wrong with the configuration.
const EX_CONFIG: u8 = 78;

/// What a shell shows for a program that SIGPIPE (13) ended.
const NOBODY_READS: u8 = 128 + 13;

/// Parses the process's arguments, runs the command and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = called::in_order(env::args_os().collect());
    let name = Name::of(arguments.first().map(OsString::as_os_str));
    let Cli { mut globals, command } = match parse(name, arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    globals.name = name;
    let quiet = if matches!(command, Command::Server(_)) { "info" } else { "warning" };
    let verbosity = globals.log_verbosity.or_else(|| quiet.parse().ok());
    log::init(globals.log_format, verbosity.expect("both words are levels"));
    let out = &mut Stdout::default();
    match run(&globals, &command, out) {
        Ok(code) => code,
        Err(_) if out.is_closed() => ExitCode::from(NOBODY_READS),
        Err(error) => {
            // Nobody has to read it.
            let _ = writeln!(io::stderr(), "{}: {}", name.as_str(), without_tokens(&line(&error)));
            if is_configuration(&error) { name.failure(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// The command line, or the exit code after what clap had to say about it.
fn parse(name: Name, arguments: Vec<OsString>) -> Result<Cli, ExitCode> {
    let mut parser = name.adapt(Cli::command());
    let parsed = parser.try_get_matches_from_mut(arguments).and_then(|matches| Cli::of(&matches));
    parsed.and_then(|cli| cli.checked(&mut parser)).map_err(|error| {
        let text = error.render().to_string();
        if name.is_old() && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let _ = write!(io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        if !error.use_stderr() {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let hidden = without_tokens(&text);
        // In colours, if that may be.
        let _ = if hidden == text { error.print() } else { write!(io::stderr(), "{hidden}") };
        name.failure(USAGE)
    })
}

fn run(globals: &Globals, command: &Command, out: &mut Stdout) -> anyhow::Result<ExitCode> {
    // Of policies, authors may want one, or their toolchains.
    if !matches!(command, Command::Policy(_)) {
        core_dump::turn_off();
    }
    match command {
        Command::Add(Late(command)) => return command.run(globals.name, io::stdin(), out),
        Command::CheckConfig(Late(command)) => return command.run(globals, io::stdin(), out),
        Command::Completions(command) => command.run(globals.name, Cli::command(), out)?,
        Command::CredentialPlugin(Late(ack::Command::GetCredential(command))) => command.run()?,
        Command::CredentialPlugin(Late(ack::Command::GetKubeconfig(command))) => command.run(globals, out)?,
        Command::CredentialPlugin(Late(ack::Command::GetToken(command))) => command.run(globals, out)?,
        Command::Eks(Late(eks::Command::GetToken(command))) => command.run(globals, out)?,
        Command::Explain(Late(command)) => return command.run(globals, io::stdin(), now(), out),
        Command::Init(Late(command)) => command.run(&globals.read()?, globals, now(), out)?,
        Command::Kubeconfig(Late(command)) => command.run(globals, out)?,
        Command::List(Late(command)) => return command.run(out),
        Command::Policy(Late(command)) => return command.run(globals, out),
        Command::Remove(Late(command)) => return command.run(globals.name, io::stdin(), out),
        // Nobody has to read what a server says.
        Command::Server(Late(command)) => command.run(globals, &mut io::stdout())?,
        Command::Token(command) => command.run(&globals.read()?, globals.name, out)?,
        Command::Verify(command) => command.run(globals.load()?, globals, io::stdin(), now(), out)?,
        Command::Version(command) => command.run(globals.name, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The error and its causes in one line that steers no terminal. Causes that a text holds already are left out.
fn line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    Plain(&text.replace(['\n', '\r'], " ")).to_string()
}

/// `text` without the tokens that somebody gave in place of something else, and that it repeats.
fn without_tokens(text: &str) -> String {
    let is_around = |letter: char| letter.is_whitespace() || "'\"`.,:;)".contains(letter);
    let hide = |word: &str| {
        let start = TOKENS.iter().filter_map(|start| word.find(start)).min()?;
        let token = word[start..].trim_end_matches(is_around);
        // Their start alone is a word of ours.
        token.contains('.').then(|| format!("{}(a token, hidden){}", &word[..start], &word[start + token.len()..]))
    };
    text.split_inclusive(char::is_whitespace).map(|word| hide(word).unwrap_or_else(|| word.to_owned())).collect()
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

// === impl Cli ===

impl Cli {
    fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        let mut last = matches;
        while let Some((_, inner)) = last.subcommand() {
            last = inner;
        }
        cli.globals.is_id_of_environment = last.value_source("cluster_id") == Some(ValueSource::EnvVariable);
        Ok(cli)
    }

    /// The same, unless options exclude each other: clap does not know that an empty one is none.
    fn checked(self, parser: &mut clap::Command) -> Result<Self, clap::Error> {
        if !matches!(&self.command, Command::Token(command) if command.names_session_twice()) {
            return Ok(self);
        }
        let token = parser.find_subcommand_mut("token").expect("the command of this variant");
        let words = "--session-name and --forward-session-name exclude each other";
        Err(token.error(ErrorKind::ArgumentConflict, words))
    }
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
        self.loaded_by(Config::load_for)
    }

    /// The same without a look at the files that it names, which a client need not have.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn read(&self) -> anyhow::Result<Config> {
        self.loaded_by(Config::read_for)
    }

    fn loaded_by(&self, load: fn(Cloud, &Path) -> Result<Loaded, ConfigError>) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            None => Config::default(),
            Some(file) => {
                let loaded = load(self.name.cloud().unwrap_or(Cloud::Aws), file)?;
                if let (None, Some(verbosity)) = (self.log_verbosity, loaded.config.client.log_verbosity) {
                    log::set_verbosity(verbosity);
                }
                loaded.log();
                loaded.config
            }
        };
        self.apply(&mut config);
        Ok(config)
    }

    /// Puts what the command line says over what the file says.
    pub fn apply(&self, config: &mut Config) {
        self.name.place(&mut config.server);
        if config.providers.is_none() {
            config.providers = self.name.cloud().map(|cloud| vec![cloud]);
        }
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

/// The value of an option, if it is one: scripts give empty options for none.
fn given(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn cluster_id(config: &Config) -> anyhow::Result<&ClusterId> {
    Ok(config.cluster_id.as_ref().ok_or(NoClusterId)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn the_command_line_is_consistent() {
        for name in Name::OLD.into_iter().chain([Name::Herald]) {
            name.adapt(Cli::command()).debug_assert();
        }
    }

    #[test]
    fn an_old_name_says_whose_words_a_file_has() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "server: {backendMode: [ConfigMap]}").expect("written");
        for (name, expected) in [
            (Name::Herald, Source::EksConfigMap),
            (Name::AwsIamAuthenticator, Source::EksConfigMap),
            (Name::AckRamAuthenticator, Source::AckConfigMap),
        ] {
            let globals = Globals { config: Some(file.path().to_owned()), name, ..Globals::default() };
            assert_eq!(globals.load().expect("it loads").sources, [expected], "{name:?}");
        }
    }

    #[test]
    fn a_client_needs_no_file_that_the_servers_configuration_names() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = "clusterID: a\nserver: {backendMode: [Policy/teams], policies: [{name: teams, kind: map, component: /nowhere/teams.wasm}]}\n";
        std::fs::write(file.path(), text).expect("written");
        let globals = Globals { config: Some(file.path().to_owned()), ..Globals::default() };
        assert!(globals.read().expect("it reads").cluster_id.is_some());
        globals.load().expect_err("a server needs it");
    }

    #[test]
    fn an_error_is_one_line_that_says_nothing_twice() {
        let error = anyhow::anyhow!("no such\nfile").context("cannot read: no such\nfile").context("policy a");
        assert_eq!(line(&error), "policy a: cannot read: no such file");
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(without_tokens(text), expected);
        }
        check("unexpected 'k8s-aws-v1.a_b-c=' found\n\ntip", "unexpected '(a token, hidden)' found\n\ntip");
        check("--role=k8s-ack-v2.eyJ9==", "--role=(a token, hidden)");
        check("role k8s-ack-v1.a.b'c: not an ARN", "role (a token, hidden): not an ARN");
        check("does not start with k8s-aws-v1.", "does not start with k8s-aws-v1.");
        check("make k8s-ack-v2. tokens, with", "make k8s-ack-v2. tokens, with");
        check("", "");
    }
}
