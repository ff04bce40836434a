//! `herald credential-plugin`: what kubeconfigs made by `ack-ram-tool` run, so that in such a file only `command:`
//! changes, and what makes such kubeconfigs. Options, defaults and output are those of that tool.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::builder::BoolishValueParser;

use super::{
    Globals,
    called::Name,
    given,
    token::{CacheSwitch, WantedOfAlibaba, forgiving_version, parse_role, role_of_alibaba},
};
use crate::{
    kubernetes::exec_credential::{ApiVersion, ExecCredential},
    provider::{ClusterId, Token, alibaba::credentials::Environment},
};

pub mod kubeconfig;

/// Commands of ack-ram-tool that kubeconfigs run.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
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
#[command(after_help = TOKEN_EXAMPLES)]
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
    profile_file: Option<String>,
    /// Profile to use.
    #[arg(long, value_name = "NAME", env = "ACK_RAM_TOOL_PROFILE_NAME")]
    profile_name: Option<String>,
    /// Leave credentials in the environment aside.
    #[arg(long, env = "ACK_RAM_TOOL_IGNORE_ENV_CREDENTIALS", num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new())]
    ignore_env_credentials: bool,
    /// Leave ~/.aliyun/config.json aside.
    #[arg(long, env = "ACK_RAM_TOOL_IGNORE_ALIYUN_CLI_CREDENTIALS", num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new())]
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
    #[arg(short = 'y', long, hide = true, num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new())]
    assume_yes: bool,
    /// Of no use here: existing command lines have it.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new())]
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

const EXAMPLES: &str = "\
Examples:
  herald credential-plugin get-token --cluster-id c0123456789abcdef --api-version v1beta1
  herald credential-plugin get-kubeconfig --cluster-id c0123456789abcdef --region-id cn-hangzhou > kubeconfig";

const TOKEN_EXAMPLES: &str = "\
Examples:
  herald credential-plugin get-token --cluster-id c0123456789abcdef --api-version v1beta1
  herald credential-plugin get-token --cluster-id c0123456789abcdef --role-arn acs:ram::1234567890123456:role/Admin";

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
        request.profile_file = self.profile_file()?;
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

    /// The file with profiles, by a path that is good in every folder; none where metadata alone are asked.
    fn profile_file(&self) -> anyhow::Result<Option<PathBuf>> {
        let named = given(self.profile_file.as_deref()).filter(|_| self.credential_type == CredentialType::Auto);
        let Some(named) = named else { return Ok(None) };
        let file = in_full(named.as_ref(), env::var_os("HOME")).and_then(|file| fs::metadata(&file).map(|_| file));
        Ok(Some(file.with_context(|| format!("--profile-file {named}"))?))
    }

    /// The same options for a kubeconfig.
    ///
    /// The STS of `environment` too: kubectl may be called where nothing names it.
    fn arguments(&self, environment: &Environment) -> anyhow::Result<Vec<String>> {
        let credential_type = (self.credential_type == CredentialType::Imds).then(|| "imds".to_owned());
        let file = self.profile_file()?.map(|file| file.display().to_string());
        let named = [
            ("--profile-file", file),
            ("--profile-name", self.profile()),
            ("--role-arn", given(self.role_arn.as_deref())),
            ("--region-id", given(self.region_id.as_deref())),
            ("--sts-endpoint", given(self.sts_endpoint.as_deref()).or_else(|| environment.sts_endpoint())),
            ("--credential-type", credential_type),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let switches = [
            (self.ignore_aliyun_cli_credentials, "--ignore-aliyun-cli-credentials"),
            (self.ignore_env_credentials, "--ignore-env-credentials"),
        ];
        let switches = switches.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned());
        Ok(named.flatten().chain(switches).collect())
    }
}

/// The path from the root. No shell has put the home in place of its `~` where it is a variable's or stands in a kubeconfig.
fn in_full(file: &Path, home: Option<OsString>) -> io::Result<PathBuf> {
    match (file.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => path::absolute(Path::new(&home).join(rest)),
        _ => path::absolute(file),
    }
}

fn cluster_id(globals: &Globals) -> anyhow::Result<&ClusterId> {
    globals.cluster_id.as_ref().context("which cluster? Give --cluster-id")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        common: Common,
    }

    fn args(words: &[&str]) -> Common {
        Cli::try_parse_from([&["get-token"], words].concat()).expect("good arguments").common
    }

    #[test]
    fn switches_take_a_value_as_well() {
        #[track_caller]
        fn check(words: &[&str], expected: [bool; 4]) {
            let Common { assume_yes, verbose, ignore_env_credentials, ignore_aliyun_cli_credentials, .. } = args(words);
            assert_eq!([assume_yes, verbose, ignore_env_credentials, ignore_aliyun_cli_credentials], expected);
        }
        check(&[], [false; 4]);
        check(&["-y", "--verbose", "--ignore-env-credentials", "--ignore-aliyun-cli-credentials"], [true; 4]);
        check(&["-y=true", "--verbose=T", "--ignore-env-credentials=1"], [true, true, true, false]);
        check(
            &["--assume-yes=true", "--verbose=false", "--ignore-aliyun-cli-credentials=TRUE"],
            [true, false, false, true],
        );
    }

    /// Kubeconfigs hold these options and variables, and no shell reads them there.
    #[test]
    fn a_profile_file_is_found_from_every_folder() {
        #[track_caller]
        fn check(file: &str, home: Option<&str>, expected: &Path) {
            assert_eq!(in_full(file.as_ref(), home.map(OsString::from)).expect("a path"), expected);
        }
        let here = env::current_dir().expect("a folder");
        check("~/.aliyun/prod.json", Some("/home/lin"), Path::new("/home/lin/.aliyun/prod.json"));
        check("~/.aliyun/prod.json", None, &here.join("~/.aliyun/prod.json"));
        check("~lin/prod.json", Some("/home/lin"), &here.join("~lin/prod.json"));
        check("/etc/prod.json", Some("/home/lin"), Path::new("/etc/prod.json"));
        check("prod.json", Some("/home/lin"), &here.join("prod.json"));
    }

    #[test]
    fn the_sts_of_the_shell_goes_into_kubeconfigs() {
        #[track_caller]
        fn check(words: &[&str], variables: &[(&str, &str)], expected: &str) {
            let environment: Environment = variables.iter().copied().collect();
            let arguments = args(words).arguments(&environment).expect("good arguments");
            assert_eq!(arguments.join(" "), expected, "{variables:?}");
        }
        let of_tool = ("ACK_RAM_TOOL_STS_ENDPOINT", "sts-vpc.cn-hangzhou.aliyuncs.com");
        let of_cloud = ("ALIBABA_CLOUD_STS_ENDPOINT", "sts.cn-beijing.aliyuncs.com");
        check(&[], &[], "");
        check(&[], &[of_cloud, of_tool], "--sts-endpoint sts-vpc.cn-hangzhou.aliyuncs.com");
        check(&[], &[of_cloud], "--sts-endpoint sts.cn-beijing.aliyuncs.com");
        check(&["--sts-endpoint", "sts.aliyuncs.com"], &[of_tool], "--sts-endpoint sts.aliyuncs.com");
    }

    #[test]
    fn a_profile_file_that_is_not_there_is_told_by_its_name() {
        let error = args(&["--profile-file", "/nowhere/prod.json"]).profile_file().expect_err("there is none");
        assert_eq!(error.to_string(), "--profile-file /nowhere/prod.json");
        assert_eq!(args(&["--profile-file="]).profile_file().expect("none"), None);
        let metadata = args(&["--profile-file", "/nowhere/prod.json", "--credential-type", "imds"]);
        assert_eq!(metadata.profile_file().expect("none"), None);
    }
}
