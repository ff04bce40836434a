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
    run::{self, Plan, StsPlan, Tokens},
    target::{Place, Running, Target},
    traffic::Kind,
    world::World,
};

mod apart;
mod machine;
mod sources;

/// Measures everything on one server, so that whatever it kept would add up; but for what a server has to be started for.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald], false).await?;
    let place = &world.site(Target::Herald)?.place;
    let herald = Target::Herald.start(place).await?;
    let mut bench = Bench::new(&world, place, &herald, scale);
    bench.run().await?;
    let (mut rows, mut strangers) = (bench.rows, bench.strangers);
    herald.stop().await;
    if let Some(place) = apart::place(place)? {
        let herald = Target::Herald.start(&place).await?;
        let mut bench = Bench::new(&world, &place, &herald, scale);
        bench.run_apart().await?;
        strangers += bench.strangers;
        rows.extend(bench.rows);
        herald.stop().await;
    }
    rows.push(Row::alone("logins let in that STS did not vouch for", "", vec![strangers], AtMost(0.0)));
    Ok(rows)
}

/// A server, and what was found out about it so far.
struct Bench<'a> {
    world: &'a World,
    place: &'a Place,
    herald: &'a Running,
    scale: Scale,
    /// Its memory at rest after [`Bench::warm_up`].
    idle_mib: f64,
    rows: Vec<Row>,
    /// Logins that were let in though STS did not vouch for anybody, or as somebody else.
    strangers: f64,
}

// === impl Bench ===

impl<'a> Bench<'a> {
    fn new(world: &'a World, place: &'a Place, herald: &'a Running, scale: Scale) -> Self {
        Self { world, place, herald, scale, idle_mib: 0.0, rows: Vec::new(), strangers: 0.0 }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        self.warm_up().await?;
        self.unfriendly_clients().await?;
        self.floods().await?;
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
        self.garbled_config_maps().await
    }

    /// What is idle: its memory after loads like those that go before each later reading, and no larger. Caches, pools
    /// and pages of the binary that logins need once are there then, so that the rest is what a fault has left.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        for _ in 0..WARM_UPS {
            run::run(self.world, self.herald, &self.good(AFTERWARDS)).await?;
        }
        self.idle_mib = self.rest().await;
        Ok(())
    }

    async fn unfriendly_clients(&mut self) -> anyhow::Result<()> {
        output::progress("half-sent heads and bodies");
        let [heads, bodies, ..] = slow::run(self.herald, 20, HOLD).await?;
        self.closed("half-sent heads", &heads);
        self.closed("half-sent bodies", &bodies);
        self.afterwards("half-sent heads and bodies").await?;

        output::progress("unfinished handshakes");
        let handshakes = slow::handshakes(self.herald, UNFINISHED, HOLD).await?;
        self.closed("unfinished handshakes", &handshakes);
        self.afterwards("unfinished handshakes").await?;

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

    fn closed(&mut self, what: &str, group: &slow::Group) {
        let longest = vec![group.longest(HOLD)];
        self.rows.push(Row::alone(format!("{what} are closed after"), "s", longest, AtMost(10.0)));
    }

    /// As many as it answers, of each kind.
    async fn floods(&mut self) -> anyhow::Result<()> {
        for (name, kind) in [("junk tokens", Kind::Junk), ("tokens for foreign hosts", Kind::Badhost)] {
            output::progress(format_args!("a flood of {name}"));
            let plan = Plan { duration: FAULT, ..self.good(FLOOD) }.repeated(FAULTY_TOKENS);
            let tokens = Tokens { kind, ..plan.tokens };
            let found = run::run(self.world, self.herald, &Plan { tokens, ..plan }).await?;
            self.strangers += found.report.verdicts.authenticated as f64;
            self.afterwards(&format!("a flood of {name}")).await?;
        }
        Ok(())
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
        let plan = self.good(AFTERWARDS);
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

const FAULTS: [(&str, Fault); 15] = [
    ("hangs", Fault::Hang),
    ("resets", Fault::Reset),
    ("throttles", Fault::Throttle429),
    ("answers XML", Fault::Xml),
    ("fails with 500", Fault::E500),
    ("answers with another account", Fault::AccountMismatch),
    ("answers with an ARN that is none", Fault::BadArn),
    ("answers with a user id that is none", Fault::BadUserId),
    ("answers twice at once", Fault::Duplicate),
    ("answers with more behind it", Fault::Trailing),
    ("breaks off", Fault::Garbage),
    ("answers 64 MiB", Fault::Huge),
    ("redirects", Fault::Redirect),
    ("drips", Fault::Drip),
    ("never ends its answer", Fault::Stalled),
];
/// Connections of the good logins after a fault, and before the first.
const AFTERWARDS: usize = 32;
/// How many such loads go before the first reading.
const WARM_UPS: usize = 3;
/// Connections of a flood.
const FLOOD: usize = 64;
/// Handshakes that are not begun, and as many that are not finished.
const UNFINISHED: usize = 100;
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
