//! An STS that flaps: now one fault and now another, with good moments in between. No good token may be refused for good, and
//! no memory may be kept.

use std::time::Duration;

use tests::sts::{Behaviour, Fault};
use tokio::time::sleep;

use super::{
    Row, Scale,
    faults::{Bench, faults},
    row::Goal::{AtMost, Information},
};
use crate::{
    binaries::Binaries,
    load::{Load, Report},
    output, run,
    target::Target,
};

/// Measures it on a server of its own, so that three minutes of it can be had without the rest.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald], false).await?;
    let place = &world.site(Target::Herald)?.place;
    let herald = Target::Herald.start(place).await?;
    let mut bench = Bench::new(&world, place, &herald, scale);
    bench.warm_up().await?;
    flaps(&mut bench).await?;
    let mut rows = bench.rows;
    let what = "logins let in as somebody else while STS flaps";
    rows.push(Row::alone(what, "", vec![bench.strangers], AtMost(0.0)));
    herald.stop().await;
    Ok(rows)
}

async fn flaps(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let length = bench.scale.flapping;
    output::progress(format_args!("STS flaps for {length:?}"));
    let plan = bench.good(8).repeated(TOKENS);
    let sts = &bench.world.site(Target::Herald)?.sts.sts;
    let good = plan.sts.behaviour(&sts.behaviour());
    sts.set(good.clone());
    // Of whom STS says so, good tokens are rightly refused for good.
    let is_verdict = |fault| matches!(fault, Fault::Denied403 | Fault::Expired403);
    let faults = faults().map(|(_, fault)| fault).filter(|fault| !is_verdict(*fault));
    let load = Load::start(run::spec(bench.world, bench.herald, &plan)?);
    let flapping = async {
        for fault in faults.cycle() {
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
    bench.strangers += report.verdicts.wrong_identity as f64;
    let refused = vec![report.verdicts.wrongly_refused as f64];
    let what = format!("good tokens refused for good while STS flaps for {} s", length.as_secs());
    bench.rows.push(Row::alone(what, "", refused, AtMost(0.0)));
    let answered = vec![100.0 * report.verdicts.authenticated as f64 / report.done.max(1) as f64];
    bench.rows.push(Row::alone("of them let in, the others told to ask again", "%", answered, Information));
    // The breaker has two seconds to try again.
    bench.afterwards(&format!("STS has flapped for {} s", length.as_secs())).await
}

/// A good or a bad moment.
const FLAP: Duration = Duration::from_millis(700);
/// Enough that most of them are not remembered when they come round again.
const TOKENS: usize = 60_000;
