//! The server as a process: memory at rest, time to ready, and the size of the binary.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use tokio::time::sleep;

use super::{
    Row, Scale,
    row::Goal::{AtMost, Information},
};
use crate::{
    binaries::Binaries,
    output, procfs,
    run::{self, Plan},
    startup::{self, Starts},
    target::{
        Start, Target,
        config::{HOSTILE, Policies},
        replace,
    },
    world::World,
};

/// Starts each server again and again in the state folder that its first start left.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let targets = [Target::FloorSts, Target::Herald, Target::HeraldPolicy, Target::HeraldTenPolicies];
    let world = super::world(binaries, &targets, false).await?;
    let starts = startup::time(&world, scale.starts).await?;
    let [floor, fixed, policy, ten] = &starts[..] else {
        anyhow::bail!("a start of each of four servers was asked for")
    };
    let hostile = hostile(&world, scale).await?;
    let resident = |starts: &Starts| starts.figures(|start| start.rest.rss_kib as f64 / 1024.0);
    let anonymous = |starts: &Starts| starts.figures(|start| start.rest.anonymous_kib as f64 / 1024.0);
    let ready = |starts: &Starts| starts.figures(ready_ms);
    let size = |binary: &Path| anyhow::Ok(vec![fs::metadata(binary)?.len() as f64 / 1e6]);
    Ok(vec![
        Row::alone("RSS at rest, ten compiled policies", "MiB", resident(ten), AtMost(40.0)),
        Row::alone("RSS after 10,000 calls of hostile policies", "MiB", vec![hostile.rest_mib], AtMost(45.0)),
        Row::alone("its peak, with eight of them at once", "MiB", vec![hostile.peak_mib], Information),
        Row::alone("logins that fail beside hostile policies that are skipped", "", vec![hostile.failed], AtMost(0.0)),
        Row::pair("start to ready, ten compiled policies present", "ms", ready(floor), ready(ten), AtMost(50.0)),
        Row::pair("RSS at rest, static mappings", "MiB", resident(floor), resident(fixed), AtMost(14.0)),
        Row::pair("RSS at rest, one policy", "MiB", resident(floor), resident(policy), AtMost(24.0)),
        Row::pair("of it anonymous, static mappings", "MiB", anonymous(floor), anonymous(fixed), Information),
        Row::pair("of it anonymous, one policy", "MiB", anonymous(floor), anonymous(policy), Information),
        Row::pair("start to ready, certificate present", "ms", ready(floor), ready(fixed), AtMost(25.0)),
        Row::pair("start to ready, compiled policy present", "ms", ready(floor), ready(policy), AtMost(50.0)),
        Row::alone("first start to ready, static mappings", "ms", vec![ready_ms(&fixed.first)], Information),
        Row::alone("first start to ready, one policy", "ms", vec![ready_ms(&policy.first)], Information),
        Row::pair("stripped release binary", "MB", size(&binaries.floor)?, size(&binaries.herald)?, AtMost(32.0)),
    ])
}

/// What hostile policies leave behind.
struct Hostile {
    rest_mib: f64,
    peak_mib: f64,
    failed: f64,
}

/// Lets people log in until hostile policies have been asked [`CALLS`] times, four by one server and four others by the
/// next. Each has started before, so that its policies are compiled.
async fn hostile(world: &World, scale: Scale) -> anyhow::Result<Hostile> {
    let target = Target::HeraldTenPolicies;
    let place = &world.site(target)?.place;
    let plan = Plan::distinct(8, Duration::ZERO, scale.duration).repeated(TOKENS);
    let mut found = Hostile { rest_mib: 0.0, peak_mib: 0.0, failed: 0.0 };
    for hostile in HOSTILE {
        replace(&place.config(), target.config(place, place.mappings, Policies::Ten { hostile }).as_bytes())?;
        target.start(place).await?.stop().await;
        let herald = target.start(place).await?;
        let mut calls = 0;
        while calls < CALLS {
            output::progress(format_args!("{calls} calls of hostile policies"));
            let report = run::run(world, &herald, &plan).await?.report;
            let answered = report.verdicts.authenticated;
            anyhow::ensure!(answered > 0, "nobody could log in beside hostile policies");
            calls += answered * hostile.len() as u64;
            found.failed += (report.verdicts.wrong() + report.verdicts.errors()) as f64;
            found.peak_mib = found.peak_mib.max(report.server.peak_mib);
        }
        sleep(REST).await;
        let sample = procfs::sample(herald.pid).context("it still runs")?;
        herald.stop().await;
        found.rest_mib = found.rest_mib.max(sample.rss_kib as f64 / 1024.0);
    }
    Ok(found)
}

/// How often hostile policies are asked.
const CALLS: u64 = 10_000;
/// Few enough that most logins meet the policies and not STS.
const TOKENS: usize = 200;
/// From the last request to the reading of memory.
const REST: Duration = Duration::from_secs(2);

fn ready_ms(start: &Start) -> f64 {
    start.ready_ms
}
