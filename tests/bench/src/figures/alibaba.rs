//! Logins from Alibaba Cloud beside those from AWS, by the same binary in the same run: neither is to cost more.

use std::time::Duration;

use super::{
    Row, Scale, each, interleaved, mistakes, others,
    row::Goal::{AtLeast, AtMost, AtMostFloor, Information},
};
use crate::{binaries::Binaries, run::Plan, target::Target};

/// Measures the same load of distinct tokens with each cloud's callers.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald, Target::HeraldAlibaba], false).await?;
    let servers = world.start_all().await?;
    let plan = Plan::distinct(CONNECTIONS, Duration::ZERO, scale.duration);
    let found = interleaved(&world, &servers, &[plan], scale.repeats).await?;
    for server in servers {
        server.stop().await;
    }
    let both = |figure: fn(&crate::run::Found) -> f64| [AWS, ALIBABA].map(|server| each(&found[0][server], figure));
    let row = |measure: &str, unit, figure, goal| {
        let [aws, alibaba] = both(figure);
        Row::pair(
            format!("{measure}, Alibaba Cloud (floor: Herald with AWS), {CIRCUMSTANCES}"),
            unit,
            aws,
            alibaba,
            goal,
        )
    };
    Ok(vec![
        row("CPU per login", "µs", |found| found.report.server.cpu_us, AtMostFloor(1.1)),
        row("logins", "1/s", |found| found.report.per_second, Information),
        row("STS calls per login", "", crate::run::Found::calls_per_login, AtLeast(0.97)),
        Row::pair("mistakes, Alibaba Cloud", "", mistakes(&found, AWS), mistakes(&found, ALIBABA), AtMost(0.0)),
        others(&found, "Alibaba Cloud"),
    ])
}

const CONNECTIONS: usize = 32;
const CIRCUMSTANCES: &str = "distinct tokens, 32 connections, STS 0 ms";
/// Where the server for AWS stands among the servers.
const AWS: usize = 0;
/// Where the server for Alibaba Cloud stands among the servers.
const ALIBABA: usize = 1;
