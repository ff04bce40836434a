//! Changes under load: policies, their settings and tables, a configuration and a certificate change while people log
//! in, and nobody notices.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    process::Command,
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Row, Scale,
    row::Goal::{AtLeast, AtLeastFloor, AtMost, Information},
};
use crate::{
    binaries::Binaries,
    load::{Load, Protocol, Report, Spec, client},
    output,
    run::{self, Plan},
    target::{
        LOADED, Place, Running, Target,
        config::{self, CLUSTER_ID, Mappings, Policies},
        replace,
    },
    tls::Trust,
    world::World,
};

/// What changes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Certificate,
    Configuration,
    Policy,
    Rules,
    Settings,
    Table,
}

/// What was found out about one of them.
struct Changed {
    /// Logins that failed.
    failed: f64,
    /// Logins a second before the first change.
    before: f64,
    /// Logins a second from then on.
    meanwhile: f64,
    /// Seconds that each change took, of those that were in force in time.
    times: Vec<f64>,
}

/// Changes each of them under load, one after another.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &CHANGES_OF.map(|(target, _)| target), false).await?;
    let mut rows = Vec::new();
    for (target, changes) in CHANGES_OF {
        let herald = target.start(&world.site(target)?.place).await?;
        for change in changes {
            rows.extend(change.rows(change.under_load(&world, &herald, scale).await?));
        }
        herald.stop().await;
    }
    Ok(rows)
}

// === impl Change ===

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Certificate => "the certificate",
            Self::Configuration => "the configuration",
            Self::Policy => "a policy",
            Self::Rules => "the rules of `expression`, beside 1,000 logins a second",
            Self::Settings => "a policy's settings",
            Self::Table => "a policy's table",
        }
    }

    /// What the process log says once it is in force.
    fn told(self) -> &'static str {
        match self {
            Self::Certificate => "certificate: another one is in force",
            _ => LOADED,
        }
    }

    /// Logins a second; `None`: as many as are answered. That would leave nothing to a compilation, whose priority is the
    /// lowest.
    fn rate(self) -> Option<f64> {
        matches!(self, Self::Rules).then_some(1_000.0)
    }

    fn rows(self, Changed { failed, before, meanwhile, times }: Changed) -> [Row; 4] {
        let (name, changes) = (self.name(), times.len() as f64);
        let logins = self.rate().map_or(AtLeastFloor(LEFT), |rate| AtLeast(ASKED_FOR * (rate + rate / FEWER_ANEW)));
        // Of certificates nothing is promised but that nobody notices.
        let goal = if let Self::Certificate = self { Information } else { AtMost(1.0) };
        [
            Row::alone(format!("failed logins while {name} changes"), "", vec![failed], AtMost(0.0)),
            Row::pair(
                format!("logins meanwhile, {name} (floor: before the first change)"),
                "1/s",
                vec![before],
                vec![meanwhile],
                logins,
            ),
            Row::alone(format!("changes in force meanwhile, {name}"), "", vec![changes], AtLeast(CHANGES as f64)),
            Row::alone(format!("until it is in force, {name}"), "s", times, goal),
        ]
    }

    /// Makes the changes while people log in on connections that are kept, and on new ones; all trust what an API server
    /// does.
    async fn under_load(self, world: &World, herald: &Running, scale: Scale) -> anyhow::Result<Changed> {
        output::progress(format_args!("{} changes", self.name()));
        let place = &world.site(herald.target)?.place;
        let trust = Trust::of_kubeconfig(&place.kubeconfig())?;
        let kept = Plan { rate: self.rate(), ..Plan::distinct(8, Duration::ZERO, scale.duration) }.repeated(TOKENS);
        let rate = self.rate().map(|rate| rate / FEWER_ANEW);
        let anew = Plan { protocol: Protocol::New, connections: 2, rate, ..kept.clone() };
        let start = |plan: &Plan| {
            let spec = run::spec(world, herald, plan)?;
            anyhow::Ok(Load::start(Spec { trust: trust.clone(), ..spec }))
        };
        let loads = (start(&kept)?, start(&anew)?);
        sleep(kept.warm_up).await;
        let (kept_before, anew_before) = tokio::join!(loads.0.measure(scale.duration), loads.1.measure(scale.duration));
        let before = logins_per_second(&[kept_before, anew_before]);
        ensure!(before > 0.0, "nobody could log in before the first change");

        let loads = (start(&kept)?, start(&anew)?);
        sleep(kept.warm_up).await;
        let (changing, changed) = watch::channel(());
        let until = |mut changed: watch::Receiver<()>| async move {
            // An error says that there is nothing to wait for any more.
            while changed.changed().await.is_ok() {}
        };
        let changes = async {
            let times = self.make_all(place, herald, &trust, scale.duration).await;
            drop(changing);
            times
        };
        let (kept, anew, times) =
            tokio::join!(loads.0.measure_until(until(changed.clone())), loads.1.measure_until(until(changed)), changes);
        let reports = [kept, anew];
        let failed = reports.iter().map(|report| report.verdicts.errors() + report.verdicts.wrong()).sum::<u64>();
        Ok(Changed { failed: failed as f64, before, meanwhile: logins_per_second(&reports), times: times? })
    }

    /// Makes the changes one after another, and lets people log in for `after` each; gives the seconds that each took, up to
    /// the first that was not in force in time.
    async fn make_all(
        self,
        place: &Place,
        herald: &Running,
        trust: &Trust,
        after: Duration,
    ) -> anyhow::Result<Vec<f64>> {
        let connector = trust.connector(Protocol::H1.alpn());
        let (mut times, mut shown) = (Vec::new(), client::certificate(herald.address, &connector).await?);
        for nth in 1..=CHANGES {
            let (before, began) = (place.said(self.told())?, tokio::time::Instant::now());
            self.make(place, herald, nth).await?;
            let Ok(told) = timeout(LONGEST, place.until_said(self.told(), before)).await else { break };
            told?;
            times.push(began.elapsed().as_secs_f64());
            if let Self::Certificate = self {
                let other = client::certificate(herald.address, &connector).await?;
                ensure!(other != shown, "the same certificate is shown as before");
                shown = other;
            }
            sleep(after).await;
        }
        Ok(times)
    }

    async fn make(self, place: &Place, herald: &Running, nth: usize) -> anyhow::Result<()> {
        let configure = |more: usize, policies| {
            let mappings = Mappings { entries: place.mappings.entries + more as u64, ..place.mappings };
            replace(&place.config(), herald.target.config(place, mappings, policies).as_bytes())
        };
        match self {
            Self::Certificate => rotate(place, herald).await,
            Self::Configuration => configure(nth, Policies::One { edition: 0 }),
            Self::Policy => {
                // The same policy with one more custom section at its end: another file, and so another generation.
                let file = place.policies.join("session-groups.wasm");
                let component = [&fs::read(&file)?[..], &[0, 2, 1, b'x']].concat();
                replace(&file, &component)
            }
            Self::Rules => configure(0, Policies::Expression { edition: nth }),
            // Beside the mappings that the configuration's changes have left.
            Self::Settings => configure(CHANGES, Policies::One { edition: nth }),
            Self::Table => replace(&place.dir.join(config::ACCOUNTS), config::accounts(nth).as_bytes()),
        }
    }
}

/// Logins that were let in, all together.
fn logins_per_second(reports: &[Report]) -> f64 {
    reports.iter().map(|report| report.verdicts.authenticated as f64 / report.seconds).sum()
}

/// `herald init --rotate` beside the server.
async fn rotate(place: &Place, herald: &Running) -> anyhow::Result<()> {
    let file = |name: &str| place.dir.join(name).display().to_string();
    fs::write(file("init.yaml"), format!("clusterID: {CLUSTER_ID}\nserver: {{port: {}}}\n", herald.address.port()))?;
    let mut command = Command::new(&place.binary);
    command.args(["init", "--rotate", "--config", &file("init.yaml"), "--state-dir", &file("state")]);
    command.arg("--generate-kubeconfig").arg(place.kubeconfig()).env_clear();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().await.context("herald init")?;
    ensure!(status.success(), "herald init --rotate: {status}");
    Ok(())
}

/// What changes, by the server that it is a change of.
const CHANGES_OF: [(Target, &[Change]); 3] = [
    (Target::HeraldPolicy, &[Change::Policy, Change::Certificate, Change::Configuration, Change::Settings]),
    (Target::HeraldTable, &[Change::Table]),
    (Target::HeraldExpression, &[Change::Rules]),
];
const CHANGES: usize = 3;
/// On connections that are kept there are so many times the logins of those on new ones, where a rate is asked for.
const FEWER_ANEW: f64 = 10.0;
/// What is to be left of as many logins as are answered: a compilation has most of a processor for a while.
const LEFT: f64 = 0.25;
/// What is to be answered of the logins that are asked for.
const ASKED_FOR: f64 = 0.95;
/// Longest wait until a change is in force.
const LONGEST: Duration = Duration::from_secs(45);
/// Few enough that most logins meet the policy and the mappings and not STS.
const TOKENS: usize = 2_000;
