//! How requests come to the webhook: one connection, HTTP/2, several streams on each.

use std::time::Duration;

use super::{Row, Scale, interleaved, logins, mistakes, others, row::Goal::AtMost};
use crate::{binaries::Binaries, load::Protocol, run::Plan, target::Target};

/// Measures all cells and makes their rows.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::FloorSts, Target::Herald], false).await?;
    let servers = world.start_all().await?;
    let plan = |&(protocol, connections, streams, latency_ms): &(Protocol, usize, usize, u64)| Plan {
        protocol,
        streams,
        ..Plan::distinct(connections, Duration::from_millis(latency_ms), scale.duration)
    };
    let plans: Vec<Plan> = CELLS.iter().map(plan).collect();
    let found = interleaved(&world, &servers, &plans, scale.repeats).await?;
    for server in servers {
        server.stop().await;
    }
    let mut rows = Vec::new();
    for (&(protocol, connections, streams, latency_ms), series) in CELLS.iter().zip(&found) {
        let name = if protocol == Protocol::H2 { "HTTP/2" } else { "HTTP/1.1" };
        let place = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        let place = if streams == 1 { place } else { format!("{place} with {streams} streams") };
        rows.extend(logins::of_case(
            &format!("webhook over {name}, {place}, STS {latency_ms} ms"),
            latency_ms,
            1.8,
            series,
        ));
    }
    rows.push(Row::pair("mistakes, ways to the webhook", "", mistakes(&found, 0), mistakes(&found, 1), AtMost(0.0)));
    rows.push(others(&found, "ways to the webhook"));
    Ok(rows)
}

/// Protocol, connections, streams on each, and milliseconds at STS.
const CELLS: [(Protocol, usize, usize, u64); 6] = [
    (Protocol::H1, 1, 1, 0),
    (Protocol::H1, 1, 1, 5),
    (Protocol::H2, 1, 1, 0),
    (Protocol::H2, 1, 32, 0),
    (Protocol::H2, 8, 16, 0),
    (Protocol::H2, 8, 16, 5),
];
