//! `bench abuse`: slow heads and bodies, idle connections, huge bodies, and clients that leave while STS
//! is slow. Shows when the server closes, what it costs it, and whether it is healthy afterwards.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    load::{Protocol, client},
    output, procfs,
    target::{Running, Target},
    tls,
    world::{self, Site, World},
};

pub(crate) mod bodies;
pub(crate) mod slow;
pub(crate) mod vanishing;

/// How much of each.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    world: world::Arguments,
    /// Idle connections whose cost is measured.
    #[arg(long, default_value_t = 500)]
    idle: usize,
    /// Slow heads, and as many slow bodies.
    #[arg(long, default_value_t = 20)]
    slow: usize,
    /// How long slow and idle connections are held, in seconds.
    #[arg(long, default_value_t = 75)]
    hold_s: u64,
    /// Sizes of huge bodies, in MiB.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    body_mib: Vec<usize>,
}

/// Runs the subcommand.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let world = World::new(&arguments.world, &Target::PAIR).await?;
    let mut all = BTreeMap::new();
    for site in world.sites() {
        let running = site.target.start(&site.place).await?;
        let found = abuse(arguments, site, &running, world.roles).await?;
        running.stop().await;
        output::line(format_args!("{}: {}", site.target.name(), serde_json::to_string_pretty(&found)?));
        all.insert(site.target.name(), Value::Object(found));
    }
    if let Some(file) = &arguments.world.json {
        fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

async fn abuse(
    arguments: &Arguments,
    site: &Site,
    running: &Running,
    roles: u64,
) -> anyhow::Result<Map<String, Value>> {
    let hold = Duration::from_secs(arguments.hold_s.min(LONGEST_HOLD_S));
    let mut found = handshakes(running, arguments.idle).await?;
    for group in slow::run(running, arguments.slow, hold).await? {
        found.insert(group.name.to_owned(), group.summary());
    }
    let mut huge = Vec::new();
    for &mib in &arguments.body_mib {
        huge.push(bodies::run(running, mib).await);
    }
    found.insert("hugeBody".to_owned(), serde_json::to_value(huge)?);
    found.insert("vanishingClients".to_owned(), serde_json::to_value(vanishing::run(site, running, roles).await?)?);
    let health = timeout(Duration::from_secs(5), client::status_of(running.address, "/healthz")).await;
    found.insert("healthyAfterwards".to_owned(), matches!(health, Ok(Ok(200))).into());
    Ok(found)
}

/// What `n` handshakes and the idle connections behind them cost the server.
async fn handshakes(running: &Running, n: usize) -> anyhow::Result<Map<String, Value>> {
    let connector = tls::danger_connector(Protocol::H1.alpn());
    let before = procfs::sample(running.pid).unwrap_or_default();
    let began = Instant::now();
    let mut open = Vec::new();
    for _ in 0..n {
        open.push(client::dial(running.address, &connector).await?);
    }
    let seconds = began.elapsed().as_secs_f64();
    sleep(Duration::from_millis(500)).await;
    let with = procfs::sample(running.pid).unwrap_or_default();
    let each = |total: f64| (total / n.max(1) as f64).round();
    Ok(Map::from_iter([
        ("handshakeCpuMicros".to_owned(), json!(each((with.cpu_ms - before.cpu_ms) * 1000.0))),
        ("handshakesPerSecondInTurn".to_owned(), json!((n as f64 / seconds).round())),
        ("kibPerIdleConnection".to_owned(), json!(each(with.rss_kib as f64 - before.rss_kib as f64))),
    ]))
}

const LONGEST_HOLD_S: u64 = 400;
