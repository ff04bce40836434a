//! Faults of clients, STS, the machine and Kubernetes: when unfriendly clients are cut off and what they cost, whether
//! Herald lets anybody in whom STS did not vouch for, and its memory after each of them.

use std::time::Duration;

use ::tests::sts::Fault;
use anyhow::Context as _;
use clap::ValueEnum as _;
use tokio::time::sleep;

use super::{
    Row, Scale,
    row::Goal::{AtLeast, AtMost, AtMostFloor},
};
use crate::{
    abuse::{bodies, slow, vanishing},
    binaries::Binaries,
    load::Report,
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
    } else {
        let what = "steps of its clock and a read-only state folder";
        rows.push(Row::left_out(what, "they need a C compiler and unshare(1)"));
    }
    rows.push(Row::alone("logins let in that STS did not vouch for", "", vec![strangers], AtMost(0.0)));
    Ok(rows)
}

/// A server, and what was found out about it so far.
pub(super) struct Bench<'a> {
    pub(super) world: &'a World,
    place: &'a Place,
    pub(super) herald: &'a Running,
    pub(super) scale: Scale,
    /// Its memory at rest after [`Bench::warm_up`].
    idle_mib: f64,
    pub(super) rows: Vec<Row>,
    /// Logins that were let in though STS did not vouch for anybody, or as somebody else.
    pub(super) strangers: f64,
}

// === impl Bench ===

impl<'a> Bench<'a> {
    pub(super) fn new(world: &'a World, place: &'a Place, herald: &'a Running, scale: Scale) -> Self {
        Self { world, place, herald, scale, idle_mib: 0.0, rows: Vec::new(), strangers: 0.0 }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        self.warm_up().await?;
        self.unfriendly_clients().await?;
        self.floods().await?;
        for (name, fault) in faults() {
            output::progress(format_args!("STS {name}"));
            let duration = if is_endless(fault) { FAULT } else { self.scale.fault };
            // Nobody is let in, so that tokens may come round again.
            let plan = Plan { duration, ..self.good(32) }.repeated(FAULTY_TOKENS);
            let sts = StsPlan { fault, ..plan.sts };
            // Whoever asks an STS that does not answer is told so when Herald gives it up.
            let found = run::run(self.world, self.herald, &Plan { sts, settle: FAULT, ..plan }).await?;
            self.strangers += found.report.verdicts.authenticated as f64;
            self.answered(&format!("STS {name}"), &found.report);
            self.afterwards(&format!("STS {name}")).await?;
        }
        self.full_disk().await?;
        self.no_descriptors().await?;
        self.garbled_config_maps().await
    }

    /// What is idle: its memory after loads like those that go before each later reading, and no larger. Caches, pools
    /// and pages of the binary that logins need once are there then, so that the rest is what a fault has left.
    pub(super) async fn warm_up(&mut self) -> anyhow::Result<()> {
        for _ in 0..WARM_UPS {
            run::run(self.world, self.herald, &self.good(AFTERWARDS)).await?;
        }
        self.idle_mib = self.rest().await?;
        Ok(())
    }

    async fn unfriendly_clients(&mut self) -> anyhow::Result<()> {
        output::progress("half-sent heads and bodies");
        let [heads, heads_h2, bodies, streams, ..] = slow::run(self.herald, 20, HOLD).await?;
        self.closed("half-sent heads", &heads);
        self.closed("half-sent heads over HTTP/2", &heads_h2);
        self.closed("half-sent bodies", &bodies);
        self.closed("half-sent bodies over HTTP/2", &streams);
        self.afterwards("half-sent heads and bodies").await?;

        output::progress("unfinished handshakes");
        let handshakes = slow::handshakes(self.herald, UNFINISHED, HOLD).await?;
        self.closed("unfinished handshakes", &handshakes);
        self.afterwards("unfinished handshakes").await?;

        let mut costs = Vec::new();
        for _ in 0..self.scale.repeats {
            costs.push(self.refuses_a_body(64).await?);
        }
        self.rows.push(Row::alone("memory that a body of 64 MiB costs", "MiB", costs, AtMost(1.0)));
        self.refuses_a_body(200).await?;
        self.afterwards("a body of 200 MiB").await?;

        let site = self.world.site(Target::Herald)?;
        let vanished = vanishing::run(site, self.herald, self.world.roles).await?;
        let share = 100.0 * vanished.given_up as f64 / vanished.sts_calls.max(1) as f64;
        self.rows.push(Row::alone("STS calls given up whose last waiter has gone", "%", vec![share], AtLeast(100.0)));
        self.afterwards("clients that leave").await
    }

    /// The memory that a body of so many MiB costs, in MiB.
    async fn refuses_a_body(&self, mib: usize) -> anyhow::Result<f64> {
        let huge = bodies::run(self.herald, mib).await;
        anyhow::ensure!(huge.is_refused(), "a body of {mib} MiB was not refused: {huge:?}");
        Ok(huge.cost_mib())
    }

    fn closed(&mut self, what: &str, group: &slow::Group) {
        let longest = vec![group.longest(HOLD)];
        self.rows.push(Row::alone(format!("{what} are closed after"), "s", longest, AtMost(CLOSED)));
    }

    /// As many as it answers, of each kind.
    async fn floods(&mut self) -> anyhow::Result<()> {
        for (name, kind) in [("junk tokens", Kind::Junk), ("tokens for foreign hosts", Kind::Badhost)] {
            output::progress(format_args!("a flood of {name}"));
            let plan = Plan { duration: FAULT, ..self.good(FLOOD) }.repeated(FAULTY_TOKENS);
            let tokens = Tokens { kind, ..plan.tokens };
            let found = run::run(self.world, self.herald, &Plan { tokens, ..plan }).await?;
            self.strangers += found.report.verdicts.authenticated as f64;
            self.answered(&format!("a flood of {name}"), &found.report);
            self.afterwards(&format!("a flood of {name}")).await?;
        }
        Ok(())
    }

    /// Everybody had an answer meanwhile, if only that he is to come again.
    fn answered(&mut self, what: &str, meanwhile: &Report) {
        let without = vec![meanwhile.verdicts.unanswered() as f64];
        self.rows.push(Row::alone(format!("logins without an answer: {what}"), "", without, AtMost(0.0)));
    }

    /// All is well again, and no memory is kept.
    pub(super) async fn afterwards(&mut self, what: &str) -> anyhow::Result<()> {
        sleep(BREAKER).await;
        let plan = self.good(AFTERWARDS);
        let found = run::run(self.world, self.herald, &plan).await?;
        let (failed, rest) = (found.report.verdicts.errors() + found.report.verdicts.wrong(), self.rest().await?);
        self.rows.push(Row::alone(format!("logins that fail after: {what}"), "", vec![failed as f64], AtMost(0.0)));
        let measure = format!("RSS after: {what} (floor: idle)");
        self.rows.push(Row::pair(measure, "MiB", vec![self.idle_mib], vec![rest], AtMostFloor(1.1)));
        Ok(())
    }

    pub(super) fn good(&self, connections: usize) -> Plan {
        let plan = Plan::distinct(connections, Duration::ZERO, self.scale.duration);
        Plan { timeout: Duration::from_secs(20), ..plan }
    }

    /// Memory once nobody has asked for a while, in MiB.
    async fn rest(&self) -> anyhow::Result<f64> {
        sleep(REST).await;
        let sample = procfs::sample(self.herald.pid).context("the server has ended")?;
        Ok(sample.rss_kib as f64 / 1024.0)
    }
}

/// Every fault of the dev STS, with what STS does in the names of rows.
pub(super) fn faults() -> impl Iterator<Item = (&'static str, Fault)> + Clone {
    Fault::value_variants().iter().filter_map(|&fault| Some((words(fault)?, fault)))
}

/// `None`: nothing goes wrong.
fn words(fault: Fault) -> Option<&'static str> {
    Some(match fault {
        Fault::AccountMismatch => "answers with another account",
        Fault::Bare429 => "answers 429 and says nothing of a throttle",
        Fault::BadArn => "answers with an ARN that is none",
        Fault::BadUserId => "answers with a user id that is none",
        Fault::Close => "closes",
        Fault::Denied403 => "refuses",
        Fault::Drip => "drips",
        Fault::Duplicate => "answers twice at once",
        Fault::E500 => "fails with 500",
        Fault::E503 => "fails with 503",
        Fault::Empty => "answers with nothing in it",
        Fault::Expired403 => "calls every token expired",
        Fault::Garbage => "breaks off",
        Fault::Hang => "hangs",
        Fault::Html403 => "is hidden behind a firewall's page",
        Fault::Huge => "answers 64 MiB",
        Fault::None => return None,
        Fault::Redirect => "redirects",
        Fault::Reset => "resets",
        Fault::ResetBody => "resets amid its answer",
        Fault::Stalled => "never ends its answer",
        Fault::Throttle400 => "throttles with 400",
        Fault::Throttle429 => "throttles",
        Fault::Trailing => "answers with more behind it",
        Fault::Xml => "answers XML",
    })
}

/// Whether a call with it lasts until Herald gives it up.
fn is_endless(fault: Fault) -> bool {
    matches!(fault, Fault::Drip | Fault::Hang | Fault::Stalled)
}

/// Until slow clients are closed, in seconds: Herald's own limits are ten, and a tenth is the machine's.
const CLOSED: f64 = 10.1;
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
pub(super) const FAULT: Duration = Duration::from_secs(6);
const FAULTY_TOKENS: usize = 10_000;
/// Until the breaker has let a call through again.
const BREAKER: Duration = Duration::from_millis(2500);
/// From the last request to the reading of memory.
const REST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_rows_of_its_own() {
        let names: BTreeSet<_> = faults().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Fault::value_variants().len() - 1);
    }
}
