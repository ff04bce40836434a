//! `bench matrix`: goes through the cells of STS latency × protocol × connections × rate, all targets in
//! turn within each repeat, and prints medians and ratios to the first target.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde::{
    Deserialize as _, Serialize,
    de::{IntoDeserializer as _, value::Error},
};
use tests::sts::Fault;

use crate::{
    load::{self, Order, Protocol, Spec},
    output,
    run::{self, Found, Plan, StsPlan, Tokens},
    target::{Running, Target},
    traffic::Kind,
    world::{self, World},
};

mod table;

/// The cells, and how each run goes.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    world: world::Arguments,
    /// Time the dev STS spends on each answer, in milliseconds.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    latency_ms: Vec<u64>,
    /// Connections.
    #[arg(long, value_delimiter = ',', default_value = "8")]
    connections: Vec<usize>,
    /// How requests are carried.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "h1")]
    protocol: Vec<Protocol>,
    /// Requests at a time on each HTTP/2 connection.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Open loop: requests a second.
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    /// How often each cell is run.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Uncounted time at first, in milliseconds.
    #[arg(long, default_value_t = 700)]
    warm_up_ms: u64,
    /// Counted time, in milliseconds.
    #[arg(long, default_value_t = 2500)]
    duration_ms: u64,
    /// Longest wait for one answer, in milliseconds.
    #[arg(long, default_value_t = 15_000)]
    timeout_ms: u64,
    /// Distinct tokens in each run, which then come round again; 0: none comes twice.
    #[arg(long, default_value_t = 0)]
    tokens: usize,
    /// What is wrong with the tokens, if anything.
    #[arg(long, value_enum, default_value = "good")]
    kind: Kind,
    /// In which order tokens are taken.
    #[arg(long, value_enum, default_value = "round")]
    order: Order,
    /// A fault of the dev STS.
    #[arg(long, default_value = "none", value_parser = fault)]
    fault: Fault,
    /// Share of the answers that get the fault, in percent.
    #[arg(long, default_value_t = 100.0)]
    fault_percent: f64,
    /// Calls a second above which the dev STS throttles; 0: no limit.
    #[arg(long, default_value_t = 0)]
    sts_rate_limit: u64,
    /// Other traffic beside the measured one, in requests a second. Its CPU time is in the server's
    /// figures, its answers are not.
    #[arg(long, default_value_t = 0.0)]
    beside_rate: f64,
    /// What the other traffic is made of.
    #[arg(long, value_enum, default_value = "junk")]
    beside_kind: Kind,
    /// Start no run after this many seconds.
    #[arg(long, default_value_t = 540)]
    budget_s: u64,
}

/// What distinguishes one group of runs from another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Cell {
    latency_ms: u64,
    protocol: Protocol,
    connections: usize,
    rate: Option<f64>,
}

/// One run of one target in one cell.
#[derive(Clone, Debug, Serialize)]
struct Row {
    cell: Cell,
    target: Target,
    repeat: usize,
    found: Found,
}

/// Runs the subcommand.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let world = World::new(&arguments.world).await?;
    let running = world.start_all().await?;
    let rows = all_runs(arguments, &world, &running).await?;
    for target in running {
        target.stop().await;
    }
    table::print(&rows, &arguments.world.targets);
    if let Some(file) = &arguments.world.json {
        fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

async fn all_runs(arguments: &Arguments, world: &World, running: &[Running]) -> anyhow::Result<Vec<Row>> {
    let (began, budget) = (Instant::now(), Duration::from_secs(arguments.budget_s));
    let mut rows = Vec::new();
    for repeat in 0..arguments.repeat {
        for cell in arguments.cells() {
            output::progress(format_args!("repeat {repeat}: {cell:?}"));
            for turn in 0..running.len() {
                if began.elapsed() > budget {
                    output::progress("the time is up; the rest is left out");
                    return Ok(rows);
                }
                let server = &running[(turn + repeat) % running.len()];
                let found = one_run(arguments, world, server, cell).await?;
                rows.push(Row { cell, target: server.target, repeat, found });
            }
        }
    }
    Ok(rows)
}

async fn one_run(arguments: &Arguments, world: &World, server: &Running, cell: Cell) -> anyhow::Result<Found> {
    let plan = arguments.plan(cell);
    if arguments.beside_rate <= 0.0 {
        return run::run(world, server, &plan).await;
    }
    let tokens = Tokens { kind: arguments.beside_kind, distinct: Some(500), order: Order::Round };
    let spec = run::spec(world, server, &Plan { tokens, ..plan.clone() })?;
    let spec = Spec {
        pid: None,
        protocol: Protocol::H1,
        connections: BESIDE_CONNECTIONS,
        rate: Some(arguments.beside_rate),
        ..spec
    };
    let beside = tokio::spawn(load::run(spec, plan.warm_up, plan.duration, || ()));
    let found = run::run(world, server, &plan).await?;
    let beside = beside.await?;
    output::progress(format_args!(
        "  beside it: {:.0}/s  p50 {} µs  p99 {} µs  HTTP {:?}",
        beside.per_second, beside.p50_us, beside.p99_us, beside.verdicts.status
    ));
    Ok(found)
}

// === impl Arguments ===

impl Arguments {
    fn cells(&self) -> Vec<Cell> {
        let rates: Vec<Option<f64>> =
            if self.rate.is_empty() { vec![None] } else { self.rate.iter().copied().map(Some).collect() };
        let mut cells = Vec::new();
        for &latency_ms in &self.latency_ms {
            for &protocol in &self.protocol {
                for &connections in &self.connections {
                    cells.extend(rates.iter().map(|&rate| Cell { latency_ms, protocol, connections, rate }));
                }
            }
        }
        cells
    }

    fn plan(&self, cell: Cell) -> Plan {
        Plan {
            sts: StsPlan {
                latency: Duration::from_millis(cell.latency_ms),
                fault: self.fault,
                fault_percent: self.fault_percent,
                rate_limit: self.sts_rate_limit,
            },
            protocol: cell.protocol,
            connections: cell.connections,
            streams: self.streams,
            rate: cell.rate,
            tokens: Tokens { kind: self.kind, distinct: (self.tokens > 0).then_some(self.tokens), order: self.order },
            warm_up: Duration::from_millis(self.warm_up_ms),
            duration: Duration::from_millis(self.duration_ms),
            timeout: Duration::from_millis(self.timeout_ms),
        }
    }
}

/// A fault by the name that the dev STS has for it.
fn fault(name: &str) -> Result<Fault, Error> {
    Fault::deserialize(name.into_deserializer())
}

/// Connections of the other traffic.
const BESIDE_CONNECTIONS: usize = 32;
