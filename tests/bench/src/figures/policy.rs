//! One Rust policy in the path, or in shadow mode: what it costs beside the same server without it. And a hostile one behind
//! it: what those lose whom it is not asked about.

use std::time::Duration;

use super::{
    Row, Scale, Series, each, interleaved, mistakes, others,
    row::Goal::{AtLeastFloor, AtMost, AtMostFloor, Information},
};
use crate::{
    binaries::Binaries,
    run::{Found, Plan},
    target::Target,
};

mod attack;

/// Measures the same loads with and without the policy.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let targets = [Target::HeraldPolicy, Target::Herald, Target::HeraldShadow, Target::HeraldAttacked];
    let world = super::world(binaries, &targets, false).await?;
    let servers = world.start_all().await?;
    let distinct = |connections| Plan::distinct(connections, Duration::ZERO, scale.duration);
    let plans = [distinct(8), distinct(32), distinct(8).repeated(TOKENS), distinct(32).repeated(TOKENS), distinct(128)];
    let found = interleaved(&world, &servers[..2], &plans, scale.repeats).await?;
    let plans = [distinct(32), Plan { rate: Some(RATE), ..distinct(32) }];
    let beside_shadow = interleaved(&world, &servers[1..3], &plans, scale.repeats).await?;
    let attacked = attack::measure(&world, &servers[3], scale).await?;
    for server in servers {
        server.stop().await;
    }
    let mut rows = Vec::new();
    for (case, series) in CASES.iter().zip(&found) {
        let [with, without] = [0, 1].map(|server| each(&series[server], |found| found.report.per_second));
        // What the policy costs is a part of a login. With everything else remembered it is most of one.
        let goal = if case.starts_with("distinct") { AtLeastFloor(0.85) } else { Information };
        rows.push(Row::pair(format!("logins, one policy (floor: Herald without), {case}"), "1/s", without, with, goal));
        rows.push(Row::alone(format!("one policy, more CPU per login, {case}"), "µs", extra_cpu(series), AtMost(40.0)));
    }
    let peak = each(&found[CASES.len() - 1][0], |found| found.report.server.peak_mib);
    rows.push(Row::alone("RSS at 128 connections, one policy, distinct tokens, STS 0 ms", "MiB", peak, Information));
    rows.push(Row::alone("mistakes, one policy", "", mistakes(&found, 0), AtMost(0.0)));
    rows.push(others(&found, "one policy"));
    rows.extend(shadow_rows(&beside_shadow));
    rows.extend(attacked);
    Ok(rows)
}

/// What logins lose to a policy in shadow mode that computes until its limits stop it, at each of them.
fn shadow_rows(found: &[Series]) -> Vec<Row> {
    let mut rows = Vec::new();
    // As many as are answered pay for the processor that the shadow has; a rate that leaves one free does not.
    for (case, many, soon, series) in [
        ("32 connections", Information, Information, &found[0]),
        ("1,000 logins a second", AtLeastFloor(0.9), AtMostFloor(2.0), &found[1]),
    ] {
        let row = |what: &str, unit, goal, figure: fn(&Found) -> f64| {
            let [without, with] = [0, 1].map(|server| each(&series[server], figure));
            let measure =
                format!("{what} beside a policy in shadow mode that spins (floor: without), distinct tokens, {case}");
            Row::pair(measure, unit, without, with, goal)
        };
        rows.push(row("logins", "1/s", many, |found| found.report.per_second));
        rows.push(row("99th percentile of latency", "ms", soon, p99_ms));
    }
    rows.push(Row::alone("mistakes, a policy in shadow mode that spins", "", mistakes(found, 1), AtMost(0.0)));
    rows
}

fn p99_ms(found: &Found) -> f64 {
    f64::from(found.report.p99_us) / 1000.0
}

/// CPU time per login with the policy less that without it, within each repeat.
fn extra_cpu(series: &Series) -> Vec<f64> {
    let [with, without] = [0, 1].map(|server| each(&series[server], |found| found.report.server.cpu_us));
    with.iter().zip(&without).map(|(with, without)| with - without).collect()
}

/// What the plans are, in order.
const CASES: [&str; 5] = [
    "distinct tokens, 8 connections",
    "distinct tokens, 32 connections",
    "the same tokens again, 8 connections",
    "the same tokens again, 32 connections",
    "distinct tokens, 128 connections",
];
/// Logins a second beside a shadow or an attack, where not as many as are answered.
const RATE: f64 = 1_000.0;
/// Few enough that the warm-up sees all of them.
const TOKENS: usize = 200;
