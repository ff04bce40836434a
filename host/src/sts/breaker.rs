//! A circuit breaker for each STS host: a host that fails again and again is left alone for a while.
//!
//! Closed, every call passes. After a number of failures in a row it opens, and calls are refused at
//! once. When its time is over, one call may probe the host; its success closes the breaker, its failure
//! opens it anew. A call that was given up says nothing about the host, and neither does one that began before the
//! breaker was opened or closed last: what it has to say is of a time that is over.

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
    generation: u64,
    is_probe: bool,
    failures: u32,
    open_for: Duration,
}

#[derive(Default)]
struct Circuit(Mutex<State>);

#[derive(Default)]
struct State {
    /// Raised when it opens, and when it closes.
    generation: u64,
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
        let (generation, is_probe) = match &circuit {
            Some(circuit) => circuit.admit(now).ok_or(VerifyError::Unavailable { cause: "breaker_open" })?,
            None => (0, false),
        };
        Ok(Ticket { circuit, generation, is_probe, failures: self.failures, open_for: self.open_for })
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
    /// `None`: refused; else the generation that the call is of, and whether it is the probe.
    fn admit(&self, now: Instant) -> Option<(u64, bool)> {
        let mut state = lock(&self.0);
        let Some(until) = state.open_until else { return Some((state.generation, false)) };
        if now < until || state.is_probing {
            return None;
        }
        state.is_probing = true;
        Some((state.generation, true))
    }
}

// === impl Ticket ===

impl Ticket {
    /// Tells how the call went: whether the host gave an answer that works.
    pub(super) fn report(&self, works: bool, now: Instant) {
        let Some(mut state) = self.state() else { return };
        let generation = state.generation + 1;
        if works {
            *state =
                if self.is_probe { State { generation, ..State::default() } } else { State { failures: 0, ..*state } };
            return;
        }
        let failures = state.failures.saturating_add(1);
        *state = if self.is_probe || failures >= self.failures {
            State { generation, failures, open_until: Some(now + self.open_for), is_probing: false }
        } else {
            State { failures, ..*state }
        };
    }

    /// The state that the call is of, unless it is over.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let state = lock(&self.circuit.as_ref()?.0);
        (state.generation == self.generation).then_some(state)
    }
}

impl Drop for Ticket {
    /// A probe that was given up leaves its place to the next call. One whose outcome was told is of a time that is over.
    fn drop(&mut self) {
        if let (true, Some(mut state)) = (self.is_probe, self.state()) {
            state.is_probing = false;
        }
    }
}

/// Nothing under these locks panics, and their content is whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// One step: at this millisecond, a call meets this host.
    #[derive(Clone, Copy, Debug)]
    enum Call {
        /// It takes long; the first to begin is the first to end.
        Begins,
        EndsBadly,
        EndsGivenUp,
        EndsWell,
        Fails,
        GivenUp,
        Refused,
        Works,
    }
    use Call::{Begins, EndsBadly, EndsGivenUp, EndsWell, Fails, GivenUp, Refused, Works};

    #[track_caller]
    fn check(steps: &[(u64, Call)]) {
        let breakers = Breakers::new(&config::Breaker { failures: 2, open_for: Duration::from_millis(100) });
        let start = Instant::now();
        let mut slow = VecDeque::new();
        for (index, (at, call)) in steps.iter().enumerate() {
            let now = start + Duration::from_millis(*at);
            let ends = matches!(call, EndsBadly | EndsGivenUp | EndsWell);
            let ticket =
                if ends { Ok(slow.pop_front().expect("one has begun")) } else { breakers.admit("sts.test", now) };
            match (ticket, call) {
                (Ok(ticket), Begins) => slow.push_back(ticket),
                (Err(VerifyError::Unavailable { cause: "breaker_open" }), Refused) => {}
                (Ok(ticket), Works | EndsWell) => ticket.report(true, now),
                (Ok(ticket), Fails | EndsBadly) => ticket.report(false, now),
                (Ok(ticket), GivenUp | EndsGivenUp) => drop(ticket),
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
    fn what_began_before_it_opened_or_closed_says_nothing() {
        let begun = [(0, Begins), (0, Begins), (0, Fails), (0, Fails)];
        let check = |steps: &[(u64, Call)]| check(&[&begun, steps].concat());
        // It neither closes it, nor keeps it open.
        check(&[(50, EndsWell), (51, Refused), (99, EndsBadly), (100, Works), (101, Works)]);
        check(&[(100, Begins), (101, EndsWell), (101, EndsBadly), (102, Refused), (103, EndsWell), (104, Works)]);
        check(&[
            (100, Begins),
            (101, EndsGivenUp),
            (101, EndsGivenUp),
            (102, Refused),
            (103, EndsGivenUp),
            (104, Works),
        ]);
        // A host that is well again is not held to how it was.
        check(&[(100, Works), (101, EndsBadly), (102, EndsBadly), (103, Works)]);
        check(&[(100, Works), (101, Fails), (102, EndsWell), (103, Fails), (104, Refused)]);
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
