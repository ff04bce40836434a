//! An STS that flaps: now one fault and now another, with good moments in between. No good token may be refused for good, every
//! login has an answer, a part of them is let in, and no memory may be kept.
//!
//! Those who come as fast as they are answered come most when they are told at once to come again. So what share of logins is
//! let in has its goal at a fixed rate.

use std::time::Duration;

use tests::sts::{Behaviour, Fault};
use tokio::time::sleep;

use super::{
    Row, Scale,
    faults::{Bench, FAULT, faults},
    row::Goal::{self, AtLeast, AtMost, Information},
};
use crate::{
    binaries::Binaries,
    load::{Load, Protocol, Report},
    output,
    run::{self, Plan},
    target::Target,
};

/// Measures it on a server of its own, so that minutes of it can be had without the rest.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald], false).await?;
    let place = &world.site(Target::Herald)?.place;
    let herald = Target::Herald.start(place).await?;
    let mut bench = Bench::new(&world, place, &herald, scale);
    bench.warm_up().await?;
    as_fast_as_they_are_answered(&mut bench).await?;
    at_a_fixed_rate(&mut bench).await?;
    let mut rows = bench.rows;
    let what = "logins let in as somebody else while STS flaps";
    rows.push(Row::alone(what, "", vec![bench.strangers], AtMost(0.0)));
    herald.stop().await;
    Ok(rows)
}

/// And what is kept of it afterwards.
async fn as_fast_as_they_are_answered(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let length = bench.scale.flapping;
    let plan = Plan { duration: length, settle: FAULT, ..bench.good(8) }.repeated(TOKENS);
    let report = while_it_flaps(bench, &plan, FLAP).await?;
    let share = share(report.verdicts.authenticated, report.done as f64);
    push_rows(bench, &report, "", share, Information);
    // The breaker has two seconds to try again.
    bench.afterwards(&format!("STS has flapped for {} s", length.as_secs())).await
}

/// While STS goes through all of its faults once.
async fn at_a_fixed_rate(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let duration = LONG_FLAP * 2 * kinds().count() as u32;
    let plan = Plan {
        protocol: Protocol::H2,
        streams: STREAMS,
        rate: Some(RATE),
        duration,
        settle: FAULT,
        ..bench.good(CONNECTIONS)
    };
    let report = while_it_flaps(bench, &plan, LONG_FLAP).await?;
    let share = share(report.verdicts.authenticated, RATE * report.seconds);
    push_rows(bench, &report, ", 200 logins a second", share, AtLeast(LET_IN));
    Ok(())
}

/// The faults that it goes through. Of whom STS says so, good tokens are rightly refused for good.
fn kinds() -> impl Iterator<Item = Fault> + Clone {
    let is_verdict = |fault: &Fault| matches!(fault, Fault::Denied403 | Fault::Expired403);
    faults().map(|(_, fault)| fault).filter(move |fault| !is_verdict(fault))
}

/// Logins by `plan` from the first fault on, each good and each bad moment as long as `flap`.
async fn while_it_flaps(bench: &Bench<'_>, plan: &Plan, flap: Duration) -> anyhow::Result<Report> {
    output::progress(format_args!("STS flaps for {:?}", plan.duration));
    let sts = &bench.world.site(Target::Herald)?.sts.sts;
    let good = plan.sts.behaviour(&sts.behaviour());
    sts.set(good.clone());
    let load = Load::start(run::spec(bench.world, bench.herald, plan)?);
    let flapping = async {
        for fault in kinds().cycle() {
            sts.set(Behaviour { fault, ..good.clone() });
            sleep(flap).await;
            sts.set(good.clone());
            sleep(flap).await;
        }
    };
    let report = tokio::select! {
        report = load.measure(plan.duration) => report,
        () = flapping => anyhow::bail!("the cycle of faults has no end"),
    };
    sts.set(good);
    Ok(report)
}

fn push_rows(bench: &mut Bench<'_>, report: &Report, how: &str, share: f64, goal: Goal) {
    let (verdicts, seconds) = (&report.verdicts, report.seconds.round());
    bench.strangers += verdicts.wrong_identity as f64;
    let none = |what: &str, count: u64| {
        Row::alone(format!("{what} while STS flaps for {seconds} s{how}"), "", vec![count as f64], AtMost(0.0))
    };
    bench.rows.extend([
        none("good tokens refused for good", verdicts.wrongly_refused),
        none("logins without an answer", verdicts.unanswered()),
        Row::alone(format!("of them let in, the others told to ask again{how}"), "%", vec![share], goal),
    ]);
}

fn share(let_in: u64, all: f64) -> f64 {
    100.0 * let_in as f64 / all.max(1.0)
}

/// A good or a bad moment.
const FLAP: Duration = Duration::from_millis(700);
/// Enough that most of them are not remembered when they come round again.
const TOKENS: usize = 60_000;
/// Logins a second, where not as many as are answered.
const RATE: f64 = 200.0;
/// A good or a bad moment beside them. Were it much shorter than the two seconds for which Herald leaves an STS alone that fails,
/// these alone would tell how many are let in.
const LONG_FLAP: Duration = Duration::from_millis(1500);
const CONNECTIONS: usize = 16;
/// Requests at a time on each of them: all together more than come in a moment in which STS does not answer, so that none of the
/// others waits for a place.
const STREAMS: usize = 25;
/// Percent of them that are to be let in. STS is good half of the time.
const LET_IN: f64 = 20.0;
