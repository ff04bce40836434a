//! Clients that leave while STS is slow: are their STS calls given up?

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::Serialize;
use tests::sts::Behaviour;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::{
    load::{Order, Protocol, client},
    target::{ROUTE, Running},
    tls,
    traffic::{Cases, Cloud, Kind},
    world::Site,
};

/// What became of the STS calls of clients that left.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Vanished {
    clients: usize,
    /// Calls that STS was asked.
    pub(crate) sts_calls: u64,
    /// Of them, those that nobody waited for.
    pub(crate) given_up: u64,
    answered: u64,
}

/// Sends one login on each of some connections and leaves before STS answers.
pub(crate) async fn run(site: &Site, running: &Running, roles: u64) -> anyhow::Result<Vanished> {
    let sts = &site.sts.sts;
    let present = Behaviour::clone(&sts.behaviour());
    sts.set(Behaviour { latency_ms: 1500.0, ..present.clone() });
    sts.reset();
    let cases =
        Arc::new(Cases::make((Cloud::Aws, Kind::Good), CLIENTS, FIRST_SESSION, roles, running.target.naming())?);
    join_all((0..CLIENTS).map(|n| leave_early(running, &cases, n as u64))).await;
    sleep(Duration::from_millis(1800)).await;
    let stats = sts.stats();
    sts.set(present);
    Ok(Vanished { clients: CLIENTS, sts_calls: stats.requests, given_up: stats.aborted, answered: stats.ok })
}

async fn leave_early(running: &Running, cases: &Cases, n: u64) {
    let Ok(mut stream) = client::dial(running.address, &tls::danger_connector(Protocol::H1.alpn())).await else {
        return;
    };
    let body = &cases.at(Order::Round, n).body;
    let head = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // Whatever fails here shows in the STS's own count.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    sleep(Duration::from_millis(600)).await;
}

const CLIENTS: usize = 50;
/// Far from the sessions that other runs use.
const FIRST_SESSION: u64 = 900_000;
