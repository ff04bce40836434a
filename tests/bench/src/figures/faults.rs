//! Faults of clients, STS, the machine and Kubernetes: when unfriendly clients are cut off and what they cost, whether
//! Herald lets anybody in whom STS did not vouch for, and its memory after each of them.

use std::time::Duration;

use tests::sts::{Behaviour, Fault};
use tokio::time::sleep;

use super::{
    Row, Scale,
    row::Goal::{AtLeast, AtMost, AtMostFloor, Information},
};
use crate::{
    abuse::{bodies, slow, vanishing},
    binaries::Binaries,
    load::{Load, Report},
    output, procfs,
    run::{self, Plan, StsPlan},
    target::{Running, Target},
    world::World,
};

mod machine;
mod sources;

/// Measures everything on one server, so that whatever it kept would add up.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald], false).await?;
    let mut servers = world.start_all().await?;
    let herald = servers.pop().expect("one server was asked for");
    let mut bench = Bench { idle_mib: 0.0, world: &world, herald: &herald, scale, rows: Vec::new(), strangers: 0.0 };
    bench.run().await?;
    let rows = bench.rows;
    herald.stop().await;
    Ok(rows)
}

/// A server, and what was found out about it so far.
struct Bench<'a> {
    world: &'a World,
    herald: &'a Running,
    scale: Scale,
    /// Its memory after a load of good logins.
    idle_mib: f64,
    rows: Vec<Row>,
    /// Logins that were let in though STS did not vouch for anybody, or as somebody else.
    strangers: f64,
}

// === impl Bench ===

impl Bench<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        run::run(self.world, self.herald, &self.good(128)).await?;
        self.idle_mib = self.rest().await;
        self.unfriendly_clients().await?;
        for (name, fault) in FAULTS {
            output::progress(format_args!("STS {name}"));
            // What is refused is not remembered, so tokens may come round again.
            let plan = Plan { duration: FAULT, ..self.good(32) }.repeated(FAULTY_TOKENS);
            let sts = StsPlan { fault, ..plan.sts };
            let found = run::run(self.world, self.herald, &Plan { sts, ..plan }).await?;
            self.strangers += found.report.verdicts.authenticated as f64;
            self.afterwards(&format!("STS {name}")).await?;
        }
        self.flaps().await?;
        self.full_disk().await?;
        self.no_descriptors().await?;
        self.garbled_config_maps().await?;
        let strangers = vec![self.strangers];
        self.rows.push(Row::alone("logins let in that STS did not vouch for", "", strangers, AtMost(0.0)));
        Ok(())
    }

    async fn unfriendly_clients(&mut self) -> anyhow::Result<()> {
        output::progress("half-sent heads and bodies");
        let [heads, bodies, ..] = slow::run(self.herald, 20, HOLD).await?;
        for (name, group) in [("heads", heads), ("bodies", bodies)] {
            let longest = vec![group.longest(HOLD)];
            self.rows.push(Row::alone(format!("half-sent {name} are closed after"), "s", longest, AtMost(10.0)));
        }
        self.afterwards("half-sent heads and bodies").await?;

        let mut costs = Vec::new();
        for _ in 0..self.scale.repeats {
            let huge = bodies::run(self.herald, 64).await;
            anyhow::ensure!(huge.is_refused(), "a body of 64 MiB was not refused: {huge:?}");
            costs.push(huge.cost_mib());
        }
        self.rows.push(Row::alone("memory that a body of 64 MiB costs", "MiB", costs, AtMost(1.0)));
        bodies::run(self.herald, 200).await;
        self.afterwards("a body of 200 MiB").await?;

        let site = self.world.site(Target::Herald)?;
        let vanished = vanishing::run(site, self.herald, self.world.roles).await?;
        let share = 100.0 * vanished.given_up as f64 / vanished.sts_calls.max(1) as f64;
        self.rows.push(Row::alone("STS calls given up whose last waiter has gone", "%", vec![share], AtLeast(100.0)));
        self.afterwards("clients that leave").await
    }

    /// Now one fault and now another, with good moments in between.
    async fn flaps(&mut self) -> anyhow::Result<()> {
        let length = self.scale.flapping;
        output::progress(format_args!("STS flaps for {length:?}"));
        let plan = Plan { duration: length, ..self.good(8) }.repeated(FLAPPED_TOKENS);
        let sts = &self.world.site(Target::Herald)?.sts.sts;
        let good = plan.sts.behaviour(&sts.behaviour());
        sts.set(good.clone());
        let load = Load::start(run::spec(self.world, self.herald, &plan)?);
        let flapping = async {
            for (_, fault) in FAULTS.into_iter().cycle() {
                sts.set(Behaviour { fault, ..good.clone() });
                sleep(FLAP).await;
                sts.set(good.clone());
                sleep(FLAP).await;
            }
        };
        let report: Report = tokio::select! {
            report = load.measure(length) => report,
            () = flapping => anyhow::bail!("the cycle of faults has no end"),
        };
        sts.set(good);
        self.strangers += report.verdicts.wrong_identity as f64;
        let refused = vec![report.verdicts.wrongly_refused as f64];
        let what = format!("good tokens refused for good while STS flaps for {} s", length.as_secs());
        self.rows.push(Row::alone(what, "", refused, AtMost(0.0)));
        let answered = vec![100.0 * report.verdicts.authenticated as f64 / report.done.max(1) as f64];
        self.rows.push(Row::alone("of them let in, the others told to ask again", "%", answered, Information));
        // The breaker has two seconds to try again.
        self.afterwards("STS has flapped").await
    }

    /// All is well again, and no memory is kept.
    async fn afterwards(&mut self, what: &str) -> anyhow::Result<()> {
        sleep(BREAKER).await;
        let plan = self.good(32);
        let found = run::run(self.world, self.herald, &plan).await?;
        let (failed, rest) = (found.report.verdicts.errors() + found.report.verdicts.wrong(), self.rest().await);
        self.rows.push(Row::alone(format!("logins that fail after: {what}"), "", vec![failed as f64], AtMost(0.0)));
        let measure = format!("RSS after: {what} (floor: idle)");
        self.rows.push(Row::pair(measure, "MiB", vec![self.idle_mib], vec![rest], AtMostFloor(1.1)));
        Ok(())
    }

    fn good(&self, connections: usize) -> Plan {
        let plan = Plan::distinct(connections, Duration::ZERO, self.scale.duration);
        Plan { timeout: Duration::from_secs(20), ..plan }
    }

    /// Memory once nobody has asked for a while, in MiB.
    async fn rest(&self) -> f64 {
        sleep(REST).await;
        procfs::sample(self.herald.pid).map_or(0.0, |sample| sample.rss_kib as f64 / 1024.0)
    }
}

const FAULTS: [(&str, Fault); 9] = [
    ("hangs", Fault::Hang),
    ("resets", Fault::Reset),
    ("throttles", Fault::Throttle429),
    ("answers XML", Fault::Xml),
    ("answers with another account", Fault::AccountMismatch),
    ("answers 64 MiB", Fault::Huge),
    ("redirects", Fault::Redirect),
    ("drips", Fault::Drip),
    ("never ends its answer", Fault::Stalled),
];
/// Longest wait for slow clients to be cut.
const HOLD: Duration = Duration::from_secs(20);
/// Longer than Herald waits for STS.
const FAULT: Duration = Duration::from_secs(6);
const FAULTY_TOKENS: usize = 10_000;
/// Until the breaker has let a call through again.
const BREAKER: Duration = Duration::from_millis(2500);
/// From the last request to the reading of memory.
const REST: Duration = Duration::from_secs(2);
/// A good or a bad moment.
const FLAP: Duration = Duration::from_millis(700);
/// Enough that most of them are not remembered when they come round again.
const FLAPPED_TOKENS: usize = 60_000;
