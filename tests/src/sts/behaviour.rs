//! Knobs of the dev STS: how slow, how broken, how strict. Changed while it runs.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What the dev STS does to its clients.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Time spent on each answer, in milliseconds. Default 0.
    pub latency_ms: f64,
    /// Time spent before each TLS handshake, in milliseconds: stands for the round trips of a new
    /// connection. Default 0.
    pub connect_latency_ms: f64,
    /// What goes wrong. Default nothing.
    pub fault: Fault,
    /// Share of the answers that get the fault, in percent. Default 100.
    pub fault_pct: f64,
    /// Requests a second above which the answer is a throttle. Default 0: no limit.
    pub rate_limit: u64,
    /// `Retry-After` on throttles, in seconds. Default 0: the header is left out.
    pub retry_after_s: u64,
    /// Check signatures. Default true; off only to measure what the check itself costs.
    pub verify: bool,
    /// Close a connection after this many requests. Default 0: never.
    pub max_requests_per_conn: u64,
    /// Offer HTTP/2 to new connections. Default true.
    pub h2: bool,
    /// Seconds by which the clock of the dev STS runs ahead (or, below nought, behind). Default 0.
    pub clock_offset_s: i64,
}

/// What can go wrong with an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Fault {
    /// The account in the answer is not that of its ARN.
    AccountMismatch,
    /// 429 without the word that marks a throttle.
    Bare429,
    /// The ARN in the answer is none.
    BadArn,
    /// The user id of a role session has no session.
    BadUserId,
    /// The connection is closed instead of an answer; over HTTP/2 the stream alone, by `RST_STREAM`.
    Close,
    /// 403 `InvalidClientTokenId`.
    Denied403,
    /// One byte of the body each 100 ms.
    Drip,
    /// The answer names its result twice.
    Duplicate,
    /// 500 `InternalFailure`.
    E500,
    /// 503 `ServiceUnavailable`.
    E503,
    /// `{}`.
    Empty,
    /// 403 `ExpiredToken`.
    Expired403,
    /// The body breaks off in the middle of its JSON.
    Garbage,
    /// No answer for two minutes.
    Hang,
    /// 403 and a page of HTML, as of a firewall on the way.
    Html403,
    /// A body of 64 MiB.
    Huge,
    /// All is well.
    #[default]
    None,
    /// 302 to another STS host, where anybody would be vouched for.
    Redirect,
    /// The connection is reset by TCP instead of an answer, and with it all else that is on its way over it.
    Reset,
    /// The same behind the head and half of the body.
    ResetBody,
    /// The body never ends.
    Stalled,
    /// 400 `Throttling`.
    Throttle400,
    /// 429 `Throttling`.
    Throttle429,
    /// A good answer with more text behind it.
    Trailing,
    /// XML though JSON was asked for.
    Xml,
}

/// A knob that is not there, or a value that does not fit it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no such knob, or not a value for it: {0}")]
pub struct UnknownKnob(String);

// === impl Behaviour ===

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency_ms: 0.0,
            connect_latency_ms: 0.0,
            fault: Fault::None,
            fault_pct: 100.0,
            rate_limit: 0,
            retry_after_s: 0,
            verify: true,
            max_requests_per_conn: 0,
            h2: true,
            clock_offset_s: 0,
        }
    }
}

impl Behaviour {
    /// This behaviour with the knobs of a query string set: `latency_ms=5&fault=hang&verify=0`.
    ///
    /// # Errors
    ///
    /// [`UnknownKnob`] names the pair that does not fit; nothing is changed then.
    pub fn with_query(&self, query: &str) -> Result<Self, UnknownKnob> {
        let unknown = |pair: &str| UnknownKnob(pair.chars().take(64).collect());
        let mut json = serde_json::to_value(self).expect("plain data");
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, text) = pair.split_once('=').ok_or_else(|| unknown(pair))?;
            let slot = json.get_mut(name).ok_or_else(|| unknown(pair))?;
            *slot = match slot {
                serde_json::Value::Bool(_) => matches!(text, "1" | "true").into(),
                serde_json::Value::String(_) => text.into(),
                _ => serde_json::from_str(text).map_err(|_| unknown(pair))?,
            };
            Self::deserialize(&json).map_err(|_| unknown(pair))?;
        }
        Self::deserialize(json).map_err(|_| unknown(query))
    }

    /// Whether the `nth` request gets the fault: spread evenly, the same in every run.
    pub(super) fn strikes(&self, nth: u64) -> bool {
        let draw = (nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % 10_000;
        self.fault != Fault::None && f64::from(u32::try_from(draw).unwrap_or(0)) / 100.0 < self.fault_pct
    }
}

impl From<Fault> for Behaviour {
    fn from(fault: Fault) -> Self {
        Self { fault, ..Self::default() }
    }
}

// === impl Fault ===

impl Fault {
    /// Each of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|fault| *fault != Self::None).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_by_query() {
        #[track_caller]
        fn check(query: &str, expected: Result<Behaviour, &str>) {
            let found = Behaviour::default().with_query(query);
            assert_eq!(found, expected.map_err(|pair| UnknownKnob(pair.to_owned())), "{query}");
        }
        let base = Behaviour::default;
        check("", Ok(base()));
        check("latency_ms=5&fault=hang", Ok(Behaviour { latency_ms: 5.0, fault: Fault::Hang, ..base() }));
        check("latency_ms=0.5&fault_pct=2", Ok(Behaviour { latency_ms: 0.5, fault_pct: 2.0, ..base() }));
        check("verify=0&h2=1", Ok(Behaviour { verify: false, ..base() }));
        check("clock_offset_s=-60", Ok(Behaviour { clock_offset_s: -60, ..base() }));
        check("fault=throttle400", Ok(Fault::Throttle400.into()));
        check("fault=badarn&colour=red", Err("colour=red"));
        check("fault=flood", Err("fault=flood"));
        check("latency_ms=soon", Err("latency_ms=soon"));
    }

    #[test]
    fn a_fault_has_one_name() {
        for fault in Fault::value_variants() {
            let name = fault.to_possible_value().expect("none is hidden");
            assert_eq!(Behaviour::default().with_query(&format!("fault={}", name.get_name())), Ok((*fault).into()));
        }
    }

    #[test]
    fn a_share_of_faults() {
        let half = Behaviour { fault_pct: 20.0, ..Fault::Hang.into() };
        let struck = (0..10_000).filter(|nth| half.strikes(*nth)).count();
        assert!((1_900..2_100).contains(&struck), "{struck}");
        assert!(!Behaviour::default().strikes(1));
    }
}
