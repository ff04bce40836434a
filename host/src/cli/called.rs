//! The name Herald is called by, and what follows from it: under a name of the program it replaces, it
//! keeps that program's defaults, shapes and exit codes.
//!
//! Commands and flags are the same under every name. Under an old one the exit code is 0 or 1, usage
//! errors too, no command at all means help, and `add` asks before it writes into that program's ConfigMap. On purpose,
//! a wrong `version -o` is an error here.

use std::{
    convert::Infallible,
    env,
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    str::FromStr,
};

use clap::builder::{BoolishValueParser, Resettable, TypedValueParser as _};

use super::{verify, version};
use crate::{
    observe::{log, metrics::OldNames},
    provider::Cloud,
    server,
};

/// What stands in `argv[0]`, without its folder and extension.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Name {
    /// Any other name: Herald's own manners.
    #[default]
    Herald,
    /// `aws-iam-authenticator`.
    AwsIamAuthenticator,
    /// `heptio-authenticator-aws`, the same program until 2018.
    HeptioAuthenticatorAws,
    /// `ack-ram-authenticator`.
    AckRamAuthenticator,
    /// `ack-ram-tool`, its client.
    AckRamTool,
}

/// A switch of `--feature-gates`, as `Name=true`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeatureGate {
    name: &'static str,
    on: bool,
}

/// Not a switch that existing command lines have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a feature gate: must be one of {names} with =true or =false", names = GATES.join(", "))]
pub struct InvalidFeatureGate;

/// The switches there are. All but the first switch nothing: what they guard is always there, or never was.
const GATES: [&str; 6] =
    [CONFIGURED_INIT, "AllAlpha", "AllBeta", "IAMIdentityMappingCRD", "RAMIdentityMappingCRD", "SSORoleMatch"];
/// `init` writes where the configuration says instead of into the working directory.
const CONFIGURED_INIT: &str = "ConfiguredInitDirectories";

/// Where examples put completions: a shell finds those of a program in a file of its name.
const COMPLETIONS: [&str; 3] = ["/bash_completion.d/herald", "/_herald", "/herald.fish"];

/// The first word of the commands of ack-ram-tool that kubeconfigs run.
const CREDENTIAL_PLUGIN: &str = "credential-plugin";
/// The commands of other tools that take options before each of their two words.
const COMMANDS: [[&str; 2]; 6] = [
    ["add", "role"],
    ["add", "user"],
    ["eks", "get-token"],
    [CREDENTIAL_PLUGIN, "get-credential"],
    [CREDENTIAL_PLUGIN, GET_KUBECONFIG],
    [CREDENTIAL_PLUGIN, "get-token"],
];
/// The command of ack-ram-tool that has a short form as well.
const GET_KUBECONFIG: &str = "get-kubeconfig";
/// The options of these commands that no value follows.
const SWITCHES: [&str; 11] = [
    "--assume-yes",
    "--cache",
    "--dry-run",
    "--force",
    "--ignore-aliyun-cli-credentials",
    "--ignore-env-credentials",
    "--private-address",
    "--prompt",
    "--replace",
    "--verbose",
    "-y",
];

// === impl Name ===

impl Name {
    /// The names of programs that Herald replaces.
    pub const OLD: [Self; 4] =
        [Self::AwsIamAuthenticator, Self::HeptioAuthenticatorAws, Self::AckRamAuthenticator, Self::AckRamTool];

    /// The name in `program`.
    #[must_use]
    pub fn of(program: Option<&OsStr>) -> Self {
        let stem = program.and_then(|program| Path::new(program).file_stem()).and_then(OsStr::to_str);
        Self::OLD.into_iter().find(|name| stem == Some(name.as_str())).unwrap_or_default()
    }

    /// The name that this process was called by.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(env::args_os().next().as_deref())
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Herald => "herald",
            Self::AwsIamAuthenticator => "aws-iam-authenticator",
            Self::HeptioAuthenticatorAws => "heptio-authenticator-aws",
            Self::AckRamAuthenticator => "ack-ram-authenticator",
            Self::AckRamTool => "ack-ram-tool",
        }
    }

    /// Whether it is the name of the program that Herald replaces.
    #[must_use]
    pub fn is_old(self) -> bool {
        self != Self::Herald
    }

    /// The cloud that a program of this name is for, where nobody chooses another; none for Herald's own.
    #[must_use]
    pub fn cloud(self) -> Option<Cloud> {
        match self {
            Self::Herald => None,
            Self::AwsIamAuthenticator | Self::HeptioAuthenticatorAws => Some(Cloud::Aws),
            Self::AckRamAuthenticator | Self::AckRamTool => Some(Cloud::Alibaba),
        }
    }

    /// The program whose metrics `metrics.oldNames` gives: that of the name, or else the one that most come from.
    #[must_use]
    pub fn metrics(self) -> OldNames {
        match self.cloud() {
            Some(Cloud::Alibaba) => OldNames::AckRamAuthenticator,
            Some(Cloud::Aws) | None => OldNames::AwsIamAuthenticator,
        }
    }

    /// What the server of this name prints first; with Herald's own name, nothing.
    #[must_use]
    pub fn start_line(self) -> Option<String> {
        let told = matches!(self, Self::AwsIamAuthenticator | Self::HeptioAuthenticatorAws);
        let commit = version::COMMIT.unwrap_or_default();
        told.then(|| format!("Authenticator Version: \"{}\", \"{commit}\"", env!("CARGO_PKG_VERSION")))
    }

    /// `code`, or 1 where scripts know no other code for failure.
    #[must_use]
    pub fn failure(self, code: u8) -> ExitCode {
        if self.is_old() { ExitCode::FAILURE } else { ExitCode::from(code) }
    }

    /// `command` as this name's users know it: an empty variable is none, and under an old name examples have that name, the
    /// last of a flag given twice counts, and formats that nobody knows are text.
    #[must_use]
    pub fn adapt(self, command: clap::Command) -> clap::Command {
        let command = fit(command, self);
        if !self.is_old() {
            return command;
        }
        command
            .name(self.as_str())
            .bin_name(self.as_str())
            .after_help("")
            .args_override_self(true)
            .mut_arg("log_format", |arg| arg.value_parser(format_or_text))
            .mut_subcommand("verify", |verify| verify.mut_arg("output", |arg| arg.value_parser(json_or_text)))
    }

    /// `examples` as they are typed under this name.
    fn typed(self, examples: &str) -> String {
        let name = self.as_str();
        let typed = examples.replace(" herald ", &format!(" {name} ")).replace("`herald ", &format!("`{name} "));
        COMPLETIONS.into_iter().fold(typed, |text, file| text.replace(file, &file.replace("herald", name)))
    }

    /// Moves the files of `config` to this name's folders, where nobody chose another place.
    pub fn place(self, config: &mut server::Config) {
        let usual = server::Config::default();
        let folder = match self {
            Self::Herald => return,
            // The client has no files of its own.
            Self::AckRamTool => Self::AckRamAuthenticator.as_str(),
            name => name.as_str(),
        };
        if config.state_dir == usual.state_dir {
            config.state_dir = format!("/var/{folder}").into();
        }
        if config.generate_kubeconfig == usual.generate_kubeconfig {
            config.generate_kubeconfig = format!("/etc/kubernetes/{folder}/kubeconfig.yaml").into();
        }
    }
}

// === impl FeatureGate ===

impl FeatureGate {
    /// Whether `gates` let `init` write where the configuration says. A later one counts more.
    #[must_use]
    pub fn configured_init(gates: &[Self]) -> bool {
        let names = [CONFIGURED_INIT, "AllAlpha"];
        let of = |name| gates.iter().rfind(|gate| gate.name == name);
        names.into_iter().find_map(of).is_some_and(|gate| gate.on)
    }
}

impl FromStr for FeatureGate {
    type Err = InvalidFeatureGate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Of an empty list, and behind its last comma: that switches nothing.
        if text.is_empty() {
            return Ok(Self { name: "", on: false });
        }
        let (name, on) = text.split_once('=').ok_or(InvalidFeatureGate)?;
        let name = GATES.into_iter().find(|gate| *gate == name.trim()).ok_or(InvalidFeatureGate)?;
        // The words of every switch, all that Go takes (package `strconv`, "ParseBool") among them.
        let on = BoolishValueParser::new().parse_ref(&clap::Command::default(), None, on.trim().as_ref());
        Ok(Self { name, on: on.map_err(|_| InvalidFeatureGate)? })
    }
}

/// `command` and its subcommands with examples for `name`, and without the variables that are empty: to people and scripts
/// they are not there. Options that are put together later need it then.
pub(super) fn fit(command: clap::Command, name: Name) -> clap::Command {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command
        .mut_args(|arg| if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(|command| fit(command, name));
    let examples = command.get_after_help().filter(|_| name.is_old()).map(ToString::to_string);
    match examples {
        Some(examples) => command.after_help(name.typed(&examples)),
        None => command,
    }
}

/// The ConfigMap that the program of this process's name changes.
#[must_use]
pub fn config_map() -> &'static str {
    match Name::of_process().cloud() {
        Some(Cloud::Alibaba) => "alibabacloud-auth",
        Some(Cloud::Aws) | None => "aws-auth",
    }
}

fn format_or_text(text: &str) -> Result<log::Format, Infallible> {
    let format = text.parse();
    if format.is_err() {
        // Nobody has to read it.
        let _ = writeln!(io::stderr(), "unknown log format {text:?}: it is text");
    }
    Ok(format.unwrap_or_default())
}

fn json_or_text(text: &str) -> Result<verify::Output, Infallible> {
    Ok(if text == "json" { verify::Output::Json } else { verify::Output::Text })
}

/// The arguments in the order and spelling that our parser takes: other tools have options of their own before each word
/// of their commands, as in `--region eu-west-1 eks get-token`; and of ack-ram-tool `-c` is a cluster, `-v` has no value, and
/// `get-kubeconfig` may stand alone.
#[must_use]
pub fn in_order(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = Name::of(arguments.first().map(OsString::as_os_str));
    let Some(first) = word(&arguments, 1, name) else { return arguments };
    if arguments[first] == GET_KUBECONFIG {
        arguments.insert(first, CREDENTIAL_PLUGIN.into());
    }
    let Some(second) = word(&arguments, first + 1, name) else { return arguments };
    if !COMMANDS.iter().any(|[one, two]| arguments[first] == *one && arguments[second] == *two) {
        return arguments;
    }
    arguments[first + 1..=second].rotate_right(1);
    arguments[1..first + 2].rotate_right(2);
    if arguments[1] == CREDENTIAL_PLUGIN {
        for argument in &mut arguments[3..] {
            if let Some(ours) = of_the_tool(argument, name) {
                *argument = ours;
            }
        }
    }
    arguments
}

/// Where the first word stands, from `start` on, that is neither an option nor the value of one.
fn word(arguments: &[OsString], start: usize, name: Name) -> Option<usize> {
    let mut at = start;
    while let Some(argument) = arguments.get(at).map(|argument| argument.to_string_lossy()) {
        if !argument.starts_with('-') {
            return Some(at);
        }
        let is_switch = SWITCHES.contains(&&*argument) || (name == Name::AckRamTool && argument == "-v");
        let has_its_value = argument.contains('=') || (!argument.starts_with("--") && argument.len() > 2);
        at += if is_switch || has_its_value { 1 } else { 2 };
    }
    None
}

/// An option of ack-ram-tool in our spelling, where that is another.
fn of_the_tool(argument: &OsStr, name: Name) -> Option<OsString> {
    let text = argument.to_str()?;
    if name == Name::AckRamTool
        && let Some(value) = text.strip_prefix("-v")
        && (value.is_empty() || value.starts_with('='))
    {
        return Some(format!("--verbose{value}").into());
    }
    Some(match text.strip_prefix("-c")? {
        "" => "--cluster-id".into(),
        id => format!("--cluster-id={}", id.strip_prefix('=').unwrap_or(id)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        #[track_caller]
        fn check(program: &str, expected: &str, old: bool) {
            let name = Name::of(Some(program.as_ref()));
            assert_eq!((name.as_str(), name.is_old()), (expected, old), "{program}");
        }
        check("herald", "herald", false);
        check("/usr/local/bin/aws-iam-authenticator", "aws-iam-authenticator", true);
        check("./heptio-authenticator-aws", "heptio-authenticator-aws", true);
        check("aws-iam-authenticator.exe", "aws-iam-authenticator", true);
        check("/ack-ram-authenticator", "ack-ram-authenticator", true);
        check("ack-ram-tool", "ack-ram-tool", true);
        check("aws-iam-authenticator-v2", "herald", false);
        check("", "herald", false);
        assert_eq!(Name::of(None), Name::Herald);
    }

    #[test]
    fn examples_are_typed_as_the_name() {
        #[track_caller]
        fn check(examples: &str, expected: &str) {
            assert_eq!(Name::AckRamTool.typed(examples), expected);
        }
        check(
            "Examples:\n  herald list\n  herald token -i a",
            "Examples:\n  ack-ram-tool list\n  ack-ram-tool token -i a",
        );
        check("see `herald list`", "see `ack-ram-tool list`");
        check("  herald token | herald verify -t -", "  ack-ram-tool token | ack-ram-tool verify -t -");
        let files = " server --config herald.yaml --state-dir /var/herald -l k8s-app=herald";
        check(&format!("  herald{files}"), &format!("  ack-ram-tool{files}"));
        check("bash > /etc/bash_completion.d/herald", "bash > /etc/bash_completion.d/ack-ram-tool");
        check("zsh > ~/.zfunc/_herald", "zsh > ~/.zfunc/_ack-ram-tool");
        check("> ~/.config/fish/completions/herald.fish", "> ~/.config/fish/completions/ack-ram-tool.fish");
    }

    #[test]
    fn places_that_nobody_chose_are_the_names_own() {
        #[track_caller]
        fn check(name: Name, chosen: Option<&str>, state_dir: &str, kubeconfig: &str) {
            let mut config = server::Config::default();
            if let Some(folder) = chosen {
                config.state_dir = folder.into();
            }
            name.place(&mut config);
            let places = (config.state_dir.to_str(), config.generate_kubeconfig.to_str());
            assert_eq!(places, (Some(state_dir), Some(kubeconfig)));
        }
        let ours = "/etc/kubernetes/herald/kubeconfig.yaml";
        check(Name::Herald, None, "/var/herald", ours);
        let theirs = "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
        check(Name::AwsIamAuthenticator, None, "/var/aws-iam-authenticator", theirs);
        check(Name::AwsIamAuthenticator, Some("/state"), "/state", theirs);
        let heptio = "/etc/kubernetes/heptio-authenticator-aws/kubeconfig.yaml";
        check(Name::HeptioAuthenticatorAws, None, "/var/heptio-authenticator-aws", heptio);
        let ack = "/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml";
        check(Name::AckRamAuthenticator, None, "/var/ack-ram-authenticator", ack);
        check(Name::AckRamTool, None, "/var/ack-ram-authenticator", ack);
    }

    #[test]
    fn gates() {
        #[track_caller]
        fn check(gates: &[&str], expected: Option<bool>) {
            let gates: Result<Vec<FeatureGate>, _> = gates.iter().map(|text| text.parse()).collect();
            assert_eq!(gates.ok().map(|gates| FeatureGate::configured_init(&gates)), expected);
        }
        check(&[], Some(false));
        check(&["ConfiguredInitDirectories=true"], Some(true));
        check(&["AllAlpha=true"], Some(true));
        check(&["AllAlpha=true", "ConfiguredInitDirectories=False"], Some(false));
        check(&["ConfiguredInitDirectories=true", "ConfiguredInitDirectories=false"], Some(false));
        check(&["SSORoleMatch=true"], Some(false));
        check(&["RAMIdentityMappingCRD=true"], Some(false));
        check(&["SSORoleMatch"], None);
        check(&["SSORoleMatch=T"], Some(false));
        check(&["SSORoleMatch=1"], Some(false));
        check(&["SSORoleMatch=maybe"], None);
        check(&["AllAlpha=yes"], Some(true));
        check(&[""], Some(false));
        check(&["AllAlpha=true", ""], Some(true));
        check(&["Typo=true"], None);
    }

    #[test]
    fn options_of_other_tools_come_behind_their_commands() {
        #[track_caller]
        fn check(given: &str, expected: &str) {
            let ordered = in_order(given.split(' ').map(OsString::from).collect());
            assert_eq!(ordered.join(OsStr::new(" ")).to_str(), Some(expected));
        }
        check(
            "herald --region eu-west-1 eks get-token --cluster-name a",
            "herald eks get-token --region eu-west-1 --cluster-name a",
        );
        check("herald eks get-token --cluster-name a", "herald eks get-token --cluster-name a");
        check("herald token -i eks", "herald token -i eks");
        check(
            "ack-ram-tool --region-id cn-beijing credential-plugin get-token -c a",
            "ack-ram-tool credential-plugin get-token --region-id cn-beijing --cluster-id a",
        );
        check("ack-ram-tool get-kubeconfig -c a", "ack-ram-tool credential-plugin get-kubeconfig --cluster-id a");
        check(
            "ack-ram-tool --region-id r get-kubeconfig -c a",
            "ack-ram-tool credential-plugin get-kubeconfig --region-id r --cluster-id a",
        );
        check("ack-ram-tool -y get-kubeconfig -ca", "ack-ram-tool credential-plugin get-kubeconfig -y --cluster-id=a");
        check(
            "ack-ram-tool credential-plugin --region-id r get-token -c=a",
            "ack-ram-tool credential-plugin get-token --region-id r --cluster-id=a",
        );
        check(
            "ack-ram-tool --profile-name get-kubeconfig credential-plugin get-token -c a",
            "ack-ram-tool credential-plugin get-token --profile-name get-kubeconfig --cluster-id a",
        );
        check(
            "aws-iam-authenticator add --kubeconfig user --prompt=false role --rolearn a",
            "aws-iam-authenticator add role --kubeconfig user --prompt=false --rolearn a",
        );
        check(
            "aws-iam-authenticator --feature-gates AllAlpha=true add --prompt user --userarn a",
            "aws-iam-authenticator add user --feature-gates AllAlpha=true --prompt --userarn a",
        );
        check("herald -c add token -i role", "herald -c add token -i role");
        check("herald add --help", "herald add --help");
        check(
            "ack-ram-tool -v -y credential-plugin get-token -c a",
            "ack-ram-tool credential-plugin get-token --verbose -y --cluster-id a",
        );
        check(
            "ack-ram-tool -v=true -y=true credential-plugin get-token -c a",
            "ack-ram-tool credential-plugin get-token --verbose=true -y=true --cluster-id a",
        );
        check("herald credential-plugin get-token -v debug", "herald credential-plugin get-token -v debug");
        check("herald -c file token -i a", "herald -c file token -i a");
        check("herald", "herald");
    }
}
