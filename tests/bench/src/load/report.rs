//! What a load found: throughput, latency, verdicts, and what the server used meanwhile.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::Moment;
use crate::{statistics::percentile, traffic::Case};

/// One measured load.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Measured time.
    pub(crate) seconds: f64,
    /// Answers within it.
    pub(crate) done: u64,
    /// Answers a second.
    pub(crate) per_second: f64,
    /// Latency in microseconds: median, 90th, 99th and 99.9th percentile, largest.
    pub(crate) p50_us: u32,
    /// See `p50_us`.
    pub(crate) p90_us: u32,
    /// See `p50_us`.
    pub(crate) p99_us: u32,
    /// See `p50_us`.
    pub(crate) p999_us: u32,
    /// See `p50_us`.
    pub(crate) max_us: u32,
    /// Verdicts and failures.
    pub(crate) verdicts: Verdicts,
    /// What the server used.
    pub(crate) server: ServerUse,
    /// Share of the machine's CPU time that went to neither the server nor this process, 0 to 1.
    pub(crate) others_cpu_share: f64,
}

/// How answers compare with what they must be.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Verdicts {
    /// Answers by HTTP status.
    pub(crate) status: BTreeMap<u16, u64>,
    /// `authenticated: true`.
    pub(crate) authenticated: u64,
    /// `authenticated: false`.
    pub(crate) refused: u64,
    /// Authenticated as somebody else than the token's own caller, or though it must be refused.
    pub(crate) wrong_identity: u64,
    /// Refused though it must be authenticated.
    pub(crate) wrongly_refused: u64,
    /// HTTP 429 or 503: the server asks to be asked later.
    pub(crate) turned_away: u64,
    /// Any other status than 200, or no TokenReview.
    pub(crate) bad_body: u64,
    /// Broken connections.
    pub(crate) io_errors: u64,
    /// No answer in time.
    pub(crate) timeouts: u64,
    /// Never came back: still under way when the load had settled.
    pub(crate) unfinished: u64,
}

/// What the server used during one load.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ServerUse {
    /// CPU time for each answer, in microseconds.
    pub(crate) cpu_us: f64,
    /// Largest resident memory seen, in MiB.
    pub(crate) peak_mib: f64,
    /// Resident memory at the beginning, in MiB.
    pub(crate) begin_mib: f64,
    /// Resident memory at the end, in MiB.
    pub(crate) end_mib: f64,
    /// The anonymous part of it.
    pub(crate) anonymous_mib: f64,
    /// Threads at the end.
    pub(crate) threads: u64,
    /// Open descriptors at the end.
    pub(crate) descriptors: u64,
}

/// What one slot counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    latencies_us: Vec<u32>,
    verdicts: Verdicts,
    pub(super) io_errors: u64,
    pub(super) timeouts: u64,
    pub(super) unfinished: u64,
}

#[derive(Deserialize)]
struct Review {
    status: Option<ReviewStatus>,
}

#[derive(Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    authenticated: bool,
    user: Option<ReviewUser>,
}

#[derive(Deserialize)]
struct ReviewUser {
    username: Option<String>,
}

// === impl Report ===

impl Report {
    /// Puts what the slots counted beside what the kernel says.
    pub(super) fn new(tally: Tally, elapsed: Duration, before: &Moment, after: &Moment, peak_kib: u64) -> Self {
        let Tally { mut latencies_us, mut verdicts, io_errors, timeouts, unfinished } = tally;
        latencies_us.sort_unstable();
        (verdicts.io_errors, verdicts.timeouts, verdicts.unfinished) = (io_errors, timeouts, unfinished);
        let (done, seconds) = (latencies_us.len() as u64, elapsed.as_secs_f64());
        let server_ms = server_cpu_ms(before, after);
        Self {
            seconds,
            done,
            per_second: done as f64 / seconds,
            p50_us: percentile(&latencies_us, 0.5),
            p90_us: percentile(&latencies_us, 0.9),
            p99_us: percentile(&latencies_us, 0.99),
            p999_us: percentile(&latencies_us, 0.999),
            max_us: percentile(&latencies_us, 1.0),
            verdicts,
            server: ServerUse::new(before, after, server_ms * 1000.0 / done.max(1) as f64, peak_kib),
            others_cpu_share: others_share(before, after, server_ms),
        }
    }
}

fn server_cpu_ms(before: &Moment, after: &Moment) -> f64 {
    before.server.zip(after.server).map_or(0.0, |(before, after)| after.cpu_ms - before.cpu_ms)
}

fn others_share(before: &Moment, after: &Moment, server_ms: f64) -> f64 {
    let ours = after.own_cpu_ms - before.own_cpu_ms + server_ms;
    before.machine.zip(after.machine).map_or(0.0, |(before, after)| {
        let (busy, total) = (after.busy_ms - before.busy_ms, after.total_ms - before.total_ms);
        ((busy - ours) / total.max(1.0)).clamp(0.0, 1.0)
    })
}

// === impl Verdicts ===

impl Verdicts {
    /// Requests without a verdict.
    pub(crate) fn errors(&self) -> u64 {
        self.turned_away + self.unanswered()
    }

    /// Requests without an answer that a client can do something with: not even that it is to come again.
    pub(crate) fn unanswered(&self) -> u64 {
        self.bad_body + self.io_errors + self.timeouts + self.unfinished
    }

    /// Answers that are not what the token's caller deserves.
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong_identity + self.wrongly_refused
    }

    fn judge(&mut self, case: &Case, status: StatusCode, body: &[u8]) {
        *self.status.entry(status.as_u16()).or_default() += 1;
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            self.turned_away += 1;
            return;
        }
        let review = (status == StatusCode::OK).then(|| serde_json::from_slice::<Review>(body));
        let Some(Ok(review)) = review else {
            self.bad_body += 1;
            return;
        };
        match review.status {
            Some(status) if status.authenticated => {
                self.authenticated += 1;
                let username = status.user.and_then(|user| user.username);
                self.wrong_identity += u64::from(username.is_none() || username != case.username);
            }
            _ => {
                self.refused += 1;
                self.wrongly_refused += u64::from(case.username.is_some());
            }
        }
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.status {
            *self.status.entry(status).or_default() += count;
        }
        self.authenticated += other.authenticated;
        self.refused += other.refused;
        self.wrong_identity += other.wrong_identity;
        self.wrongly_refused += other.wrongly_refused;
        self.turned_away += other.turned_away;
        self.bad_body += other.bad_body;
    }
}

// === impl ServerUse ===

impl ServerUse {
    fn new(before: &Moment, after: &Moment, cpu_us: f64, peak_kib: u64) -> Self {
        let sample = after.server.unwrap_or_default();
        Self {
            cpu_us,
            peak_mib: mib(peak_kib.max(sample.rss_kib)),
            begin_mib: mib(before.server.unwrap_or_default().rss_kib),
            end_mib: mib(sample.rss_kib),
            anonymous_mib: mib(sample.anonymous_kib),
            threads: sample.threads,
            descriptors: sample.descriptors,
        }
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

// === impl Tally ===

impl Tally {
    /// Counts one whole answer.
    pub(super) fn answer(&mut self, case: &Case, took: Duration, status: StatusCode, body: &[u8]) {
        self.latencies_us.push(took.as_micros().try_into().unwrap_or(u32::MAX));
        self.verdicts.judge(case, status, body);
    }

    /// Counts a whole answer that came after the time was over: one that is right is neither good nor bad.
    pub(super) fn late_answer(&mut self, case: &Case, status: StatusCode, body: &[u8]) {
        let mut late = Verdicts::default();
        late.judge(case, status, body);
        self.verdicts.wrong_identity += late.wrong_identity;
        self.verdicts.wrongly_refused += late.wrongly_refused;
    }

    /// Takes over what another slot counted.
    pub(super) fn add(&mut self, other: Self) {
        self.latencies_us.extend(other.latencies_us);
        self.verdicts.add(other.verdicts);
        self.io_errors += other.io_errors;
        self.timeouts += other.timeouts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = r#"{"status":{"authenticated":true,"user":{"username":"alice"}}}"#;
    const BOB: &str = r#"{"status":{"authenticated":true,"user":{"username":"bob"}}}"#;
    const NOBODY: &str = r#"{"status":{"authenticated":false}}"#;

    fn of_alice() -> Case {
        Case { body: "".into(), username: Some("alice".to_owned()) }
    }

    #[test]
    fn an_overloaded_server_gives_no_verdict() {
        let case = of_alice();
        let mut verdicts = Verdicts::default();
        for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS] {
            verdicts.judge(&case, status, NOBODY.as_bytes());
        }
        assert_eq!((verdicts.turned_away, verdicts.errors(), verdicts.unanswered(), verdicts.wrong()), (2, 2, 0, 0));
    }

    #[test]
    fn a_token_review_under_another_status_is_no_verdict() {
        let case = of_alice();
        let mut verdicts = Verdicts::default();
        for (status, body) in [
            (StatusCode::INTERNAL_SERVER_ERROR, ALICE),
            (StatusCode::INTERNAL_SERVER_ERROR, NOBODY),
            (StatusCode::CREATED, ALICE),
        ] {
            verdicts.judge(&case, status, body.as_bytes());
        }
        assert_eq!((verdicts.bad_body, verdicts.errors(), verdicts.unanswered()), (3, 3, 3));
        assert_eq!((verdicts.authenticated, verdicts.refused, verdicts.wrong()), (0, 0, 0));
    }

    #[test]
    fn of_late_answers_only_wrong_ones_count() {
        let case = of_alice();
        let mut tally = Tally::default();
        for (status, body) in [
            (StatusCode::OK, ALICE),
            (StatusCode::OK, BOB),
            (StatusCode::OK, NOBODY),
            (StatusCode::SERVICE_UNAVAILABLE, NOBODY),
        ] {
            tally.late_answer(&case, status, body.as_bytes());
        }
        let Tally { latencies_us, verdicts, .. } = tally;
        assert!(latencies_us.is_empty() && verdicts.status.is_empty());
        assert_eq!((verdicts.wrong_identity, verdicts.wrongly_refused), (1, 1));
        assert_eq!((verdicts.authenticated, verdicts.refused, verdicts.errors()), (0, 0, 0));
    }

    #[test]
    fn answers_are_compared_with_the_callers_own_name() {
        #[track_caller]
        fn check(username: Option<&str>, body: &str, expected: (u64, u64, u64)) {
            let case = Case { body: "".into(), username: username.map(str::to_owned) };
            let mut verdicts = Verdicts::default();
            verdicts.judge(&case, StatusCode::OK, body.as_bytes());
            assert_eq!((verdicts.wrong_identity, verdicts.wrongly_refused, verdicts.bad_body), expected, "{body}");
        }
        check(Some("alice"), ALICE, (0, 0, 0));
        check(Some("bob"), ALICE, (1, 0, 0));
        check(None, ALICE, (1, 0, 0));
        check(None, NOBODY, (0, 0, 0));
        check(Some("alice"), NOBODY, (0, 1, 0));
        check(Some("alice"), r#"{"status":{"authenticated":true}}"#, (1, 0, 0));
        check(None, r#"{"status":{"authenticated":true}}"#, (1, 0, 0));
        check(Some("alice"), "{}", (0, 1, 0));
        check(Some("alice"), "not JSON", (0, 0, 1));
    }
}
