//! Changes under load: a policy, a configuration and a certificate change while people log in, and nobody notices.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{
    Row, Scale,
    row::Goal::{AtLeast, AtMost, Information},
};
use crate::{
    binaries::Binaries,
    load::{Load, Protocol},
    output,
    run::{self, Plan},
    target::{
        Place, Running, Target,
        config::{self, CLUSTER_ID, Mappings, Policies},
    },
    traffic::Cloud,
    world::World,
};

/// What changes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Certificate,
    Configuration,
    Policy,
}

/// Changes each of them under load, one after another.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::HeraldPolicy], false).await?;
    let servers = world.start_all().await?;
    let [herald] = &servers[..] else { anyhow::bail!("one server was asked for") };
    let mut rows = Vec::new();
    for change in [Change::Policy, Change::Certificate, Change::Configuration] {
        let (failed, answered, times) = under_load(&world, herald, change, scale).await?;
        let name = change.name();
        let changes = times.len();
        rows.push(Row::alone(format!("failed logins while {name} changes"), "", vec![failed], AtMost(0.0)));
        rows.push(Row::alone(format!("logins meanwhile, {name}"), "", vec![answered], AtLeast(1.0)));
        rows.push(Row::alone(
            format!("changes in force meanwhile, {name}"),
            "",
            vec![changes as f64],
            AtLeast(CHANGES as f64),
        ));
        // Of certificates nothing is promised but that nobody notices.
        let goal = if let Change::Certificate = change { Information } else { AtMost(1.0) };
        rows.push(Row::alone(format!("until it is in force, {name}"), "s", times, goal));
    }
    for server in servers {
        server.stop().await;
    }
    Ok(rows)
}

/// Failed logins, all logins, and of each change that was in force before the load ended the seconds that it took.
async fn under_load(
    world: &World,
    herald: &Running,
    change: Change,
    scale: Scale,
) -> anyhow::Result<(f64, f64, Vec<f64>)> {
    output::progress(format_args!("{} changes", change.name()));
    let length = scale.duration + Duration::from_secs(3) * CHANGES as u32;
    let kept = Plan { duration: length, ..Plan::distinct(8, Duration::ZERO, length) }.repeated(TOKENS);
    let anew = Plan { protocol: Protocol::New, connections: 2, ..kept.clone() };
    let loads = [Load::start(run::spec(world, herald, &kept)?), Load::start(run::spec(world, herald, &anew)?)];
    sleep(kept.warm_up).await;
    let [kept, anew] = loads;
    let place = &world.site(herald.target)?.place;
    let (kept, anew, times) =
        tokio::join!(kept.measure(length), anew.measure(length), change.make_all(place, herald, length));
    let (mut failed, mut answered) = (0, 0);
    for report in [kept, anew] {
        failed += report.verdicts.errors() + report.verdicts.wrong();
        answered += report.done;
    }
    Ok((failed as f64, answered as f64, times?))
}

// === impl Change ===

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Certificate => "the certificate",
            Self::Configuration => "the configuration",
            Self::Policy => "a policy",
        }
    }

    /// What the process log says once it is in force.
    fn told(self) -> &'static str {
        match self {
            Self::Certificate => "certificate: another one is in force",
            Self::Configuration | Self::Policy => "msg=\"configuration loaded\"",
        }
    }

    /// Makes the changes one after another; gives the seconds that each took of those that were in force within `length`.
    async fn make_all(self, place: &Place, herald: &Running, length: Duration) -> anyhow::Result<Vec<f64>> {
        let mut times = Vec::new();
        let end = Instant::now() + length;
        let log = || fs::read_to_string(place.dir.join("log")).unwrap_or_default().matches(self.told()).count();
        for nth in 1..=CHANGES {
            let (before, began) = (log(), Instant::now());
            self.make(place, herald, nth).await?;
            while log() == before {
                if Instant::now() >= end {
                    return Ok(times);
                }
                sleep(Duration::from_millis(20)).await;
            }
            times.push(began.elapsed().as_secs_f64());
        }
        Ok(times)
    }

    async fn make(self, place: &Place, herald: &Running, nth: usize) -> anyhow::Result<()> {
        match self {
            Self::Certificate => rotate(place, herald).await,
            Self::Configuration => {
                let entries = place.mappings.entries + nth as u64;
                let mappings = Mappings { entries, ..place.mappings };
                let audit = place.dir.join("audit/audit.jsonl");
                let policy = Policies::One(&place.policy);
                replace(
                    &place.dir.join("config.yaml"),
                    config::herald(Cloud::Aws, &mappings, policy, &audit).as_bytes(),
                )
            }
            Self::Policy => {
                // The same policy with one more custom section at its end: another file, and so another generation.
                let component = [&fs::read(&place.policy)?[..], &[0, 2, 1, b'x']].concat();
                replace(&place.policy, &component)
            }
        }
    }
}

/// `herald init --rotate` beside the server.
async fn rotate(place: &Place, herald: &Running) -> anyhow::Result<()> {
    let file = |name: &str| place.dir.join(name).display().to_string();
    fs::write(file("init.yaml"), format!("clusterID: {CLUSTER_ID}\nserver: {{port: {}}}\n", herald.address.port()))?;
    let mut command = Command::new(&place.binary);
    command.args(["init", "--rotate", "--config", &file("init.yaml"), "--state-dir", &file("state")]);
    command.args(["--generate-kubeconfig", &file("webhook.kubeconfig")]).env_clear();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().await.context("herald init")?;
    ensure!(status.success(), "herald init --rotate: {status}");
    Ok(())
}

/// A new file in the place of the old one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    Ok(fs::rename(new, path)?)
}

const CHANGES: usize = 3;
/// Few enough that most logins meet the policy and the mappings and not STS.
const TOKENS: usize = 2_000;
