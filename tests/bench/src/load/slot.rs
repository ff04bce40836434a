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
    time::{error::Elapsed, sleep, sleep_until, timeout},
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

/// The answer to a request, or why there is none.
type Answer = Result<anyhow::Result<(StatusCode, Bytes)>, Elapsed>;

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
    /// Sends until the load is stopped, and waits for the last answer.
    pub(super) async fn run(mut self) {
        while !self.shared.stopped.load(Relaxed) {
            let n = self.shared.next.fetch_add(1, Relaxed);
            let Some(due) = self.wait_until_due(n).await else { return };
            let answer = self.ask(n).await;
            let failed = !matches!(answer, Ok(Ok(_)));
            self.count(n, due, answer);
            if failed {
                self.hang_up();
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    /// When the `n`th request was due, once that moment has come; `None`: the load is stopped before.
    async fn wait_until_due(&self, n: u64) -> Option<Instant> {
        let Some(rate) = self.spec.rate else { return Some(Instant::now()) };
        let due = self.shared.began + Duration::from_secs_f64(n as f64 / rate);
        // Before `stopped` is read: a load that is stopped in between wakes it.
        let over = self.shared.over.notified();
        if self.shared.stopped.load(Relaxed) {
            return None;
        }
        tokio::select! {
            biased;
            () = over => None,
            () = sleep_until(due.into()) => Some(due),
        }
    }

    async fn ask(&mut self, n: u64) -> Answer {
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

    /// Counts an answer; apart, if the load is stopped.
    fn count(&self, n: u64, due: Instant, answer: Answer) {
        let stopped = self.shared.stopped.load(Relaxed);
        if !stopped && !self.shared.measuring.load(Relaxed) {
            return;
        }
        let case: &Case = self.spec.cases.at(self.spec.order, n);
        let mut tally = self.tally.lock().expect("nobody panics while counting");
        match answer {
            Ok(Ok((status, body))) if stopped => tally.late_answer(case, status, &body),
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
