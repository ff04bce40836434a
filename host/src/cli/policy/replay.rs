//! `herald policy replay`: who would be let in otherwise by a new configuration, of those who came.
//!
//! An audit log says who asked. Each caller is taken as his cloud vouched for him, at the time of his login, through the whole chain
//! of the configuration at hand; tables and mappings, in files or in a cluster, are read as they are now. Failure rule: what cannot
//! be asked here is not comparable, and never the same.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use futures_util::future::{BoxFuture, ready};
use serde_json::Value;

use self::{
    answer::{Answer, Denied},
    report::Report,
};
use crate::{
    authenticator::{Authenticator, Decision},
    cli::{
        Globals,
        cluster::{self, Cluster},
        explain::{self, record},
    },
    config::Config,
    mapping::{self, Stage, StageError, node::NoNode, policy_stage::PREFIX},
    policy::{Request, cloud::Fact},
};

mod answer;
mod report;

/// Say who would be let in otherwise by a new configuration, of those in an audit log.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Command {
    /// The audit log, with other lines of the server in it or without; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    audit_log: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Which cluster has the live mappings and tables.
    #[command(flatten)]
    cluster: Cluster,
}

const AFTER_HELP: &str = "\
The configuration is that of --config, with its policies, settings, tables, mappings and ceilings. Each caller for whom a cloud
had vouched is decided about again, at the time of his login; no service of a cloud is asked. Where the answer is another one,
`expected` is what the log has and `found` what the configuration gives; groups are `missing` or `unexpected`. Who was refused
and still would be is the same whatever the reason, unless a policy fails now. No log has when a token was signed: it counts as a
minute old. What cannot be asked here is not comparable: mappings and tables of a cluster that is not given, facts of EC2 and
IAM, callers whom `scrubbedAccounts` has hidden.

Exit codes: 0 nothing differs, 1 something does or nothing could be compared, 78 the configuration is wrong.

Examples:
  herald policy replay --config new.yaml --audit-log /var/log/herald/audit.log
  herald policy replay --config new.yaml --audit-log -    behind `kubectl -n kube-system logs -l k8s-app=herald --tail=-1 |`
  herald policy replay --config new.yaml --audit-log herald.log --context prod
  herald policy replay --config new.yaml --audit-log herald.log --json | jq '.differences[].caller'";

/// What stands for "read it from stdin".
const STDIN: &str = "-";

/// What came of one recorded decision.
enum Fate {
    Different {
        /// The role or user, as mappings name him.
        caller: String,
        /// How, an indented line for each thing.
        difference: String,
        was: Value,
        now: Value,
    },
    /// No cloud had vouched for a caller.
    LeftOut,
    /// Why it cannot be asked here.
    NotComparable(String),
    Same,
}

/// The pipeline of a configuration, in which nothing is asked that is not at hand.
pub struct Replayer<'a> {
    config: &'a Config,
    authenticator: Authenticator,
    /// The stages that cannot be asked, and why.
    unasked: BTreeMap<String, String>,
}

/// In the place of a stage that cannot be asked: decides about nobody.
struct Unasked(String);

// === impl Command ===

impl Command {
    /// Asks again, and prints what differs. Exit code 1 if something does, or nothing could be compared.
    ///
    /// # Errors
    ///
    /// When the configuration does not build, or the log cannot be read.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        ensure!(globals.config.is_some(), "by which configuration? Give --config");
        let mut config = globals.load()?;
        if self.cluster.is_named() {
            config.kubernetes = self.cluster.access();
        }
        let cannot = || format!("cannot read {}", self.audit_log.display());
        let log: Box<dyn BufRead> = if self.audit_log == Path::new(STDIN) {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(&self.audit_log).with_context(cannot)?))
        };
        let report = cluster::run(async {
            let replayer = Replayer::new(&config).await?;
            replayer.replay(log).await.with_context(cannot)
        })?;
        if self.json {
            writeln!(out, "{:#}", report.json())?;
        } else {
            report.write(out)?;
        }
        Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

// === impl Replayer ===

impl<'a> Replayer<'a> {
    /// The pipeline of `config`, which reads nothing of a cluster, for more than one log.
    ///
    /// # Errors
    ///
    /// When the configuration does not build.
    pub fn of(config: &'a Config) -> anyhow::Result<Self> {
        cluster::run(Self::new(config))
    }

    /// What came of the decisions in `log`: the report for people, and the same for programs.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn told(&self, log: impl BufRead) -> anyhow::Result<(String, Value)> {
        let report = cluster::run(async { Ok(self.replay(log).await?) })?;
        let mut text = Vec::new();
        report.write(&mut text)?;
        Ok((String::from_utf8(text)?, report.json()))
    }

    async fn new(config: &'a Config) -> anyhow::Result<Self> {
        let mut authenticator = explain::build(config, false).await?;
        let chain = &mut authenticator.chain;
        // What is tried beside the chain decides nothing.
        chain.shadows.clear();
        let mut unasked = BTreeMap::new();
        for link in chain.map.iter_mut().chain(&mut chain.augment).chain(&mut chain.guards) {
            let Some(why) = missing(link.stage.as_ref(), config) else { continue };
            let name = link.stage.name().to_owned();
            link.stage = Box::new(Unasked(name.clone()));
            unasked.insert(name, why);
        }
        Ok(Self { config, authenticator, unasked })
    }

    async fn replay(&self, log: impl BufRead) -> io::Result<Report> {
        let mut report = Report::default();
        for line in record::lines(log) {
            if let Some(record) = record::decision(&line?) {
                report.add(&record, self.ask(&record).await);
            }
        }
        Ok(report)
    }

    async fn ask(&self, record: &Value) -> Fate {
        let not_comparable = |why: &str| Fate::NotComparable(why.to_owned());
        if record["truncated"] == true {
            return not_comparable("the line was too long for the audit log, which has a part of it");
        }
        if record["caller"].is_null() {
            let is_hidden = record["verifiedBy"].is_string();
            return if is_hidden { not_comparable("`scrubbedAccounts` has hidden the caller") } else { Fate::LeftOut };
        }
        if record["class"] == "unavailable" || record["class"] == "throttled" {
            return not_comparable("the server could not decide then, and was asked again");
        }
        let at = record["time"].as_str().and_then(|time| humantime::parse_rfc3339(time).ok());
        let caller = at.and_then(|at| record::caller(record, at).map(Arc::new));
        let was = caller.as_ref().and_then(|caller| Answer::recorded(record, caller));
        let (Some(at), Some(caller), Some(was)) = (at, caller, was) else {
            return not_comparable("the line does not say who came when, or as whom he was let in");
        };
        let now = if self.config.accepted_partitions().contains(&caller.partition.as_str()) {
            let decision = self.authenticator.decide_unproven(Arc::clone(&caller), at).await;
            if let Some(why) = self.unasked_in(&decision) {
                return Fate::NotComparable(why);
            }
            Answer::of(&decision, &caller)
        } else {
            Answer::Denied(Denied::of_partition(&caller.partition))
        };
        match was.difference(&now) {
            None => Fate::Same,
            Some(difference) => {
                let caller = caller.canonical_arn.clone();
                Fate::Different { caller, difference, was: was.json(), now: now.json() }
            }
        }
    }

    /// What `decision` would have needed and could not ask, whatever came of that.
    fn unasked_in(&self, decision: &Decision) -> Option<String> {
        let no_node = NoNode::not_asked();
        decision.stages.iter().find_map(|record| {
            let why = match self.unasked.get(&record.stage) {
                Some(why) => why.as_str(),
                None if record.verdict == no_node.reason => no_node.message.as_str(),
                None => return None,
            };
            Some(format!("{}: {why}", record.stage))
        })
    }
}

/// Why `stage` cannot be asked here; `None` if it can.
fn missing(stage: &dyn Stage, config: &Config) -> Option<String> {
    let name = stage.name().strip_prefix(PREFIX);
    let policy = config.policies.iter().find(|policy| Some(policy.name.as_str()) == name);
    let granted = policy.map(|policy| &policy.cloud[..]).filter(|facts| !facts.is_empty());
    stage
        .missing()
        .or_else(|| granted.map(|facts| format!("no cloud is asked here, and it has `{}`", Fact::grant(facts))))
}

// === impl Unasked ===

impl Stage for Unasked {
    fn name(&self) -> &str {
        &self.0
    }

    fn decide<'a>(&'a self, _: &'a Request<'a>) -> BoxFuture<'a, mapping::Answer> {
        Box::pin(ready(mapping::Answer::plain(Err(StageError::NotReady))))
    }
}

#[cfg(test)]
mod tests;
