//! Herald's own clock is set, forward and back, while people log in. Everybody else's clock is right.
//!
//! Failure rule: a token is judged by the clock that Herald has, and STS judges it by its own; so while the two differ
//! hardly anybody gets in, and nobody who must not.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tests::{
    herald::{Server, Setup},
    now,
    sts::{BOB, Behaviour, Fault, alibaba::LIN},
    tokens::{Draft, Kind, alibaba::Draft as AlibabaDraft},
    tools,
};
use tokio::task::JoinSet;

use super::{Verdict, is_well, made, verdict};
use crate::{
    alibaba,
    support::{CLUSTER, ONE_WORKER, SOON, config, decisions, fresh, setup, sts, until},
};

/// The wall clock of one server.
struct Clock {
    file: PathBuf,
}

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
/// What the library in front of the C library reads.
const VARIABLE: &str = "HERALD_TEST_CLOCK";

// === impl Clock ===

impl Clock {
    /// A right one for `setup`; nothing where there is no library for it.
    fn of(setup: Setup) -> Option<(Self, Setup)> {
        let library = tools::clock()?;
        let clock = Self { file: setup.folder().join("clock") };
        std::fs::write(&clock.file, 0_i64.to_ne_bytes()).expect("a file");
        let setup = setup.env("LD_PRELOAD", &library.display().to_string());
        let setup = setup.env(VARIABLE, &clock.file.display().to_string());
        Some((clock, setup))
    }

    /// Sets it so many seconds ahead of the right time, or behind it.
    fn set(&self, seconds: i64) {
        let file = OpenOptions::new().write(true).open(&self.file).expect("a file");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("written in place");
    }
}

/// So many seconds from `moment`.
fn moved(moment: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { moment - by } else { moment + by }
}

/// A token of bob's whose signer has a clock that is so many seconds ahead.
fn dated(seconds: i64) -> String {
    Draft::new(&BOB, CLUSTER, moved(now(), seconds)).token()
}

async fn judge(server: &Server, token: &str) -> Verdict {
    let answer = tokio::time::timeout(SOON, server.review(token)).await.expect("nothing hangs").expect("an answer");
    verdict(&answer, Some("bob"))
}

fn threads(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", server.pid)).expect("it runs").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_clock_steps_tokens_are_judged_by_it_and_then_all_is_well() {
    let sts = sts().await;
    let Some((clock, setup)) = Clock::of(setup(&sts, &config(ONE_WORKER))) else { return };
    let server = Arc::new(setup.start().await.expect("a server"));
    is_well(&server).await;
    let (memory, tasks) = (server.resident_kib().expect("it runs"), threads(&server));

    // Logins go on all the while; each has an answer, and it is the right name or none.
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..2 {
        let (server, stop, answers) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&answers));
        load.spawn(async move {
            while !stop.load(Relaxed) {
                for (token, name) in made(Kind::Good, 50) {
                    let answer = tokio::time::timeout(SOON, server.review(&token)).await.expect("nothing hangs");
                    verdict(&answer.expect("an answer"), name.as_deref());
                    answers.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }

    for (seconds, reason) in [
        (20 * MINUTE, "expired"),
        (DAY, "expired"),
        (-20 * MINUTE, "not_yet_valid"),
        (-DAY, "not_yet_valid"),
        (400 * DAY, "expired"),
    ] {
        let kept = fresh(&BOB);
        assert_eq!(judge(&server, &kept).await, Verdict::Allowed, "{seconds}: now remembered");
        let refused = decisions(&server, "denied", reason).await;
        clock.set(seconds);
        // What is right is wrong by this clock, what was remembered as well, and STS hears of neither.
        assert_eq!(judge(&server, &kept).await, Verdict::Refused, "{seconds}");
        assert_eq!(judge(&server, &fresh(&BOB)).await, Verdict::Refused, "{seconds}");
        until(async || decisions(&server, "denied", reason).await >= refused + 2.0).await;
        // What is right by this clock is wrong by that of STS.
        let early = dated(seconds);
        assert_eq!(judge(&server, &early).await, Verdict::Refused, "{seconds}");
        // Once both agree, it is good; at once, but that a refusal is remembered for a moment. A later date is that of
        // another token however long the last step took.
        sts.sts.set(Behaviour { clock_offset_s: seconds, ..Behaviour::default() });
        assert_eq!(judge(&server, &dated(seconds + 1)).await, Verdict::Allowed, "{seconds}");
        sts.sts.set(Fault::None);
        clock.set(0);
        let so_far = answers.load(Relaxed);
        assert_eq!(judge(&server, &kept).await, Verdict::Allowed, "{seconds}: its time is not over");
        is_well(&server).await;
        until(async || answers.load(Relaxed) > so_far + 10).await;
    }
    stop.store(true, Relaxed);
    while let Some(done) = load.join_next().await {
        done.expect("every answer was right");
    }
    assert!(server.resident_kib().expect("it runs") < memory + 16 * 1024, "{memory} KiB before");
    assert!(threads(&server) <= tasks + 8, "{tasks} threads before, {} after", threads(&server));
    let server = Arc::into_inner(server).expect("nobody else has it");
    assert_eq!(server.stop().await.expect("an end").code, Some(0));
}

/// Alibaba Cloud's dates stand in another place, and its STS has a clock of its own.
#[tokio::test]
async fn tokens_of_alibaba_cloud_are_judged_by_both_clocks_as_well() {
    let sts = sts().await;
    let Some((clock, setup)) = Clock::of(setup(&sts, &alibaba::config("alibaba", ""))) else { return };
    let server = setup.start().await.expect("a server");
    // Each later than all before it, so that none is a token that was asked about already.
    let mut earlier = -100;
    let mut dated = |seconds: i64| {
        earlier += 1;
        AlibabaDraft::new(&LIN, CLUSTER, moved(now(), seconds + earlier)).token()
    };
    let judge = async |token: &str| {
        let answer = tokio::time::timeout(SOON, server.review(token)).await.expect("nothing hangs");
        verdict(&answer.expect("an answer"), Some("lin"))
    };
    for seconds in [20 * MINUTE, DAY, -20 * MINUTE, -DAY] {
        let kept = dated(0);
        assert_eq!(judge(&kept).await, Verdict::Allowed, "{seconds}: now remembered");
        sts.sts.set(Behaviour { clock_offset_s: seconds, ..Behaviour::default() });
        assert_eq!(judge(&dated(0)).await, Verdict::Refused, "{seconds}: by STS");
        let asked = sts.sts.stats().requests;
        clock.set(seconds);
        assert_eq!(judge(&kept).await, Verdict::Refused, "{seconds}: what was remembered as well");
        assert_eq!(judge(&dated(0)).await, Verdict::Refused, "{seconds}: by Herald");
        assert_eq!(sts.sts.stats().requests, asked, "{seconds}: STS hears of neither");
        assert_eq!(judge(&dated(seconds)).await, Verdict::Allowed, "{seconds}: both agree");
        sts.sts.set(Fault::None);
        assert_eq!(judge(&dated(seconds)).await, Verdict::Refused, "{seconds}: by STS");
        clock.set(0);
        assert_eq!(judge(&dated(0)).await, Verdict::Allowed, "{seconds}: all is well");
    }
}

/// STS's word counts for a minute. A clock that goes back four minutes does not make five of it.
#[tokio::test]
async fn a_clock_that_is_set_back_does_not_lengthen_what_is_remembered() {
    let sts = sts().await;
    let Some((clock, setup)) = Clock::of(setup(&sts, &config(""))) else { return };
    let server = setup.start().await.expect("a server");
    let token = fresh(&BOB);
    assert_eq!(judge(&server, &token).await, Verdict::Allowed);
    sts.sts.set(Fault::Denied403);
    assert_eq!(judge(&server, &token).await, Verdict::Allowed, "remembered");
    clock.set(-4 * MINUTE);
    assert_eq!(judge(&server, &token).await, Verdict::Refused, "asked again");
    sts.sts.set(Fault::None);
    // Nor does the refusal last.
    clock.set(0);
    until(async || judge(&server, &token).await == Verdict::Allowed).await;
}

/// A certificate for an hour, a mapping for half a day, and a clock that is a day ahead for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_ends_of_mappings_follow_its_clock_both_ways() {
    let sts = sts().await;
    let end = moved(now(), DAY / 2).duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let end = time::OffsetDateTime::from_unix_timestamp(i64::try_from(end).expect("years from now")).expect("a date");
    let end = end.format(&time::format_description::well_known::Rfc3339).expect("a text");
    let text = config("  certificateLifetime: 1h")
        .replace("username: bob\n", &format!("username: bob\n    notAfter: {end}\n"));
    let Some((clock, setup)) = Clock::of(setup(&sts, &text)) else { return };
    let server = setup.start().await.expect("a server");
    is_well(&server).await;
    let renewed = || server.stderr.text().matches("certificate: another one is in force").count();
    let certificate = || std::fs::read(server.folder().join("state/cert.pem")).expect("a file");
    let first = certificate();

    clock.set(DAY);
    sts.sts.set(Behaviour { clock_offset_s: DAY, ..Behaviour::default() });
    until(async || renewed() == 1).await;
    assert_ne!(certificate(), first);
    let not_mapped = decisions(&server, "denied", "not_mapped").await;
    assert_eq!(judge(&server, &dated(DAY)).await, Verdict::Refused, "the mapping has ended");
    until(async || decisions(&server, "denied", "not_mapped").await == not_mapped + 1.0).await;

    clock.set(0);
    sts.sts.set(Fault::None);
    until(async || renewed() == 2).await;
    // Whoever comes anew, by the right time, is shown a certificate that has begun; and the mapping is in force again.
    let client = server.client(&[b"h2"]).expect("a client");
    let answer = server.review_by(&client, &fresh(&BOB)).await.expect("a certificate that is good now");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
    is_well(&server).await;
}
