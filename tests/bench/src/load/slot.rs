//! One slot of a load: sends a request, judges the answer, and goes on.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{StatusCode, client::conn::http2};
use tokio::{
    sync,
    time::{sleep, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    Protocol, Shared, Spec,
    client::{self, Sender},
    report::Tally,
};
use crate::traffic::Case;

/// The HTTP/2 connection that several slots share, once one of them has made it.
type SharedSender = Arc<sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>>;

/// The connection of a slot.
pub(super) enum Connection {
    /// Its own.
    Own(Option<Sender>),
    /// One that several slots share.
    Shared(SharedSender),
}

/// One request at a time.
pub(super) struct Slot {
    pub(super) spec: Arc<Spec>,
    pub(super) shared: Arc<Shared>,
    pub(super) connector: TlsConnector,
    pub(super) connection: Connection,
    pub(super) tally: Arc<Mutex<Tally>>,
}

// === impl Connection ===

impl Connection {
    /// The slots that one connection of `spec` serves.
    pub(super) fn for_slots(spec: &Spec) -> Vec<Self> {
        if spec.protocol != Protocol::H2 {
            return vec![Self::Own(None)];
        }
        let shared = SharedSender::default();
        (0..spec.streams).map(|_| Self::Shared(Arc::clone(&shared))).collect()
    }
}

// === impl Slot ===

impl Slot {
    /// Sends until the load is stopped.
    pub(super) async fn run(mut self) {
        while !self.shared.stopped.load(Relaxed) {
            let n = self.shared.next.fetch_add(1, Relaxed);
            let due = self.wait_until_due(n).await;
            if self.shared.stopped.load(Relaxed) {
                break;
            }
            self.shared.in_flight.fetch_add(1, Relaxed);
            let answer = self.ask(n).await;
            self.shared.in_flight.fetch_sub(1, Relaxed);
            let failed = !matches!(answer, Ok(Ok(_)));
            if self.shared.measuring.load(Relaxed) {
                self.count(n, due, answer);
            }
            if failed {
                self.hang_up();
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    async fn wait_until_due(&self, n: u64) -> Instant {
        let Some(rate) = self.spec.rate else { return Instant::now() };
        let due = self.shared.began + Duration::from_secs_f64(n as f64 / rate);
        sleep_until(due.into()).await;
        due
    }

    async fn ask(&mut self, n: u64) -> Result<anyhow::Result<(StatusCode, Bytes)>, tokio::time::error::Elapsed> {
        let spec = Arc::clone(&self.spec);
        let body = &spec.cases.at(spec.order, n).body;
        if spec.protocol == Protocol::New {
            self.hang_up();
        }
        let exchange = async {
            let request = client::review(spec.address, spec.path, spec.protocol, body);
            match &mut self.connection {
                Connection::Own(own) => {
                    let sender = match own {
                        Some(sender) => sender,
                        None => own.insert(Sender::connect(spec.address, spec.protocol, &self.connector).await?),
                    };
                    sender.send(request).await
                }
                Connection::Shared(shared) => {
                    Sender::H2(join(shared, &spec, &self.connector).await?).send(request).await
                }
            }
        };
        timeout(spec.timeout, exchange).await
    }

    fn count(
        &self,
        n: u64,
        due: Instant,
        answer: Result<anyhow::Result<(StatusCode, Bytes)>, tokio::time::error::Elapsed>,
    ) {
        let case: &Case = self.spec.cases.at(self.spec.order, n);
        let mut tally = self.tally.lock().expect("nobody panics while counting");
        match answer {
            Ok(Ok((status, body))) => tally.answer(case, due.elapsed(), status, &body),
            Ok(Err(_)) => tally.io_errors += 1,
            Err(_) => tally.timeouts += 1,
        }
    }

    fn hang_up(&mut self) {
        if let Connection::Own(own) = &mut self.connection {
            *own = None;
        }
    }
}

async fn join(
    shared: &SharedSender,
    spec: &Spec,
    connector: &TlsConnector,
) -> anyhow::Result<http2::SendRequest<Full<Bytes>>> {
    let mut shared = shared.lock().await;
    if shared.as_ref().is_none_or(http2::SendRequest::is_closed)
        && let Sender::H2(sender) = Sender::connect(spec.address, spec.protocol, connector).await?
    {
        *shared = Some(sender);
    }
    shared.clone().context("no HTTP/2 connection")
}

/// Pause after a failure, so that a dead server is not hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(2);
