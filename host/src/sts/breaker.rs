//! A circuit breaker for each STS host: a host that fails again and again is left alone for a while.
//!
//! Closed, every call passes. After a number of failures in a row it opens, and calls are refused at
//! once. When its time is over, one call may probe the host; its success closes the breaker, its failure
//! opens it anew. A call that was given up says nothing about the host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::config;
use crate::provider::VerifyError;

/// The breakers of all hosts.
pub(super) struct Breakers {
    failures: u32,
    open_for: Duration,
    circuits: Mutex<HashMap<String, Arc<Circuit>>>,
}

/// Leave to make one call; its outcome is owed to [`report`](Self::report).
pub(super) struct Ticket {
    circuit: Option<Arc<Circuit>>,
    is_probe: bool,
    failures: u32,
    open_for: Duration,
}

#[derive(Default)]
struct Circuit(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    is_probing: bool,
}

/// Most hosts watched. Hosts come from fixed tables, so that this only guards against our own mistakes;
/// a host beyond it is asked without a breaker.
const MAX_HOSTS: usize = 256;

// === impl Breakers ===

impl Breakers {
    pub(super) fn new(config: &config::Breaker) -> Self {
        Self { failures: config.failures, open_for: config.open_for, circuits: Mutex::default() }
    }

    /// Lets a call to `host` pass, or refuses it because the host keeps failing.
    pub(super) fn admit(&self, host: &str, now: Instant) -> Result<Ticket, VerifyError> {
        let circuit = self.circuit(host);
        let is_probe = match &circuit {
            Some(circuit) => circuit.admit(now).ok_or(VerifyError::Unavailable { cause: "breaker_open" })?,
            None => false,
        };
        Ok(Ticket { circuit, is_probe, failures: self.failures, open_for: self.open_for })
    }

    fn circuit(&self, host: &str) -> Option<Arc<Circuit>> {
        if self.failures == 0 {
            return None;
        }
        let mut circuits = lock(&self.circuits);
        if let Some(circuit) = circuits.get(host) {
            return Some(Arc::clone(circuit));
        }
        (circuits.len() < MAX_HOSTS).then(|| Arc::clone(circuits.entry(host.to_owned()).or_default()))
    }
}

// === impl Circuit ===

impl Circuit {
    /// `None`: refused; else whether the call is the probe.
    fn admit(&self, now: Instant) -> Option<bool> {
        let mut state = lock(&self.0);
        let Some(until) = state.open_until else { return Some(false) };
        if now < until || state.is_probing {
            return None;
        }
        state.is_probing = true;
        Some(true)
    }
}

// === impl Ticket ===

impl Ticket {
    /// Tells how the call went: whether the host gave an answer that works.
    pub(super) fn report(mut self, works: bool, now: Instant) {
        let is_probe = std::mem::take(&mut self.is_probe);
        let Some(circuit) = &self.circuit else { return };
        let mut state = lock(&circuit.0);
        if works {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if is_probe || (state.open_until.is_none() && state.failures >= self.failures) {
            state.open_until = Some(now + self.open_for);
            state.is_probing = false;
        }
    }
}

impl Drop for Ticket {
    /// A probe that was given up leaves its place to the next call.
    fn drop(&mut self) {
        if let (true, Some(circuit)) = (self.is_probe, &self.circuit) {
            lock(&circuit.0).is_probing = false;
        }
    }
}

/// Nothing under these locks panics, and their content is whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step: at this millisecond, a call meets this host.
    #[derive(Clone, Copy, Debug)]
    enum Call {
        Fails,
        GivenUp,
        Refused,
        Works,
    }
    use Call::{Fails, GivenUp, Refused, Works};

    #[track_caller]
    fn check(steps: &[(u64, Call)]) {
        let breakers = Breakers::new(&config::Breaker { failures: 2, open_for: Duration::from_millis(100) });
        let start = Instant::now();
        for (index, (at, call)) in steps.iter().enumerate() {
            let now = start + Duration::from_millis(*at);
            let ticket = breakers.admit("sts.test", now);
            match (ticket, call) {
                (Err(VerifyError::Unavailable { cause: "breaker_open" }), Refused) => {}
                (Ok(ticket), Works | Fails) => ticket.report(matches!(call, Works), now),
                (Ok(ticket), GivenUp) => drop(ticket),
                (other, _) => panic!("step {index} {call:?}: admitted {}", other.is_ok()),
            }
        }
    }

    #[test]
    fn opens_after_failures_in_a_row() {
        check(&[(0, Fails), (1, Fails), (2, Refused), (100, Refused), (101, Works), (102, Fails), (103, Works)]);
        check(&[(0, Fails), (1, Works), (2, Fails), (3, Works)]);
        check(&[(0, Fails), (1, GivenUp), (2, Fails), (3, Refused)]);
    }

    #[test]
    fn a_failed_probe_opens_it_anew_and_a_lost_one_is_replaced() {
        check(&[(0, Fails), (0, Fails), (100, Fails), (199, Refused), (200, Works), (201, Works)]);
        check(&[(0, Fails), (0, Fails), (100, GivenUp), (101, Works), (102, Fails), (103, Works)]);
    }

    #[test]
    fn one_probe_at_a_time() {
        let breakers = Breakers::new(&config::Breaker { failures: 1, open_for: Duration::from_millis(100) });
        let start = Instant::now();
        breakers.admit("sts.test", start).unwrap().report(false, start);
        let later = start + Duration::from_millis(100);
        let probe = breakers.admit("sts.test", later).unwrap();
        assert!(breakers.admit("sts.test", later).is_err(), "a second probe");
        assert!(breakers.admit("other.test", later).is_ok(), "another host has its own breaker");
        probe.report(true, later);
        assert!(breakers.admit("sts.test", later).is_ok(), "closed by the probe");
    }

    #[test]
    fn a_late_failure_does_not_keep_it_open() {
        let breakers = Breakers::new(&config::Breaker { failures: 1, open_for: Duration::from_millis(100) });
        let start = Instant::now();
        let slow = breakers.admit("sts.test", start).unwrap();
        breakers.admit("sts.test", start).unwrap().report(false, start);
        slow.report(false, start + Duration::from_millis(99));
        assert!(breakers.admit("sts.test", start + Duration::from_millis(100)).is_ok());
    }

    #[test]
    fn hosts_are_bounded_and_zero_turns_it_off() {
        let breakers = Breakers::new(&config::Breaker { failures: 1, open_for: Duration::from_secs(1) });
        let now = Instant::now();
        for host in 0..2 * MAX_HOSTS {
            breakers.admit(&host.to_string(), now).unwrap().report(false, now);
        }
        assert_eq!(lock(&breakers.circuits).len(), MAX_HOSTS);
        let off = Breakers::new(&config::Breaker { failures: 0, open_for: Duration::from_secs(1) });
        for _ in 0..100 {
            off.admit("sts.test", now).unwrap().report(false, now);
        }
    }
}
