//! Large mapping tables: what 50,000 entries cost to load, to hold and at each login, and 1,000 permission sets.
//!
//! Tokens are spread over all roles of the large table, so that no login finds its entry in a processor's cache by luck.

use std::time::Duration;

use super::{
    Row, Scale, each, mistakes,
    row::Goal::{AtMost, AtMostFloor, Information},
};
use crate::{
    binaries::Binaries,
    output,
    run::{self, Found, Plan},
    startup::{self, Starts},
    target::{Running, Target, config::MapKind},
    world::World,
};

/// Starts Herald with each table again and again, then lets all of them answer in turn.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let mut worlds = Vec::new();
    for (kind, entries, roles) in TABLES {
        worlds.push(super::world_with(binaries, &[Target::Herald], false, (kind, entries, roles)).await?);
    }
    let mut starts = Vec::new();
    for world in &worlds {
        starts.extend(startup::time(world, scale.starts).await?);
    }
    let [few, many, sets] = &starts[..] else { anyhow::bail!("one server of each of three tables was asked for") };
    let ready = |starts: &Starts| starts.figures(|start| start.ready_ms);
    let anonymous = |starts: &Starts| starts.figures(|start| start.rest.anonymous_kib as f64 / 1024.0);
    let cpu = |starts: &Starts| starts.figures(|start| start.cpu_ms);
    let more = |few: Vec<f64>, many: Vec<f64>| std::iter::zip(few, many).map(|(few, many)| many - few).collect();
    let mut rows = vec![
        Row::alone(
            "start to ready, more with 50,000 mappings than with 10",
            "ms",
            more(ready(few), ready(many)),
            AtMost(1000.0),
        ),
        Row::alone("of it CPU", "ms", more(cpu(few), cpu(many)), Information),
        Row::pair(
            "of RSS anonymous, 50,000 mappings (floor: 10)",
            "MiB",
            anonymous(few),
            anonymous(many),
            AtMost(40.0),
        ),
        Row::pair("of RSS anonymous, 1,000 sets (floor: 10)", "MiB", anonymous(few), anonymous(sets), Information),
    ];
    rows.extend(logins(&worlds, scale).await?);
    Ok(rows)
}

async fn logins(worlds: &[World], scale: Scale) -> anyhow::Result<Vec<Row>> {
    let mut servers = Vec::new();
    for world in worlds {
        servers.extend(world.start_all().await?);
    }
    let distinct = Plan::distinct(CONNECTIONS, Duration::ZERO, scale.duration / TURNS);
    let found = in_turn(worlds, &servers, &distinct, scale.repeats * TURNS as usize).await?;
    let cpu = |server: usize| each(&found[server], |found| found.report.server.cpu_us);
    let measure =
        |table: &str| format!("CPU per login, {table} (floor: Herald with 10 mappings), {CONNECTIONS} connections");
    let rows = vec![
        Row::pair(measure("50,000 mappings"), "µs", cpu(0), cpu(1), AtMostFloor(1.05)),
        Row::pair(measure("1,000 permission sets"), "µs", cpu(0), cpu(2), AtMostFloor(1.1)),
        Row::alone("mistakes, large tables", "", mistakes(std::slice::from_ref(&found), 1), AtMost(0.0)),
    ];
    for server in servers {
        server.stop().await;
    }
    Ok(rows)
}

/// For each server, what each repeat found.
async fn in_turn(
    worlds: &[World],
    servers: &[Running],
    plan: &Plan,
    repeats: usize,
) -> anyhow::Result<Vec<Vec<Found>>> {
    let mut found = vec![Vec::new(); servers.len()];
    for repeat in 0..repeats {
        output::progress(format_args!("repeat {repeat}: {} connections", plan.connections));
        for turn in 0..servers.len() {
            let index = (turn + repeat) % servers.len();
            found[index].push(run::run(&worlds[index], &servers[index], plan).await?);
        }
    }
    Ok(found)
}

/// What the tables are made of, how many entries, and over how many roles tokens are spread.
const TABLES: [(MapKind, u64, u64); 3] =
    [(MapKind::Role, 10, 0), (MapKind::Role, 50_000, 0), (MapKind::Sso, 1_000, 10)];
const CONNECTIONS: usize = 32;
/// Turns that a load is cut into: a twentieth is looked for, and from second to second a machine's pace differs by more.
const TURNS: u32 = 4;
