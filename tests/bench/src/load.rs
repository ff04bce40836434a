//! Load generator: closed loop (each slot sends its next request when the last one is answered) or open
//! loop (arrivals at a fixed rate, latency counted from the moment a request was due, so that a stalled
//! server cannot hide its queue).

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use serde::Serialize;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout, timeout_at},
};

use crate::{procfs, tls::Trust, traffic::Cases};

pub(crate) mod arguments;
pub(crate) mod client;
pub(crate) mod report;
mod slot;

pub(crate) use arguments::{Arguments, run_arguments};
pub(crate) use report::Report;
use report::Tally;
use slot::{Connection, Slot};

/// How requests are carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// HTTP/1.1 with keep-alive: one request at a time on each connection.
    H1,
    /// HTTP/2: several requests at a time on each connection.
    H2,
    /// HTTP/1.1, a new TCP connection and TLS handshake for each request.
    New,
}

/// In which order tokens are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Order {
    /// One token after another.
    Round,
    /// Skewed: few tokens are asked often, most seldom.
    Zipf,
}

/// What load to send, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// The webhook.
    pub(crate) address: SocketAddr,
    /// Path of its TokenReview endpoint.
    pub(crate) path: &'static str,
    /// The webhook's process, for `/proc`; `None` leaves the server's figures out.
    pub(crate) pid: Option<u32>,
    /// How requests are carried.
    pub(crate) protocol: Protocol,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests at a time on each HTTP/2 connection.
    pub(crate) streams: usize,
    /// Requests a second in open loop; `None` is closed loop.
    pub(crate) rate: Option<f64>,
    /// Longest wait for one answer.
    pub(crate) timeout: Duration,
    /// Longest wait for what is under way when the time is over.
    pub(crate) settle: Duration,
    /// In which order tokens are taken.
    pub(crate) order: Order,
    /// The requests and what must come back.
    pub(crate) cases: Arc<Cases>,
    /// Whose certificates are accepted.
    pub(crate) trust: Trust,
}

/// Load under way: started, not yet measured.
pub(crate) struct Load {
    spec: Arc<Spec>,
    shared: Arc<Shared>,
    slots: Vec<(Arc<Mutex<Tally>>, JoinHandle<()>)>,
}

/// What the slots of one load share.
struct Shared {
    next: AtomicU64,
    measuring: AtomicBool,
    stopped: AtomicBool,
    /// Wakes those who wait until a request is due, once the load is stopped.
    over: Notify,
    began: Instant,
}

/// Sends `spec` for `warm_up` without counting, calls `measured` and counts for `duration`.
pub(crate) async fn run(spec: Spec, warm_up: Duration, duration: Duration, measured: impl FnOnce()) -> Report {
    let load = Load::start(spec);
    sleep(warm_up).await;
    measured();
    load.measure(duration).await
}

// === impl Protocol ===

impl Protocol {
    /// The protocol's name in TLS ALPN (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 | Self::New => b"http/1.1",
            Self::H2 => b"h2",
        }
    }
}

// === impl Order ===

impl Order {
    /// Index of the `n`th request's token among `len`.
    pub(crate) fn pick(self, n: u64, len: usize) -> usize {
        match self {
            Self::Round => usize::try_from(n).unwrap_or(usize::MAX) % len,
            Self::Zipf => {
                // Inverse transform of a 1/x density over 1..=len.
                let uniform = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64;
                ((len as f64).powf(uniform) as usize).clamp(1, len) - 1
            }
        }
    }
}

// === impl Load ===

impl Load {
    /// Connects and starts sending.
    pub(crate) fn start(spec: Spec) -> Self {
        let spec = Arc::new(spec);
        let connector = spec.trust.connector(spec.protocol.alpn());
        let shared = Arc::new(Shared {
            next: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            over: Notify::new(),
            began: Instant::now(),
        });
        let connections = (0..spec.connections).flat_map(|_| Connection::for_slots(&spec));
        let slots = connections.map(|connection| {
            let tally = Arc::new(Mutex::new(Tally::default()));
            let slot = Slot {
                spec: Arc::clone(&spec),
                shared: Arc::clone(&shared),
                connector: connector.clone(),
                connection,
                tally: Arc::clone(&tally),
            };
            (tally, tokio::spawn(slot.run()))
        });
        let slots = slots.collect();
        Self { spec, shared, slots }
    }

    /// Counts for `duration`, then stops, and lets what is under way settle.
    pub(crate) async fn measure(self, duration: Duration) -> Report {
        self.measure_until(sleep(duration)).await
    }

    /// Counts until `end` has come, then stops, and lets what is under way settle.
    pub(crate) async fn measure_until(self, end: impl Future<Output = ()>) -> Report {
        let own = std::process::id();
        let before = Moment::take(self.spec.pid, own);
        let began = Instant::now();
        self.shared.measuring.store(true, Relaxed);
        let peak_kib = self.watch(end).await;
        self.shared.stopped.store(true, Relaxed);
        let elapsed = began.elapsed();
        let after = Moment::take(self.spec.pid, own);
        self.shared.over.notify_waiters();

        let (tallies, tasks): (Vec<_>, Vec<_>) = self.slots.into_iter().unzip();
        let unfinished = settle(tasks, self.spec.settle).await;
        let mut tally = Tally::default();
        for slot in tallies {
            tally.add(std::mem::take(&mut *slot.lock().expect("a slot does not panic while it counts")));
        }
        tally.unfinished = unfinished;
        Report::new(tally, elapsed, &before, &after, peak_kib)
    }

    /// Waits for `end`, looking now and then at the server's memory; gives the largest seen, in KiB.
    async fn watch(&self, end: impl Future<Output = ()>) -> u64 {
        let (mut end, mut peak_kib) = (pin!(end), 0);
        loop {
            let is_over = timeout(MEMORY_PERIOD, end.as_mut()).await.is_ok();
            let sample = self.spec.pid.and_then(procfs::sample);
            peak_kib = peak_kib.max(sample.map_or(0, |sample| sample.rss_kib));
            if is_over {
                return peak_kib;
            }
        }
    }
}

/// Waits for slots that have a request under way, for `longest` in all, so that the next run starts with a quiet server.
/// Gives up those that are not done then, and tells how many they are.
async fn settle(slots: Vec<JoinHandle<()>>, longest: Duration) -> u64 {
    let end = Instant::now() + longest;
    let mut unfinished = 0;
    for mut slot in slots {
        if timeout_at(end.into(), &mut slot).await.is_err() && !slot.is_finished() {
            slot.abort();
            unfinished += 1;
        }
    }
    unfinished
}

/// Readings at one end of a measurement.
pub(crate) struct Moment {
    server: Option<procfs::Sample>,
    own_cpu_ms: f64,
    machine: Option<procfs::Machine>,
}

// === impl Moment ===

impl Moment {
    fn take(server: Option<u32>, own: u32) -> Self {
        Self {
            server: server.and_then(procfs::sample),
            own_cpu_ms: procfs::cpu_ms(own).unwrap_or(0.0),
            machine: procfs::machine(),
        }
    }
}

/// How often the server's memory is read.
const MEMORY_PERIOD: Duration = Duration::from_millis(250);
/// Longest wait for what is under way once the time is over, where nothing is to take longer.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        target::ROUTE,
        traffic::{Cloud, Kind, Naming},
    };

    /// Three connections to a server that takes them and never says a word.
    async fn check(rate: Option<f64>, unfinished: u64) {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let cases = Cases::make((Cloud::Aws, Kind::Good), 1, 0, 1, Naming::Mapping).expect("a token");
        let spec = Spec {
            address: silent.local_addr().expect("it is bound"),
            path: ROUTE,
            pid: None,
            protocol: Protocol::H1,
            connections: 3,
            streams: 1,
            rate,
            timeout: Duration::from_secs(60),
            settle: Duration::from_millis(50),
            order: Order::Round,
            cases: Arc::new(cases),
            trust: Trust::Anybody,
        };
        let report = run(spec, Duration::ZERO, Duration::from_millis(50), || ()).await;
        let verdicts = &report.verdicts;
        let found = (report.done, verdicts.unfinished, verdicts.errors(), verdicts.unanswered());
        assert_eq!(found, (0, unfinished, unfinished, unfinished), "{rate:?}");
    }

    #[tokio::test]
    async fn logins_that_never_come_back_are_failures() {
        check(None, 3).await;
        // The second is due in ten seconds.
        check(Some(0.1), 1).await;
    }

    #[tokio::test]
    async fn what_is_under_way_at_the_end_has_a_moment_and_no_more() {
        let soon = || tokio::spawn(sleep(Duration::from_millis(10)));
        let never = || tokio::spawn(pending::<()>());
        assert_eq!(settle(vec![soon(), soon()], Duration::from_secs(3600)).await, 0);
        assert_eq!(settle(vec![never(), soon(), never()], Duration::from_secs(3)).await, 2);
    }

    #[test]
    fn orders_stay_within_the_tokens() {
        for n in 0..1000 {
            assert_eq!(Order::Round.pick(n, 7), n as usize % 7);
            assert!(Order::Zipf.pick(n, 7) < 7);
            assert_eq!(Order::Zipf.pick(n, 1), 0);
        }
        let first = (0..1000).filter(|&n| Order::Zipf.pick(n, 1000) == 0).count();
        assert!(first > 50, "{first} of 1000 asked for the hottest token");
    }
}
