//! One run: a load on one target with its dev STS set up for it, and what both saw.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use tests::sts::{Behaviour, Fault, Stats};

use crate::{
    load::{self, Order, Protocol, Report, Spec},
    output,
    target::{ROUTE, Running},
    tls::Trust,
    traffic::{Cases, Kind},
    world::World,
};

/// What one run is to be like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// How the dev STS behaves.
    pub(crate) sts: StsPlan,
    /// How requests are carried.
    pub(crate) protocol: Protocol,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests at a time on each HTTP/2 connection.
    pub(crate) streams: usize,
    /// Requests a second in open loop; `None` is closed loop.
    pub(crate) rate: Option<f64>,
    /// The tokens.
    pub(crate) tokens: Tokens,
    /// Uncounted time at first.
    pub(crate) warm_up: Duration,
    /// Counted time.
    pub(crate) duration: Duration,
    /// Longest wait for one answer.
    pub(crate) timeout: Duration,
    /// Longest wait for what is under way at the end; what is then is a login that never came back.
    pub(crate) settle: Duration,
}

/// The tokens of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tokens {
    /// What is wrong with them, if anything.
    pub(crate) kind: Kind,
    /// How many different ones there are; `None`: enough that none comes twice.
    pub(crate) distinct: Option<usize>,
    /// In which order they are taken.
    pub(crate) order: Order,
}

/// How the dev STS behaves in one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StsPlan {
    /// Time it spends on each answer.
    pub(crate) latency: Duration,
    /// What goes wrong.
    pub(crate) fault: Fault,
    /// Share of the answers that get the fault, in percent.
    pub(crate) fault_percent: f64,
    /// Calls a second above which it throttles; 0: no limit.
    pub(crate) rate_limit: u64,
}

/// What one run found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    /// The load's side.
    pub(crate) report: Report,
    /// The dev STS's side, from the end of the warm-up on.
    pub(crate) sts: Stats,
}

/// Runs `plan` on `running`, with tokens that no run before has used unless the plan repeats them.
///
/// # Errors
///
/// When tokens cannot be made.
pub(crate) async fn run(world: &World, running: &Running, plan: &Plan) -> anyhow::Result<Found> {
    let spec = spec(world, running, plan)?;
    let sts = &world.site(running.target)?.sts.sts;
    sts.set(plan.sts.behaviour(&sts.behaviour()));
    let report = load::run(spec, plan.warm_up, plan.duration, || sts.reset()).await;
    let found = Found { report, sts: sts.stats() };
    output::progress(format_args!("  {:<14} {}", running.target.name(), found.summary()));
    Ok(found)
}

/// The load of `plan`.
///
/// # Errors
///
/// When tokens cannot be made.
pub(crate) fn spec(world: &World, running: &Running, plan: &Plan) -> anyhow::Result<Spec> {
    let distinct = plan.tokens.distinct.unwrap_or_else(|| plan.most_requests());
    let first = NEXT_SESSION.fetch_add(distinct as u64, Relaxed);
    let target = running.target;
    let kind = (target.cloud(), plan.tokens.kind);
    let cases = Cases::make(kind, distinct, first, world.roles, target.naming())?;
    Ok(Spec {
        address: running.address,
        path: ROUTE,
        pid: Some(running.pid),
        protocol: plan.protocol,
        connections: plan.connections,
        streams: plan.streams,
        rate: plan.rate,
        timeout: plan.timeout,
        settle: plan.settle,
        order: plan.tokens.order,
        cases: Arc::new(cases),
        trust: Trust::Anybody,
    })
}

// === impl Plan ===

impl Plan {
    /// A closed loop of good distinct tokens over `connections` HTTP/1.1 connections.
    pub(crate) fn distinct(connections: usize, latency: Duration, duration: Duration) -> Self {
        Self {
            sts: StsPlan { latency, fault: Fault::None, fault_percent: 100.0, rate_limit: 0 },
            protocol: Protocol::H1,
            connections,
            streams: 1,
            rate: None,
            tokens: Tokens { kind: Kind::Good, distinct: None, order: Order::Round },
            warm_up: (duration / 4).max(SHORTEST_WARM_UP),
            duration,
            timeout: Duration::from_secs(15),
            settle: load::SETTLE,
        }
    }

    /// The same with `distinct` tokens that come round again.
    pub(crate) fn repeated(self, distinct: usize) -> Self {
        Self { tokens: Tokens { distinct: Some(distinct), ..self.tokens }, ..self }
    }

    /// More requests than any server on a few cores can answer in this run.
    fn most_requests(&self) -> usize {
        let seconds = (self.warm_up + self.duration).as_secs_f64();
        let latency = self.sts.latency.as_secs_f64();
        let slots = (self.connections * self.streams) as f64;
        let bound = if latency > 0.0 { MOST_PER_SECOND.min(slots / latency) } else { MOST_PER_SECOND };
        (self.rate.unwrap_or(bound) * seconds) as usize + self.connections * self.streams
    }
}

// === impl StsPlan ===

impl StsPlan {
    /// The dev STS's knobs, those that are the same for all runs taken from `present`.
    pub(crate) fn behaviour(&self, present: &Behaviour) -> Behaviour {
        Behaviour {
            latency_ms: self.latency.as_secs_f64() * 1000.0,
            fault: self.fault,
            fault_pct: self.fault_percent,
            rate_limit: self.rate_limit,
            ..present.clone()
        }
    }
}

// === impl Found ===

impl Found {
    /// STS calls for each login.
    pub(crate) fn calls_per_login(&self) -> f64 {
        self.sts.requests as f64 / self.report.done.max(1) as f64
    }

    /// New STS connections for each 1,000 logins.
    pub(crate) fn connections_per_thousand(&self) -> f64 {
        1000.0 * self.sts.tls_handshakes as f64 / self.report.done.max(1) as f64
    }

    fn summary(&self) -> String {
        let Report { per_second, p50_us, p99_us, server, verdicts, others_cpu_share, .. } = &self.report;
        format!(
            "{per_second:>7.0}/s  p50 {p50_us} µs  p99 {p99_us} µs  {:.0} µs CPU each  others {:.0} %  HTTP {:?}  wrong {}  errors {}",
            server.cpu_us,
            others_cpu_share * 100.0,
            verdicts.status,
            verdicts.wrong(),
            verdicts.errors(),
        )
    }
}

/// Session numbers that have not been used yet.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1_000_000);
/// Long enough for every connection to be made on a busy machine.
const SHORTEST_WARM_UP: Duration = Duration::from_millis(700);
/// Distinct tokens are made for at most this many logins a second: more than the floor has answered (23,400). The echo
/// answers more, and does not look at them.
const MOST_PER_SECOND: f64 = 26_000.0;
