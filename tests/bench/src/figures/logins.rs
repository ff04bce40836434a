//! Logins with distinct tokens: the path that asks STS every time.

use std::time::Duration;

use super::{
    Row, Scale, Series, each, interleaved, mistakes, others,
    row::Goal::{AtLeast, AtLeastFloor, AtMost, AtMostFloor, Information},
};
use crate::{
    binaries::Binaries,
    run::{Found, Plan},
    target::Target,
};

/// What the dev STS speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    /// HTTP/1.1 only.
    H1,
    /// HTTP/2.
    H2,
}

/// Measures all cells and makes their rows.
pub(super) async fn measure(binaries: &Binaries, scale: Scale, protocol: Protocol) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::FloorSts, Target::Herald], protocol == Protocol::H2).await?;
    let servers = world.start_all().await?;
    let plans: Vec<Plan> = CELLS
        .iter()
        .map(|&(connections, latency_ms)| {
            Plan::distinct(connections, Duration::from_millis(latency_ms), scale.duration)
        })
        .collect();
    let found = interleaved(&world, &servers, &plans, scale.repeats).await?;
    for server in servers {
        server.stop().await;
    }
    Ok(rows(protocol, &found))
}

fn rows(protocol: Protocol, found: &[Series]) -> Vec<Row> {
    let (limit, suffix) = match protocol {
        Protocol::H1 => (1.8, ""),
        Protocol::H2 => (2.0, ", STS over HTTP/2"),
    };
    let mut rows = Vec::new();
    for (&(connections, latency_ms), series) in CELLS.iter().zip(found) {
        let case = format!("distinct tokens, {connections} connections, STS {latency_ms} ms{suffix}");
        rows.extend(of_case(&case, latency_ms, limit, series));
    }
    rows.push(every(found, &format!("STS connections per 1,000 logins once warm{suffix}"), AtMost(0.0), |found| {
        found.connections_per_thousand()
    }));
    rows.push(every(found, &format!("STS calls per login, distinct tokens{suffix}"), AtLeast(0.97), |found| {
        found.calls_per_login()
    }));
    rows.push(Row::pair(
        format!("mistakes, distinct tokens{suffix}"),
        "",
        mistakes(found, FLOOR),
        mistakes(found, HERALD),
        AtMost(0.0),
    ));
    rows.push(others(found, &format!("distinct tokens{suffix}")));
    rows
}

/// What one load came to: CPU time with the first goal, `limit`, and the stricter one; rate, latencies and memory.
pub(super) fn of_case(case: &str, latency_ms: u64, limit: f64, series: &Series) -> Vec<Row> {
    let row = |what: &str, unit, goal, figure: &dyn Fn(&Found) -> f64| {
        let [floor, herald] = both(series, figure);
        Row::pair(format!("{what}, {case}"), unit, floor, herald, goal)
    };
    let ms = |micros: u32| f64::from(micros) / 1000.0;
    vec![
        row("CPU per login", "µs", AtMostFloor(limit), &|found| found.report.server.cpu_us).and(AtMostFloor(1.5)),
        row("logins", "1/s", AtLeastFloor(if latency_ms == 0 { 0.7 } else { 0.85 }), &|found| found.report.per_second),
        row("median of latency", "ms", Information, &|found| ms(found.report.p50_us)),
        row("99th percentile of latency", "ms", AtMostFloor(1.5), &|found| ms(found.report.p99_us)),
        row("99.9th percentile of latency", "ms", Information, &|found| ms(found.report.p999_us)),
        row("RSS", "MiB", AtMost(40.0), &|found| found.report.server.peak_mib),
    ]
}

/// The same figure of the floor and of Herald, one entry a repeat.
fn both(series: &Series, figure: impl Fn(&Found) -> f64) -> [Vec<f64>; 2] {
    [each(&series[FLOOR], &figure), each(&series[HERALD], &figure)]
}

/// A figure over all cells and repeats.
fn every(found: &[Series], measure: &str, goal: super::row::Goal, figure: impl Fn(&Found) -> f64) -> Row {
    let all = |server: usize| found.iter().flat_map(|series| each(&series[server], &figure)).collect();
    Row::pair(measure, "", all(FLOOR), all(HERALD), goal)
}

/// Connections, and milliseconds that the dev STS spends on each answer.
const CELLS: [(usize, u64); 12] =
    [(8, 0), (32, 0), (128, 0), (8, 5), (32, 5), (128, 5), (8, 20), (32, 20), (128, 20), (8, 50), (32, 50), (128, 50)];
/// Where the floor stands among the servers.
const FLOOR: usize = 0;
/// Where Herald stands among the servers.
const HERALD: usize = 1;
