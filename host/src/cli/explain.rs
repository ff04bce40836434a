//! `herald explain`: why somebody is let in or is not, with what is nearly right and how to make it so.
//!
//! The decision is the server's: the same configuration builds the same pipeline. This command only reads its record,
//! which is also what the audit log holds.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::ensure;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Globals,
    cluster::{self, Cluster},
    policy,
    verify::{self, Output, Token},
};
use crate::{
    authenticator::Authenticator,
    caller::{Arn, Caller, PrincipalKind, arn::ACS_PARTITION, made_up},
    config::{CheckedFile, Config, LeftOut, Source},
    mapping::{Rules, bootstrap_admins, mounted_file, near::NearMiss},
    provider::{Cloud, aws::Partition},
    token::BearerToken,
};

mod advice;
mod live;
pub(super) mod record;
mod text;
mod token;

use token::Step;

/// Say why a caller is let in, or is not: each check, each stage, and what nearly matches.
///
/// Sources in a cluster have five seconds to be read, and what RBAC has for the user, or entries that nearly match, have ten;
/// what is not there in time is told, and the rest is said without it.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[command(group(clap::ArgGroup::new("about").required(true).args(["token", "arn", "decision"])))]
pub struct Command {
    /// A token; `-` reads it from stdin, so that it need not stand in the list of processes.
    #[arg(short, long, value_name = "TOKEN")]
    pub token: Option<Token>,
    /// What if this were the caller? An ARN as STS returns it, or as mappings name it.
    #[arg(long, value_name = "ARN")]
    pub arn: Option<Arn>,
    /// A decision by its id, as the API server's log and `kubectl auth whoami` show it.
    #[arg(long, value_name = "ID", requires = "audit_log")]
    pub decision: Option<Uuid>,
    /// The audit log that the decision is in.
    #[arg(long, value_name = "FILE", requires = "decision")]
    pub audit_log: Option<PathBuf>,
    /// Do not ask STS: only look at what the token itself tells.
    #[arg(long, conflicts_with_all = ["arn", "decision", "rbac"])]
    pub offline: bool,
    /// Ask EC2 for the name of the node that a caller is, where an entry needs it.
    #[arg(long, conflicts_with_all = ["offline", "decision"])]
    pub ec2: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// AWS partition of the token [default: the configuration's, else aws].
    #[arg(long, value_name = "PARTITION")]
    pub partition: Option<Partition>,
    /// Ask the cluster which bindings of RBAC name the user or its groups. Any option that names a cluster means this
    /// as well, and that live sources are read there.
    #[arg(long)]
    pub rbac: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
}

/// Everything there is to say.
#[derive(Debug, Default)]
struct Explanation {
    /// What the token was checked for.
    token: Vec<Step>,
    /// The decision as the audit log has it; none if there is none.
    record: Option<Value>,
    /// Nobody proved to be this caller.
    made_up: bool,
    /// The line of the configuration's entry by which it was decided; none if it was decided otherwise.
    entry: Option<u32>,
    /// The configuration at hand is not the one that decided.
    other_configuration: bool,
    /// Why nobody can tell whether it is.
    unchecked: Option<String>,
    /// What keeps entries that are nearly right from naming the caller.
    near: Vec<Near>,
    /// What could not be looked through for them, and why.
    unread: Vec<String>,
    /// What to do about a denial.
    fix: Option<String>,
    /// What RBAC has for the user; none if nobody asked.
    rbac: Option<live::Rbac>,
}

/// An entry that nearly names the caller.
#[derive(Debug, serde::Serialize)]
struct Near {
    /// The object of the cluster, or the file of DynamicFile, that it stands in; none for the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    line: u32,
    difference: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// The session of a role that is given without one.
const SESSION: &str = "session";
/// The reason of a denial because a source could not be read.
const NOT_READY: &str = "source_not_ready";
const AFTER_HELP: &str = "\
Exit codes:
  0  let in (with --offline: the token is well made)
  1  not let in, or not known
  2  the command line is wrong
  78 the configuration is wrong: see `herald check-config`

Examples:
  herald token -i my-cluster --token-only | herald explain --config herald.yaml -t -
  herald explain --config herald.yaml --arn arn:aws:sts::123456789012:assumed-role/Admin/alice
  herald explain --config herald.yaml --arn ARN --rbac
  herald explain --config herald.yaml --decision 019f… --audit-log /var/log/herald/audit.log
  herald explain -i my-cluster --offline -t - < token";

// === impl Command ===

impl Command {
    /// Explains, and writes it to `out`.
    ///
    /// # Errors
    ///
    /// When there is nothing to explain: no such decision, a configuration that does not build. A caller who is not
    /// let in is no error, but the exit code says so.
    pub fn run(
        &self,
        globals: &Globals,
        stdin: impl Read,
        now: SystemTime,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let file = globals.config.as_deref();
        let (mut config, unchecked) = self.configuration(globals)?;
        config.partition = self.partition.or(config.client.partition).unwrap_or(config.partition);
        if self.cluster.is_named() {
            config.kubernetes = self.cluster.access();
        }
        if file.is_none() {
            config.providers.get_or_insert_with(|| Cloud::ALL.to_vec());
        }
        let mut explanation = match (&self.token, &self.arn, self.decision, &self.audit_log) {
            (Some(token), ..) => {
                let token = token.read(stdin)?;
                self.explain_token(&config, file, &token, now)?
            }
            (_, Some(arn), ..) => self.explain_arn(&config, file, arn, now)?,
            (_, _, Some(id), Some(log)) => {
                let record = record::find(log, id)?;
                Explanation { unchecked, ..Explanation::of(record, &config, file, now) }
            }
            _ => anyhow::bail!("nothing to explain"),
        };
        if !self.offline {
            self.ask_cluster(&config, &mut explanation, now)?;
        }
        match self.output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, &explanation.json())?;
                writeln!(out)?;
            }
            Output::Text => text::write(&explanation, out)?,
        }
        Ok(if explanation.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The configuration, and what keeps it from being compared with the one that decided. A record says most by itself, and
    /// a token what it is for: neither needs the policies that the server has, and a workstation has not.
    fn configuration(&self, globals: &Globals) -> anyhow::Result<(Config, Option<String>)> {
        if self.offline {
            return Ok((globals.read()?, None));
        }
        match globals.load() {
            Err(error) if self.decision.is_some() => Ok((globals.read()?, Some(super::line(&error)))),
            loaded => Ok((loaded?, None)),
        }
    }

    fn explain_token(
        &self,
        config: &Config,
        file: Option<&Path>,
        token: &BearerToken,
        now: SystemTime,
    ) -> anyhow::Result<Explanation> {
        super::cluster_id(config)?;
        let mut asked = config.clone();
        if self.offline {
            // What names callers is not asked, and no STS has to be trusted.
            asked.sources.clear();
            asked.policies.clear();
            for endpoint in &mut asked.sts.endpoints {
                endpoint.ca_file = endpoint.ca_file.take().filter(|file| file.exists());
            }
        }
        let (mut steps, inspected, decision) = cluster::run(async {
            let authenticator = build(&asked, self.ec2).await?;
            let (steps, inspected) = token::steps(&authenticator, token, now);
            let decision = if self.offline { None } else { Some(authenticator.decide(token, now).await) };
            Ok((steps, inspected, decision))
        })?;
        let mut explanation = Explanation::default();
        if let Some(decision) = decision {
            steps.push(token::sts(&decision, inspected.is_ok()));
            explanation = self.explain_own(serde_json::to_value(&decision)?, config, file, now);
            if file.is_none() && decision.verified_by.is_some() {
                explanation.record = explanation.record.map(record::caller_alone);
                explanation.near.clear();
                explanation.fix = Some(advice::NOT_KNOWN.to_owned());
            }
        }
        if let Err(error) = &inspected {
            explanation.fix = advice::for_reason(error.reason(), config);
        }
        explanation.token = steps;
        Ok(explanation)
    }

    fn explain_arn(
        &self,
        config: &Config,
        file: Option<&Path>,
        arn: &Arn,
        now: SystemTime,
    ) -> anyhow::Result<Explanation> {
        ensure!(file.is_some(), "by which configuration? Give --config");
        let (partition, accepted) = (arn.partition(), config.accepted_partitions());
        ensure!(
            accepted.contains(&partition),
            "{arn} is never let in: it is of partition {partition}, and tokens are accepted from {}",
            accepted.join(", ")
        );
        let mut config = config.clone();
        if config.cluster_id.is_none() {
            // No token is looked at, so that any id does.
            config.cluster_id = Some("none".parse()?);
        }
        let caller = Arc::new(made_up::caller(&as_sts_says(arn), now));
        let decision = cluster::run(async { Ok(build(&config, self.ec2).await?.decide_unproven(caller, now).await) })?;
        let record = record::without_what_is_made_up(serde_json::to_value(&decision)?);
        Ok(Explanation { made_up: true, ..self.explain_own(record, &config, file, now) })
    }

    /// What there is to say about a decision that was made here: no server's log says what kept a source from being read.
    fn explain_own(&self, record: Value, config: &Config, file: Option<&Path>, now: SystemTime) -> Explanation {
        let reason = record["reason"].as_str().unwrap_or_default();
        let unread = record["stages"].as_array().into_iter().flatten().find(|stage| stage["verdict"] == reason);
        let source = unread.filter(|_| reason == NOT_READY).and_then(|stage| stage["stage"].as_str());
        let advice = source.map(|source| advice::for_unread(source, self.cluster.is_named()));
        let explanation = Explanation::of(record, config, file, now);
        Explanation { fix: advice.or(explanation.fix), ..explanation }
    }
}

/// The pipeline of `config`, its sources read once. What they say later is nothing to one decision.
pub(super) async fn build(config: &Config, with_ec2: bool) -> anyhow::Result<Authenticator> {
    let shared = policy::shared(config)?;
    let mut authenticator = config.build(&shared)?;
    if !with_ec2 {
        authenticator.chain.nodes = None;
    }
    verify::read_sources(&shared).await;
    Ok(authenticator)
}

/// STS never names a role, but a session of it, and without its path.
fn as_sts_says(arn: &Arn) -> Arn {
    let head = match arn.partition() {
        ACS_PARTITION => "acs:ram".to_owned(),
        partition => format!("arn:{partition}:sts"),
    };
    let session = format!("{head}::{}:assumed-role/{}/{SESSION}", arn.account_id(), arn.name());
    match arn.kind() {
        PrincipalKind::Role => session.parse().unwrap_or_else(|_| arn.clone()),
        _ => arn.clone(),
    }
}

// === impl Explanation ===

impl Explanation {
    /// What `config`, read from `file`, has to say `now` about a recorded decision.
    fn of(record: Value, config: &Config, file: Option<&Path>, now: SystemTime) -> Self {
        let reason = record["reason"].as_str().unwrap_or_default().to_owned();
        let mut explanation = Self { fix: advice::for_reason(&reason, config), ..Self::default() };
        if let (Some(caller), Some(file)) = (caller_of(&record), file) {
            let at = record["time"].as_str().and_then(|time| humantime::parse_rfc3339(time).ok()).unwrap_or(now);
            explanation.entry = entry(&record, config, &caller, at);
            if reason == "not_mapped" {
                explanation.look_for_near(config, file, &caller, now);
            }
        }
        let decided_by = record["generation"].as_str();
        // It is known only where all its files are.
        let is_known = !config.generation.is_empty();
        explanation.other_configuration = is_known && decided_by.is_some_and(|by| by != config.generation);
        explanation.record = Some(record);
        explanation
    }

    /// Entries that nearly name `caller`: of each place those that are left out first, as their fix is the nearest.
    fn look_for_near(&mut self, config: &Config, file: &Path, caller: &Caller, now: SystemTime) {
        self.near = near_in_configuration(config, file, caller, now);
        if let Some(path) = config.dynamic_file.as_ref().filter(|_| config.sources.contains(&Source::DynamicFile)) {
            // One that is not there maps nobody.
            let read = || CheckedFile::read_dynamic_file(path, config.dynamic_file_strict);
            let read = path.exists().then(read).unwrap_or_default();
            self.look_through(&path.display().to_string(), &read, caller, now);
        }
        self.advise_unmapped(caller);
    }

    /// What helps a caller whom nothing names, as far as everything could be looked through.
    fn advise_unmapped(&mut self, caller: &Caller) {
        self.fix = match () {
            () if !self.near.is_empty() => None,
            () if !self.unread.is_empty() => Some(advice::UNREAD.to_owned()),
            () => Some(advice::for_unmapped(caller)),
        };
    }

    /// The same in what `name` holds, as far as it can be read.
    fn look_through(&mut self, name: &str, read: &CheckedFile, caller: &Caller, now: SystemTime) {
        self.near.extend(near_in_file(name, read, caller, now));
        self.unread.extend(read.unread_parts().map(|why| format!("{name}: {why}")));
    }

    fn is_good(&self) -> bool {
        let token = self.token.iter().all(Step::is_good);
        token && self.record.as_ref().is_none_or(|record| record["outcome"] == "allowed")
    }

    fn json(&self) -> Value {
        let mut json = self.record.clone().unwrap_or_else(|| serde_json::json!({}));
        let mut set = |key: &str, value: Value| {
            if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
                json[key] = value;
            }
        };
        set("token", serde_json::json!(self.token));
        set("madeUp", if self.made_up { true.into() } else { Value::Null });
        set("otherConfiguration", if self.other_configuration { true.into() } else { Value::Null });
        set("notChecked", serde_json::json!(self.unchecked));
        set("entry", serde_json::json!(self.entry));
        set("nearMisses", serde_json::json!(self.near));
        set("notRead", serde_json::json!(self.unread));
        set("fix", serde_json::json!(self.fix));
        set("rbac", serde_json::json!(self.rbac));
        json
    }
}

/// The caller of a recorded decision. Entries tell callers apart by their ARN and unique id, and when one was made is nothing to
/// them.
fn caller_of(record: &Value) -> Option<Caller> {
    record::caller(record, SystemTime::UNIX_EPOCH + Duration::from_secs(60))
}

/// The line of the entry in `config` by which a recorded decision was made, if that was made by one.
fn entry(record: &Value, config: &Config, caller: &Caller, at: SystemTime) -> Option<u32> {
    let stages = record["stages"].as_array()?.iter().filter(|stage| stage["verdict"] != "abstain");
    let mut asked = stages.filter_map(|stage| match stage["stage"].as_str()? {
        bootstrap_admins::NAME => Some(&config.bootstrap_admins),
        mounted_file::NAME => Some(&config.rules),
        _ => None,
    });
    asked.find_map(|rules| rules.find(caller, at)).map(|rule| rule.line)
}

fn near_in_configuration(config: &Config, file: &Path, caller: &Caller, now: SystemTime) -> Vec<Near> {
    if !config.sources.contains(&Source::MountedFile) {
        let unasked = config.rules.find(caller, now).map(|rule| Near {
            object: None,
            line: rule.line,
            difference: "not_asked",
            message: "names this caller, and is not asked".to_owned(),
            fix: Some("put MountedFile into `backendMode`".to_owned()),
        });
        let admins = near_in(None, std::iter::empty(), [&config.bootstrap_admins], caller, now);
        return unasked.into_iter().chain(admins).collect();
    }
    let parts = CheckedFile::read_for(config.usual_cloud, file).parts;
    let left_out = parts.iter().flat_map(|part| &part.left_out);
    near_in(None, left_out, [&config.bootstrap_admins, &config.rules], caller, now)
}

/// The same of what `name` holds.
fn near_in_file(name: &str, file: &CheckedFile, caller: &Caller, now: SystemTime) -> Vec<Near> {
    let left_out = file.parts.iter().flat_map(|part| &part.left_out);
    let rules = file.parts.iter().map(|part| &part.config.rules);
    near_in(Some(name), left_out, rules, caller, now)
}

/// The same of one place, which is called `object` or is the configuration.
fn near_in<'a>(
    object: Option<&str>,
    left_out: impl Iterator<Item = &'a LeftOut>,
    rules: impl IntoIterator<Item = &'a Arc<Rules>>,
    caller: &Caller,
    now: SystemTime,
) -> Vec<Near> {
    let object = object.map(str::to_owned);
    let left_out = left_out.filter(|entry| entry.names(caller)).map(|entry| Near {
        object: object.clone(),
        line: entry.at.line,
        difference: "left_out",
        message: format!("names this caller and is left out: {}", entry.why),
        fix: None,
    });
    let miss = |miss: NearMiss| Near {
        object: object.clone(),
        line: miss.line,
        difference: miss.difference.label(),
        message: miss.difference.words().to_owned(),
        fix: Some(miss.fix),
    };
    let misses = rules.into_iter().flat_map(|rules| match rules.find(caller, now) {
        // An old decision, and somebody has mended it since.
        Some(rule) => vec![Near {
            object: object.clone(),
            line: rule.line,
            difference: "since",
            message: "names this caller now, and did not when this was decided".to_owned(),
            fix: Some("log in again, where this is in force".to_owned()),
        }],
        None => rules.near_misses(caller).into_iter().map(miss).collect(),
    });
    left_out.chain(misses).collect()
}

#[cfg(test)]
mod tests;
