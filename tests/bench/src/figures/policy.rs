//! One Rust policy in the path: what it costs beside the same server without it.

use std::time::Duration;

use super::{
    Row, Scale, Series, each, interleaved, mistakes, others,
    row::Goal::{AtLeastFloor, AtMost, Information},
};
use crate::{binaries::Binaries, run::Plan, target::Target};

/// Measures the same loads with and without the policy.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald, Target::HeraldPolicy], false).await?;
    let servers = world.start_all().await?;
    let distinct = |connections| Plan::distinct(connections, Duration::ZERO, scale.duration);
    let plans = [distinct(32), distinct(8).repeated(TOKENS), distinct(32).repeated(TOKENS), distinct(128)];
    let found = interleaved(&world, &servers, &plans, scale.repeats).await?;
    for server in servers {
        server.stop().await;
    }
    let mut rows = Vec::new();
    for (case, series) in CASES.iter().zip(&found) {
        let [without, with] = [0, 1].map(|server| each(&series[server], |found| found.report.per_second));
        // What the policy costs is a part of a login. With everything else remembered it is most of one.
        let goal = if case.starts_with("distinct") { AtLeastFloor(0.85) } else { Information };
        rows.push(Row::pair(format!("logins, one policy (floor: Herald without), {case}"), "1/s", without, with, goal));
        rows.push(Row::alone(format!("one policy, more CPU per login, {case}"), "µs", extra_cpu(series), AtMost(40.0)));
    }
    let peak = each(&found[CASES.len() - 1][1], |found| found.report.server.peak_mib);
    rows.push(Row::alone("RSS at 128 connections, one policy, distinct tokens, STS 0 ms", "MiB", peak, Information));
    rows.push(Row::alone("mistakes, one policy", "", mistakes(&found, 1), AtMost(0.0)));
    rows.push(others(&found, "one policy"));
    Ok(rows)
}

/// CPU time per login with the policy less that without it, within each repeat.
fn extra_cpu(series: &Series) -> Vec<f64> {
    let [without, with] = [0, 1].map(|server| each(&series[server], |found| found.report.server.cpu_us));
    with.iter().zip(&without).map(|(with, without)| with - without).collect()
}

/// What the plans are, in order.
const CASES: [&str; 4] = [
    "distinct tokens, 32 connections",
    "the same tokens again, 8 connections",
    "the same tokens again, 32 connections",
    "distinct tokens, 128 connections",
];
/// Few enough that the warm-up sees all of them.
const TOKENS: usize = 200;
