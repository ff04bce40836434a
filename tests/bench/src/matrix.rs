//! `bench matrix`: goes through the cells of connections × protocol × tokens × STS latency × rate, all targets in turn
//! within each repeat, and prints medians, those of Herald as ratios to the echo and to the floor as well.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde::Serialize;
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
    /// One short repeat instead of three, and nothing twice that comes out the same: repeated tokens at the first STS latency alone,
    /// since none of them asks STS; the echo, which neither asks STS nor looks at tokens, once for each way of sending. Five minutes
    /// instead of an hour.
    #[arg(long)]
    quick: bool,
    /// Time the dev STS spends on each answer, in milliseconds.
    #[arg(long, value_delimiter = ',', default_value = "0,5,20,50")]
    latency_ms: Vec<u64>,
    /// Connections.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
    connections: Vec<usize>,
    /// How requests are carried.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "h1,h2")]
    protocol: Vec<Protocol>,
    /// Requests at a time on each HTTP/2 connection.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Open loop: requests a second.
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    /// How often each cell is run, each time by servers that are started anew. Default 3, or 1 with `--quick`.
    #[arg(long)]
    repeat: Option<usize>,
    /// Uncounted time at first, in milliseconds. Default 700, or 500 with `--quick`.
    #[arg(long)]
    warm_up_ms: Option<u64>,
    /// Counted time, in milliseconds. Default 2500, or 1000 with `--quick`.
    #[arg(long)]
    duration_ms: Option<u64>,
    /// Longest wait for one answer, in milliseconds.
    #[arg(long, default_value_t = 15_000)]
    timeout_ms: u64,
    /// Tokens in each run, which then come round again; 0: none comes twice. Ten are few enough that one connection has shown them
    /// all before the counted time.
    #[arg(long, value_delimiter = ',', default_value = "0,10")]
    tokens: Vec<usize>,
    /// What is wrong with the tokens, if anything.
    #[arg(long, value_enum, default_value = "good")]
    kind: Kind,
    /// In which order tokens are taken.
    #[arg(long, value_enum, default_value = "round")]
    order: Order,
    /// A fault of the dev STS.
    #[arg(long, value_enum, default_value = "none")]
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
    #[arg(long)]
    budget_s: Option<u64>,
}

/// What distinguishes one group of runs from another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Cell {
    #[serde(flatten)]
    way: Way,
    /// As in the arguments: 0: none comes twice.
    tokens: usize,
    latency_ms: u64,
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Way {
    connections: usize,
    protocol: Protocol,
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
    let world = World::new(&arguments.world, &TARGETS).await?;
    let (rows, is_whole) = all_runs(arguments, &world).await?;
    output::line(table::of(&rows, arguments.quick));
    if !is_whole {
        output::line(CUT);
    }
    if let Some(file) = &arguments.world.json {
        fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

/// The runs, and whether they are all of them.
async fn all_runs(arguments: &Arguments, world: &World) -> anyhow::Result<(Vec<Row>, bool)> {
    let (began, budget) = (Instant::now(), arguments.budget_s.map(Duration::from_secs));
    let (repeats, cells) = (arguments.repeat.unwrap_or(if arguments.quick { 1 } else { 3 }), arguments.cells());
    let mut rows: Vec<Row> = Vec::new();
    for repeat in 0..repeats {
        let running = world.start_all().await?;
        for (nth, &cell) in cells.iter().enumerate() {
            output::progress(format_args!("repeat {repeat}, cell {} of {}: {cell:?}", nth + 1, cells.len()));
            for turn in 0..running.len() {
                let server = &running[(turn + repeat) % running.len()];
                let is_known =
                    |row: &Row| row.repeat == repeat && row.target == server.target && row.cell.way == cell.way;
                let again = arguments.quick && server.target == Target::FloorEcho && rows.iter().any(is_known);
                if again || !cell.suits(server.target) {
                    continue;
                }
                if budget.is_some_and(|budget| began.elapsed() > budget) {
                    return Ok((rows, false));
                }
                let found = one_run(arguments, world, server, cell).await?;
                rows.push(Row { cell, target: server.target, repeat, found });
            }
        }
        for server in running {
            server.stop().await;
        }
    }
    Ok((rows, true))
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

// === impl Cell ===

impl Cell {
    /// Whether `target` has a part in it: there is a floor for tokens that come once, and one for those that come again.
    fn suits(self, target: Target) -> bool {
        match target {
            Target::FloorCached => self.tokens > 0,
            Target::FloorSts => self.tokens == 0,
            _ => true,
        }
    }
}

// === impl Arguments ===

impl Arguments {
    /// Few connections first, so that what a server needs for many is not in the figures of few.
    fn cells(&self) -> Vec<Cell> {
        let rates: Vec<Option<f64>> =
            if self.rate.is_empty() { vec![None] } else { self.rate.iter().copied().map(Some).collect() };
        let mut cells = Vec::new();
        for &connections in &self.connections {
            for &protocol in &self.protocol {
                for way in rates.iter().map(|&rate| Way { connections, protocol, rate }) {
                    for &tokens in &self.tokens {
                        let count = if self.quick && tokens > 0 { 1 } else { self.latency_ms.len() };
                        let latencies = self.latency_ms.iter().take(count);
                        cells.extend(latencies.map(|&latency_ms| Cell { way, tokens, latency_ms }));
                    }
                }
            }
        }
        cells
    }

    fn plan(&self, Cell { way, tokens, latency_ms }: Cell) -> Plan {
        let (warm_up_ms, duration_ms) = if self.quick { (500, 1000) } else { (700, 2500) };
        Plan {
            sts: StsPlan {
                latency: Duration::from_millis(latency_ms),
                fault: self.fault,
                fault_percent: self.fault_percent,
                rate_limit: self.sts_rate_limit,
            },
            protocol: way.protocol,
            connections: way.connections,
            streams: self.streams,
            rate: way.rate,
            tokens: Tokens { kind: self.kind, distinct: (tokens > 0).then_some(tokens), order: self.order },
            warm_up: Duration::from_millis(self.warm_up_ms.unwrap_or(warm_up_ms)),
            duration: Duration::from_millis(self.duration_ms.unwrap_or(duration_ms)),
            timeout: Duration::from_millis(self.timeout_ms),
            settle: load::SETTLE,
        }
    }
}

/// What is said of a table when the time was up.
const CUT: &str = "Cut short by `--budget-s`: some lines have fewer repeats than others, and some are not there.";
/// The echo, both floors, and Herald without and with a policy.
const TARGETS: [Target; 5] =
    [Target::FloorEcho, Target::FloorSts, Target::FloorCached, Target::Herald, Target::HeraldPolicy];
/// Connections of the other traffic.
const BESIDE_CONNECTIONS: usize = 32;
