//! The verified-caller cache and single flight: the same tokens again, and equal tokens at once.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use hyper::StatusCode;

use super::{
    Row, Scale, each, interleaved, mistakes, others,
    row::Goal::{AtMost, Information},
};
use crate::{
    binaries::Binaries,
    load::{Order, Protocol, client},
    run::{self, Plan},
    target::{Running, Target},
    tls,
    world::World,
};

/// Measures repeated tokens, then equal tokens at once.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::FloorCached, Target::Herald], false).await?;
    let servers = world.start_all().await?;
    let plans: Vec<Plan> = CONNECTIONS
        .iter()
        .map(|&connections| Plan::distinct(connections, Duration::ZERO, scale.duration).repeated(TOKENS))
        .collect();
    let found = interleaved(&world, &servers, &plans, scale.repeats).await?;
    let mut rows = Vec::new();
    for (connections, series) in CONNECTIONS.iter().zip(&found) {
        let [floor, herald] = [0, 1].map(|server| each(&series[server], |found| found.report.server.cpu_us));
        let measure = format!("CPU per login, the same tokens again, {connections} connections");
        rows.push(Row::pair(measure, "µs", floor, herald, AtMost(40.0)));
        let [floor, herald] = [0, 1].map(|server| each(&series[server], |found| found.report.per_second));
        let measure = format!("logins, the same tokens again, {connections} connections");
        rows.push(Row::pair(measure, "1/s", floor, herald, Information));
    }
    let [floor, herald] = [mistakes(&found, 0), mistakes(&found, 1)];
    rows.push(Row::pair("mistakes, the same tokens again", "", floor, herald, AtMost(0.0)));
    rows.push(others(&found, "the same tokens again"));

    let mut calls = [Vec::new(), Vec::new()];
    for _ in 0..scale.repeats {
        for (server, calls) in servers.iter().zip(&mut calls) {
            calls.push(calls_for_equal_tokens(&world, server).await?);
        }
    }
    let [floor, herald] = calls;
    rows.push(Row::pair(format!("STS calls for {AT_ONCE} equal tokens at once"), "", floor, herald, AtMost(1.0)));
    for server in servers {
        server.stop().await;
    }
    Ok(rows)
}

/// Sends one new token on many open connections at once; gives the STS calls that this made.
async fn calls_for_equal_tokens(world: &World, server: &Running) -> anyhow::Result<f64> {
    let plan = Plan::distinct(AT_ONCE, Duration::from_millis(50), Duration::ZERO).repeated(1);
    let spec = run::spec(world, server, &plan)?;
    let connector = tls::danger_connector(Protocol::H1.alpn());
    let connect = || client::Sender::connect(spec.address, spec.protocol, &connector);
    let senders = try_join_all((0..AT_ONCE).map(|_| connect())).await?;
    let sts = &world.site(server.target)?.sts.sts;
    sts.set(plan.sts.behaviour(&sts.behaviour()));
    sts.reset();
    let body = &spec.cases.at(Order::Round, 0).body;
    let answers = senders.into_iter().map(|mut sender| async move {
        sender.send(client::review(spec.address, spec.path, spec.protocol, body)).await
    });
    let answers = try_join_all(answers).await?;
    let good = |body: &[u8]| String::from_utf8_lossy(body).replace(' ', "").contains(r#""authenticated":true"#);
    ensure!(
        answers.iter().all(|(status, body)| *status == StatusCode::OK && good(body)),
        "{}: not all of {AT_ONCE} equal tokens were let in",
        server.target.name()
    );
    Ok(sts.stats().requests as f64)
}

const CONNECTIONS: [usize; 3] = [8, 32, 128];
/// Few enough that the warm-up sees all of them.
const TOKENS: usize = 200;
const AT_ONCE: usize = 64;
