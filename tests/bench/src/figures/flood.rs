//! Good logins beside a flood of tokens that are none: what they lose, and what memory it costs.

use std::time::Duration;

use super::{
    Row, Scale, each,
    row::Goal::{AtLeast, AtLeastFloor, AtMost, AtMostFloor},
};
use crate::{
    binaries::Binaries,
    load::{self, Report},
    output,
    run::{self, Found, Plan, Tokens},
    target::{Running, Target},
    traffic::Kind,
    world::World,
};

/// A flood.
struct Flood {
    /// The name in rows.
    name: &'static str,
    kind: Kind,
    /// Tokens a second.
    rate: f64,
}

/// Measures good logins alone and beside each flood, in turn.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald], false).await?;
    let servers = world.start_all().await?;
    let [herald] = &servers[..] else { anyhow::bail!("one server was asked for") };
    let good = Plan::distinct(8, Duration::from_millis(5), scale.duration);
    let mut rows = Vec::new();
    for flood in FLOODS {
        let (mut quiet, mut flooded, mut junk) = (Vec::new(), Vec::new(), Vec::new());
        for repeat in 0..scale.repeats {
            output::progress(format_args!("repeat {repeat}: {}", flood.name));
            quiet.push(run::run(&world, herald, &good).await?);
            let (logins, refused) = beside(&world, herald, &good, &flood).await?;
            flooded.push(logins);
            junk.push(refused);
        }
        rows.extend(flood.rows(&quiet, &flooded, &junk));
    }
    for server in servers {
        server.stop().await;
    }
    Ok(rows)
}

/// The good logins, and the flood beside them.
async fn beside(world: &World, herald: &Running, good: &Plan, flood: &Flood) -> anyhow::Result<(Found, Report)> {
    let tokens = Tokens { kind: flood.kind, ..good.tokens };
    let plan = Plan { tokens, rate: Some(flood.rate), connections: CONNECTIONS, ..good.clone() };
    let (spec, junk) = (run::spec(world, herald, good)?, run::spec(world, herald, &plan)?);
    let sts = &world.site(herald.target)?.sts.sts;
    sts.set(good.sts.behaviour(&sts.behaviour()));
    let (report, refused) = tokio::join!(
        load::run(spec, good.warm_up, good.duration, || sts.reset()),
        load::run(junk, good.warm_up, good.duration, || ()),
    );
    let found = Found { report, sts: sts.stats() };
    output::progress(format_args!(
        "  {:.0} logins/s beside {:.0} others/s",
        found.report.per_second, refused.per_second
    ));
    Ok((found, refused))
}

// === impl Flood ===

impl Flood {
    fn rows(&self, quiet: &[Found], flooded: &[Found], junk: &[Report]) -> [Row; 5] {
        let name = self.name;
        let pair = |what: &str, unit, goal, figure: fn(&Found) -> f64| {
            Row::pair(
                format!("{what} beside {name} (floor: alone)"),
                unit,
                each(quiet, figure),
                each(flooded, figure),
                goal,
            )
        };
        let wrong = flooded.iter().map(|found| &found.report).chain(junk).map(|report| &report.verdicts);
        let wrong = wrong.map(|verdicts| (verdicts.wrong() + verdicts.errors()) as f64).sum();
        [
            pair("logins", "1/s", AtLeastFloor(0.9), |found| found.report.per_second),
            pair("99th percentile of latency", "ms", AtMostFloor(2.0), |found| f64::from(found.report.p99_us) / 1000.0),
            pair("RSS", "MiB", AtMostFloor(1.1), |found| found.report.server.end_mib),
            Row::alone(
                format!("answers to {name}"),
                "1/s",
                junk.iter().map(|report| report.per_second).collect(),
                AtLeast(self.rate * 0.95),
            ),
            Row::alone(format!("mistakes, {name}"), "", vec![wrong], AtMost(0.0)),
        ]
    }
}

const FLOODS: [Flood; 2] = [
    Flood { name: "10,000 junk tokens a second", kind: Kind::Junk, rate: 10_000.0 },
    Flood { name: "3,000 tokens for foreign hosts a second", kind: Kind::Badhost, rate: 3_000.0 },
];
/// Connections of a flood.
const CONNECTIONS: usize = 16;
