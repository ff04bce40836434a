//! `bench figures`: every row of the table of goals, measured side by side, and whether it is met.
//!
//! Floors and Herald take turns within each repeat; a ratio is taken within its repeat, and the table
//! shows medians with the smallest and largest. CPU time for each login is the figure to trust on a busy
//! machine: rates and latencies also pay for the load generator and the dev STS, which share the CPUs.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::{
    binaries::Binaries,
    output,
    run::{self, Found, Plan},
    target::{Running, Target, config::MapKind},
    world::{self, World},
};

mod alibaba;
mod cache;
mod changes;
mod exec;
mod faults;
mod flap;
mod flood;
mod kubectl;
mod languages;
mod logins;
mod mappings;
mod policy;
mod process;
mod report;
mod row;
mod transport;

use report::Report;
use row::{Goal, Row};

/// How thoroughly, and where to write.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Two short repeats instead of five, floods of 3 s instead of 10, and a minute and a half of an STS that flaps instead of four:
    /// a third of an hour instead of one and three quarters, and wider spreads.
    #[arg(long)]
    quick: bool,
    /// Only these parts of the table.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Write the table, the machine and the date as Markdown to this file.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Measure `herald`, `floor` and `floor-token` in this folder instead of building them, with the components of policies
    /// (`session-groups.wasm`, `hostile.wasm`, …) that are there too.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Write every repeat's figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A part of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Distinct tokens, dev STS over HTTP/1.1.
    Logins,
    /// Distinct tokens, dev STS over HTTP/2.
    LoginsH2,
    /// One connection to the webhook, and HTTP/2.
    Transport,
    /// Distinct tokens of Alibaba Cloud beside those of AWS.
    Alibaba,
    /// Repeated tokens, and equal tokens at once.
    Cache,
    /// Large mapping tables.
    Mappings,
    /// A policy in the path, in shadow mode, and a hostile one that attackers alone reach.
    Policy,
    /// One decision of a policy, by the language that it is written in, and the size of its component.
    Languages,
    /// Good logins beside floods of junk.
    Flood,
    /// Memory after faults, unfriendly clients, floods, a clock that steps.
    Faults,
    /// Logins while STS flaps, and memory after it: three minutes as fast as they are answered, one at a fixed rate.
    Flap,
    /// Policies, their settings and tables, certificate and configuration change under load.
    Changes,
    /// The exec plugin's cold starts.
    Exec,
    /// Whole logins with kubectl, where there is one.
    Kubectl,
    /// Memory at rest, start-up, binary size.
    Process,
}

/// How long and how often things are run.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// Repeats of each load.
    repeats: usize,
    /// Counted time of each load.
    duration: Duration,
    /// Starts of each server after the first.
    starts: usize,
    /// Cold starts of each command.
    cold_starts: usize,
    /// How long a flood lasts.
    flood: Duration,
    /// How long a fault of STS lasts in which its answers come.
    fault: Duration,
    /// How long STS flaps beside logins that come as fast as they are answered.
    flapping: Duration,
}

/// Runs the subcommand.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = Binaries::find_or_build(arguments.binaries.as_deref())?;
    let scale = if arguments.quick { QUICK } else { THOROUGH };
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for part in arguments.parts() {
        output::progress(format_args!("--- {part:?}"));
        match part.measure(&binaries, scale).await {
            Ok(measured) => rows.extend(measured),
            // What was measured before, in an hour maybe, is not lost with it.
            Err(error) => {
                output::progress(format_args!("{} failed: {error:#}", part.name()));
                failed.push(part.name());
            }
        }
    }
    let report = Report::new(rows, arguments.made_by());
    output::line(report.table());
    if let Some(file) = &arguments.json {
        fs::write(file, serde_json::to_string_pretty(report.rows())?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    ensure!(failed.is_empty(), "without figures, for the reasons above: {}; no page is written", failed.join(", "));
    if let Some(file) = &arguments.markdown {
        fs::write(file, report.page()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

// === impl Arguments ===

impl Arguments {
    fn parts(&self) -> Vec<Part> {
        if self.only.is_empty() { Part::value_variants().to_vec() } else { self.only.clone() }
    }

    /// The command that makes such a page, and what it does.
    fn made_by(&self) -> String {
        let mut words = vec!["cargo figures".to_owned()];
        words.extend(self.quick.then(|| "--quick".to_owned()));
        if !self.only.is_empty() {
            words.push(format!("--only {}", self.only.iter().map(|part| part.name()).collect::<Vec<_>>().join(",")));
        }
        words.extend(self.binaries.as_ref().map(|folder| format!("--binaries {}", folder.display())));
        words.extend(self.markdown.as_ref().map(|file| format!("--markdown {}", file.display())));
        let what = if self.binaries.is_some() { "measures what was built before" } else { "builds what it measures" };
        format!("`{}`, which {what} and writes this page", words.join(" "))
    }
}

// === impl Part ===

impl Part {
    /// Its name on the command line.
    fn name(self) -> String {
        self.to_possible_value().expect("no part is hidden").get_name().to_owned()
    }

    async fn measure(self, binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Logins => logins::measure(binaries, scale, logins::Protocol::H1).await,
            Self::LoginsH2 => logins::measure(binaries, scale, logins::Protocol::H2).await,
            Self::Transport => transport::measure(binaries, scale).await,
            Self::Alibaba => alibaba::measure(binaries, scale).await,
            Self::Cache => cache::measure(binaries, scale).await,
            Self::Mappings => mappings::measure(binaries, scale).await,
            Self::Policy => policy::measure(binaries, scale).await,
            Self::Languages => languages::measure(binaries, scale),
            Self::Flood => flood::measure(binaries, scale).await,
            Self::Faults => faults::measure(binaries, scale).await,
            Self::Flap => flap::measure(binaries, scale).await,
            Self::Changes => changes::measure(binaries, scale).await,
            Self::Exec => exec::measure(binaries, scale),
            Self::Kubectl => kubectl::measure(binaries, scale).await,
            Self::Process => process::measure(binaries, scale).await,
        }
    }
}

/// A world for these targets, with ten role mappings.
async fn world(binaries: &Binaries, targets: &[Target], sts_h2: bool) -> anyhow::Result<World> {
    world_with(binaries, targets, sts_h2, (MapKind::Role, 10, 0)).await
}

/// A world for these targets, with a table of this kind and size, and tokens spread over so many roles.
async fn world_with(
    binaries: &Binaries,
    targets: &[Target],
    sts_h2: bool,
    (map_kind, entries, roles): (MapKind, u64, u64),
) -> anyhow::Result<World> {
    let arguments = world::Arguments {
        targets: targets.to_vec(),
        entries,
        map_kind,
        roles,
        server_cpus: Vec::new(),
        sts_h2,
        verify: false,
        binaries: None,
        json: None,
    };
    World::with_binaries(&arguments, binaries).await
}

/// What every run of one plan found: for each server, one entry a repeat.
type Series = Vec<Vec<Found>>;

/// Runs each plan on every server in turn, `repeats` times; gives a [`Series`] for each plan.
async fn interleaved(
    world: &World,
    servers: &[Running],
    plans: &[Plan],
    repeats: usize,
) -> anyhow::Result<Vec<Series>> {
    let mut found: Vec<Series> = vec![vec![Vec::new(); servers.len()]; plans.len()];
    for repeat in 0..repeats {
        for (plan, series) in plans.iter().zip(&mut found) {
            output::progress(format_args!(
                "repeat {repeat}: {} connections, STS {:?}",
                plan.connections, plan.sts.latency
            ));
            for turn in 0..servers.len() {
                let index = (turn + repeat) % servers.len();
                series[index].push(run::run(world, &servers[index], plan).await?);
            }
        }
    }
    Ok(found)
}

/// One figure of each repeat.
fn each(found: &[Found], figure: impl Fn(&Found) -> f64) -> Vec<f64> {
    found.iter().map(figure).collect()
}

/// What this machine was busy with besides, over all runs: the larger, the less absolute figures say.
fn others(series: &[Series], circumstances: &str) -> Row {
    let all = series.iter().flatten().flatten();
    let shares = all.map(|found| found.report.others_cpu_share * 100.0).collect();
    Row::alone(format!("CPU that other programs had, {circumstances}"), "%", shares, Goal::Information)
}

/// Answers that were not what the token's caller deserves, and requests without an answer.
fn mistakes(series: &[Series], server: usize) -> Vec<f64> {
    let verdicts = series.iter().flat_map(|series| &series[server]).map(|found| &found.report.verdicts);
    vec![verdicts.map(|verdicts| (verdicts.wrong() + verdicts.errors()) as f64).sum()]
}

const THOROUGH: Scale = Scale {
    repeats: 5,
    duration: Duration::from_millis(2500),
    starts: 10,
    cold_starts: 40,
    flood: Duration::from_secs(10),
    fault: Duration::from_secs(6),
    flapping: Duration::from_secs(180),
};
const QUICK: Scale = Scale {
    repeats: 2,
    duration: Duration::from_millis(1200),
    starts: 4,
    cold_starts: 15,
    flood: Duration::from_secs(3),
    fault: Duration::from_secs(2),
    flapping: Duration::from_secs(20),
};

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Whoever reads a page can make it again.
    #[test]
    fn a_page_says_by_what_it_was_made() {
        #[track_caller]
        fn check(words: &str, expected: &str) {
            let line = ["bench", "figures"].into_iter().chain(words.split_ascii_whitespace());
            let crate::Command::Figures(arguments) = crate::Arguments::parse_from(line).command else {
                panic!("another command")
            };
            let page = Report::new(Vec::new(), arguments.made_by()).page();
            assert!(page.contains(&format!("\nMade by {expected}.\n")), "{words}: {page}");
        }
        check(
            "--markdown BENCHMARKS.md",
            "`cargo figures --markdown BENCHMARKS.md`, which builds what it measures and writes this page",
        );
        check(
            "--markdown x.md --quick --only logins-h2,faults",
            "`cargo figures --quick --only logins-h2,faults --markdown x.md`, which builds what it measures and writes this page",
        );
        check(
            "--binaries target/release --markdown x.md",
            "`cargo figures --binaries target/release --markdown x.md`, which measures what was built before and writes this page",
        );
    }
}
