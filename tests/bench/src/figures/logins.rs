//! Logins with distinct tokens: the path that asks STS every time.

use std::time::Duration;

use super::{
    Row, Scale, Series, each, interleaved, mistakes, others,
    row::Goal::{AtLeast, AtLeastFloor, AtMost, AtMostFloor, Information},
};
use crate::{binaries::Binaries, run::Plan, target::Target};

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
    let cells =
        || CELLS.iter().zip(found).map(|(&(connections, latency_ms), series)| (connections, latency_ms, series));
    let mut rows: Vec<Row> = cells()
        .map(|(connections, latency_ms, series)| {
            let measure =
                format!("CPU per login, distinct tokens, {connections} connections, STS {latency_ms} ms{suffix}");
            let [floor, herald] = both(series, |found| found.report.server.cpu_us);
            Row::pair(measure, "µs", floor, herald, AtMostFloor(limit))
        })
        .collect();
    for (connections, _, series) in cells().filter(|&(connections, latency_ms, _)| connections >= 32 && latency_ms == 0)
    {
        let measure = format!("logins, distinct tokens, {connections} connections, STS 0 ms{suffix}");
        let [floor, herald] = both(series, |found| found.report.per_second);
        let goal = if protocol == Protocol::H1 { AtLeastFloor(0.6) } else { Information };
        rows.push(Row::pair(measure, "1/s", floor, herald, goal));
        let [floor, herald] = both(series, |found| f64::from(found.report.p99_us) / 1000.0);
        let measure =
            format!("99th percentile of latency, distinct tokens, {connections} connections, STS 0 ms{suffix}");
        rows.push(Row::pair(measure, "ms", floor, herald, Information));
    }
    rows.push(every(found, &format!("STS connections per 1,000 logins once warm{suffix}"), AtMost(0.0), |found| {
        found.connections_per_thousand()
    }));
    rows.push(every(found, &format!("STS calls per login, distinct tokens{suffix}"), AtLeast(0.97), |found| {
        found.calls_per_login()
    }));
    if protocol == Protocol::H1 {
        for (_, latency_ms, series) in cells().filter(|&(connections, ..)| connections == 128) {
            let [floor, herald] = both(series, |found| found.report.server.peak_mib);
            let measure = format!("RSS at 128 connections, distinct tokens, STS {latency_ms} ms");
            rows.push(Row::pair(measure, "MiB", floor, herald, AtMost(40.0)));
        }
    }
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

/// The same figure of the floor and of Herald, one entry a repeat.
fn both(series: &Series, figure: impl Fn(&crate::run::Found) -> f64) -> [Vec<f64>; 2] {
    [each(&series[FLOOR], &figure), each(&series[HERALD], &figure)]
}

/// A figure over all cells and repeats.
fn every(found: &[Series], measure: &str, goal: super::row::Goal, figure: impl Fn(&crate::run::Found) -> f64) -> Row {
    let all = |server: usize| found.iter().flat_map(|series| each(&series[server], &figure)).collect();
    Row::pair(measure, "", all(FLOOR), all(HERALD), goal)
}

/// Connections, and milliseconds that the dev STS spends on each answer.
const CELLS: [(usize, u64); 6] = [(8, 0), (32, 0), (128, 0), (8, 5), (32, 5), (128, 5)];
/// Where the floor stands among the servers.
const FLOOR: usize = 0;
/// Where Herald stands among the servers.
const HERALD: usize = 1;
