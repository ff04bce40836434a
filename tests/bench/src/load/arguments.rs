//! `bench load`: load on one webhook that already runs; prints one JSON report.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::ensure;

use super::{Order, Protocol, SETTLE, Spec};
use crate::{
    output,
    target::ROUTE,
    tls::Trust,
    traffic::{Cases, Cloud, Kind, Naming},
};

/// What to send, to whom, for how long.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Loopback address of the webhook.
    #[arg(long)]
    address: SocketAddr,
    /// Process to read CPU time and memory of.
    #[arg(long)]
    pid: Option<u32>,
    /// How requests are carried.
    #[arg(long, value_enum, default_value = "h1")]
    protocol: Protocol,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests at a time on each HTTP/2 connection.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Open loop at this many requests a second.
    #[arg(long)]
    rate: Option<f64>,
    /// Uncounted time at first, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    warm_up_ms: u64,
    /// Counted time, in milliseconds.
    #[arg(long, default_value_t = 5000)]
    duration_ms: u64,
    /// Longest wait for one answer, in milliseconds.
    #[arg(long, default_value_t = 15_000)]
    timeout_ms: u64,
    /// How many distinct tokens; they come round again.
    #[arg(long, default_value_t = 1000)]
    tokens: usize,
    /// Roles that the tokens are spread over.
    #[arg(long, default_value_t = 10)]
    roles: u64,
    /// What is wrong with the tokens, if anything.
    #[arg(long, value_enum, default_value = "good")]
    kind: Kind,
    /// In which order tokens are taken.
    #[arg(long, value_enum, default_value = "round")]
    order: Order,
}

/// Runs the subcommand.
///
/// # Errors
///
/// When the address is not loopback or tokens cannot be made.
pub(crate) async fn run_arguments(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { address, pid, protocol, connections, streams, rate, order, .. } = arguments;
    ensure!(address.ip().is_loopback(), "loopback only: {address}");
    let spec = Spec {
        address,
        path: ROUTE,
        pid,
        protocol,
        connections,
        streams,
        rate,
        timeout: Duration::from_millis(arguments.timeout_ms),
        settle: SETTLE,
        order,
        cases: Arc::new(Cases::make(
            (Cloud::Aws, arguments.kind),
            arguments.tokens,
            0,
            arguments.roles,
            Naming::Mapping,
        )?),
        trust: Trust::Anybody,
    };
    let (warm_up, duration) =
        (Duration::from_millis(arguments.warm_up_ms), Duration::from_millis(arguments.duration_ms));
    let report = super::run(spec, warm_up, duration, || ()).await;
    output::line(serde_json::to_string_pretty(&report)?);
    Ok(())
}
