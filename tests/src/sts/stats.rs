//! Counters and gauges of the dev STS.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// What has happened since the start or the last reset.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stats {
    /// Requests that reached the service.
    pub requests: u64,
    /// Answered with what was asked for.
    pub ok: u64,
    /// Spoilt by the fault in force.
    pub faults: u64,
    /// Above the rate limit.
    pub throttled: u64,
    /// Refused by the service itself, whatever the reason.
    pub refused: u64,
    /// Of these, for their signature (`SignatureDoesNotMatch`).
    pub bad_signature: u64,
    /// Answers that the caller did not wait for.
    pub aborted: u64,
    /// Requests under way.
    pub inflight: i64,
    /// Most of them at once.
    pub peak_inflight: i64,
    /// Connections for TLS, direct or through `CONNECT`.
    pub tcp_accepted: u64,
    /// Handshakes that ended well.
    pub tls_handshakes: u64,
    /// Handshakes that did not.
    pub tls_failures: u64,
    /// `CONNECT`s granted.
    pub tunnels: u64,
    /// `CONNECT`s to hosts that are no STS.
    pub tunnels_refused: u64,
    /// Connections that chose HTTP/2.
    pub h2_conns: u64,
    /// Connections open now.
    pub open_conns: i64,
    /// Most of them at once.
    pub peak_open_conns: i64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) ok: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) bad_signature: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) inflight: Gauge,
    pub(super) tcp_accepted: AtomicU64,
    pub(super) tls_handshakes: AtomicU64,
    pub(super) tls_failures: AtomicU64,
    pub(super) tunnels: AtomicU64,
    pub(super) tunnels_refused: AtomicU64,
    pub(super) h2_conns: AtomicU64,
    pub(super) open: Gauge,
}

/// A level and its high-water mark.
#[derive(Default)]
pub(super) struct Gauge {
    now: AtomicI64,
    peak: AtomicI64,
}

/// One more while it lives.
pub(super) struct Held<'a>(&'a Gauge);

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

// === impl Counters ===

impl Counters {
    pub(super) fn read(&self) -> Stats {
        let at = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            requests: at(&self.requests),
            ok: at(&self.ok),
            faults: at(&self.faults),
            throttled: at(&self.throttled),
            refused: at(&self.refused),
            bad_signature: at(&self.bad_signature),
            aborted: at(&self.aborted),
            inflight: self.inflight.now.load(Relaxed),
            peak_inflight: self.inflight.peak.load(Relaxed),
            tcp_accepted: at(&self.tcp_accepted),
            tls_handshakes: at(&self.tls_handshakes),
            tls_failures: at(&self.tls_failures),
            tunnels: at(&self.tunnels),
            tunnels_refused: at(&self.tunnels_refused),
            h2_conns: at(&self.h2_conns),
            open_conns: self.open.now.load(Relaxed),
            peak_open_conns: self.open.peak.load(Relaxed),
        }
    }

    /// Counters to nought; gauges stay, their peaks start again from the present.
    pub(super) fn reset(&self) {
        let counters = [
            &self.requests,
            &self.ok,
            &self.faults,
            &self.throttled,
            &self.refused,
            &self.bad_signature,
            &self.aborted,
            &self.tcp_accepted,
            &self.tls_handshakes,
            &self.tls_failures,
            &self.tunnels,
            &self.tunnels_refused,
            &self.h2_conns,
        ];
        for counter in counters {
            counter.store(0, Relaxed);
        }
        for gauge in [&self.inflight, &self.open] {
            gauge.peak.store(gauge.now.load(Relaxed), Relaxed);
        }
    }
}

// === impl Gauge ===

impl Gauge {
    pub(super) fn hold(&self) -> Held<'_> {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
        Held(self)
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}
