//! Faults: of STS, of clients, of the machine and of Kubernetes. After each of them a good login works, nobody has got
//! in who must not, and every answer is in the audit log.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::pki_types::ServerName;
use tests::{
    herald::{Answer, Server},
    now,
    sts::{BOB, Behaviour, Fault, Options, Running},
    tls,
    tokens::{Batch, Kind, Made, alibaba},
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{CLUSTER, ONE_WORKER, SOON, config, fresh, start, start_beside, until, until_asked};

mod clients;
mod clock;
mod crash;
mod disk;
mod machine;
mod sources;

/// Tokens of as many callers of one kind.
fn made(kind: Kind, count: usize) -> Vec<Made> {
    let first_session = next_sessions(count);
    let host = "sts.us-east-1.amazonaws.com";
    let batch = Batch { kind, roles: 1, first_session, host, cluster_id: CLUSTER, session_token_len: 300, at: now() };
    batch.tokens(count)
}

/// The first of as many sessions that nobody has had.
fn next_sessions(count: usize) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(count as u64, Relaxed)
}

/// What an answer says of the token that it was given for: let in as the right one, refused, or told to ask again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Allowed,
    Refused,
    Later,
}

/// Reads an answer.
///
/// # Panics
///
/// When somebody is let in as another one, or the answer is none that an API server understands.
#[track_caller]
fn verdict(answer: &Answer, expected: Option<&str>) -> Verdict {
    match (answer.username(), answer.status) {
        (Some(name), _) => {
            assert_eq!(Some(name.as_str()), expected, "{}", answer.text);
            Verdict::Allowed
        }
        (None, 200) => Verdict::Refused,
        (None, 429 | 503) => Verdict::Later,
        (None, status) => panic!("HTTP {status} {}", answer.text),
    }
}

/// The id of the decision, whatever it was.
fn decision_id(answer: &Answer) -> Option<String> {
    let allowed = answer.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0].as_str().map(str::to_owned);
    allowed.or_else(|| answer.decision_id())
}

/// Whole audit lines, and the ids of their decisions, each once.
///
/// # Panics
///
/// When a line is torn, or there twice.
fn recorded(text: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let id = line["decisionId"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id), "twice: {line}");
    }
    ids
}

/// Waits until all of these decisions are in the audit log on stderr.
async fn all_recorded(server: &Server, ids: &BTreeSet<String>) {
    until(async || ids.is_subset(&recorded(&server.stderr.text()))).await;
}

/// Nothing of a fault is left: a good login works, and it is written down.
async fn is_well(server: &Server) {
    lets_in(server, || (fresh(&BOB), Some("bob".to_owned()))).await;
}

/// The same of those whose tokens `good` makes.
async fn lets_in(server: &Server, good: impl Fn() -> Made) {
    let good = async {
        loop {
            let (token, name) = good();
            match server.review(&token).await {
                Ok(answer) if verdict(&answer, name.as_deref()) == Verdict::Allowed => break answer,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let answer = tokio::time::timeout(SOON, good).await.expect("a good login, soon");
    all_recorded(server, &decision_id(&answer).into_iter().collect()).await;
}

fn port(server: &Server) -> u16 {
    let port = server.url.rsplit(':').next().and_then(|rest| rest.split('/').next());
    port.and_then(|port| port.parse().ok()).expect("a port")
}

async fn tcp(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port(server))).await.expect("a connection")
}

/// A connection to the webhook that speaks `alpn`, for bytes of one's own.
async fn dial(server: &Server, alpn: &[u8]) -> TlsStream<TcpStream> {
    let config = tls::client_config(&server.ca_pem, &[alpn]).expect("a CA");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp(server).await).await.expect("a handshake")
}

/// Posts all `tokens`, some at a time.
async fn post_all(server: &Arc<Server>, tokens: Vec<Made>) -> Vec<(Answer, Option<String>)> {
    let mut answers = Vec::with_capacity(tokens.len());
    let mut under_way = JoinSet::new();
    for (token, name) in tokens {
        if under_way.len() == 8 {
            answers.push(under_way.join_next().await.expect("eight are under way").expect("an answer"));
        }
        let server = Arc::clone(server);
        under_way.spawn(async move { (server.review(&token).await.expect("an answer"), name) });
    }
    answers.extend(under_way.join_all().await);
    answers
}

/// Short deadlines, so that each fault comes up often.
const IMPATIENT: &str = "  sts: {timeout: 300ms, connectTimeout: 300ms, breaker: {failures: 5, openFor: 200ms}}";

/// Whose STS is in trouble.
#[derive(Clone, Copy, Debug)]
enum Cloud {
    Alibaba,
    Aws,
}

// === impl Cloud ===

impl Cloud {
    /// A configuration that lets its derived callers in.
    fn config(self) -> String {
        match self {
            Self::Alibaba => format!(
                "clusterID: {CLUSTER}\nserver:\n  providers: [alibaba]\n  alibaba: {{region: cn-hangzhou}}\n  mapRoles:\n  - \
                 roleARN: acs:ram::{}:role/bench-role-000000\n    username: bench-role-000000:{{{{SessionName}}}}\n\
                 {ONE_WORKER}\n{IMPATIENT}\n",
                alibaba::ACCOUNT
            ),
            Self::Aws => config(&format!("{ONE_WORKER}\n{IMPATIENT}")),
        }
    }

    /// Good tokens of as many callers.
    fn made(self, count: usize) -> Vec<Made> {
        match self {
            Self::Alibaba => alibaba::many(count, next_sessions(count), 1, CLUSTER, now()),
            Self::Aws => made(Kind::Good, count),
        }
    }
}

/// All that STS may do at once to many callers; who they are it says to none of them.
async fn withstands_every_fault(cloud: Cloud, h2: bool) {
    let behaviour = Behaviour { h2, ..Behaviour::default() };
    let options = Options { behaviour: behaviour.clone(), ..Options::default() };
    let sts = Running::start(options).await.expect("a dev STS");
    let server = Arc::new(start_beside(&sts, &cloud.config()).await);
    let good = || cloud.made(1).remove(0);
    lets_in(&server, good).await;
    let before = server.resident_kib().expect("it runs");
    for fault in Fault::all() {
        server.reset_peak().expect("it runs");
        sts.sts.set(Behaviour { fault, ..behaviour.clone() });
        let mut ids = BTreeSet::new();
        for (answer, name) in post_all(&server, cloud.made(12)).await {
            let found = verdict(&answer, name.as_deref());
            assert_ne!(found, Verdict::Allowed, "{cloud:?} {h2} {fault:?}: {}", answer.text);
            ids.extend(decision_id(&answer));
        }
        sts.sts.set(behaviour.clone());
        all_recorded(&server, &ids).await;
        lets_in(&server, good).await;
        let after = server.resident_kib().expect("it runs");
        assert!(
            after < before + 16 * 1024,
            "{cloud:?} {h2} {fault:?}: {before} KiB before the first, {after} KiB after this one"
        );
        // A single answer of 64 MiB would be more than that, and there are eight at a time.
        let peak = server.peak_kib().expect("it runs");
        assert!(
            peak < before + 32 * 1024,
            "{cloud:?} {h2} {fault:?}: {before} KiB before the first, {peak} KiB meanwhile"
        );
    }
    let protocol = if h2 { "HTTP/2.0" } else { "HTTP/1.1" };
    assert!(sts.sts.requests().iter().all(|request| request.protocol == protocol));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_sts_lets_a_stranger_in_or_outlasts_itself() {
    tokio::join!(
        withstands_every_fault(Cloud::Aws, true),
        withstands_every_fault(Cloud::Aws, false),
        withstands_every_fault(Cloud::Alibaba, true),
        withstands_every_fault(Cloud::Alibaba, false),
    );
}

/// As many flaps as three minutes have at the pace of `cargo figures`.
const FLAPS: usize = 128;
/// How long a good or a bad moment lasts, in milliseconds, if not this one: with 700, the scenario takes three minutes.
const FLAP_MS: (&str, u64) = ("HERALD_FLAP_MS", 30);

/// A share of answers is spoilt, now by this and now by that, while people log in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_sts_flaps_answers_are_right_or_come_later() {
    let (sts, server) = start(&format!("{ONE_WORKER}\n{IMPATIENT}")).await;
    let server = Arc::new(server);
    is_well(&server).await;
    let before = server.resident_kib().expect("it runs");
    let stop = Arc::new(AtomicBool::new(false));
    let let_in: [Arc<AtomicUsize>; 4] = std::array::from_fn(|_| Arc::default());
    let mut tasks = JoinSet::new();
    for allowed in &let_in {
        let (server, stop, allowed) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(allowed));
        tasks.spawn(async move {
            let (mut later, mut ids) = (0, BTreeSet::new());
            while !stop.load(Relaxed) {
                for (token, name) in made(Kind::Good, 50) {
                    let answer = server.review(&token).await.expect("an answer");
                    match verdict(&answer, name.as_deref()) {
                        // Of those whom nobody vouched for, only so many are written down a second.
                        Verdict::Allowed => {
                            allowed.fetch_add(1, Relaxed);
                            ids.extend(decision_id(&answer));
                        }
                        Verdict::Later => later += 1,
                        Verdict::Refused => panic!("a good token is refused for good: {}", answer.text),
                    }
                    tokio::time::sleep(Duration::from_millis(4)).await;
                }
            }
            (later, ids)
        });
    }
    let given = std::env::var(FLAP_MS.0).ok().map(|text| text.parse().expect("milliseconds"));
    let moment = Duration::from_millis(given.unwrap_or(FLAP_MS.1));
    let flaps = [
        Fault::Reset,
        Fault::E503,
        Fault::Xml,
        Fault::Hang,
        Fault::ResetBody,
        Fault::AccountMismatch,
        Fault::Close,
        Fault::Throttle429,
    ];
    for fault in flaps.into_iter().cycle().take(FLAPS) {
        sts.sts.set(Behaviour { fault_pct: 60.0, ..fault.into() });
        tokio::time::sleep(moment).await;
        sts.sts.set(Fault::None);
        tokio::time::sleep(moment).await;
    }
    // Whoever was too slow for the deadlines so far comes in now that STS is well.
    for allowed in &let_in {
        until_asked(allowed, 0).await;
    }
    stop.store(true, Relaxed);
    let found = tasks.join_all().await;
    assert!(found.iter().any(|(later, _)| *later > 0), "nobody has met a fault");
    let ids = found.into_iter().flat_map(|(_, ids)| ids).collect();
    all_recorded(&server, &ids).await;
    is_well(&server).await;
    let after = server.resident_kib().expect("it runs");
    assert!(after < before + 24 * 1024, "{before} KiB before, {after} KiB after");
}

/// The clock of STS runs an hour ahead, then behind, then right again: what it refuses meanwhile is refused, and no more.
#[tokio::test]
async fn when_the_clock_of_sts_steps_nobody_gets_in_who_must_not_and_then_all_is_well() {
    let (sts, server) = start("").await;
    for clock_offset_s in [3600, -3600, 0] {
        sts.sts.set(Behaviour { clock_offset_s, ..Behaviour::default() });
        let answer = server.review(&fresh(&BOB)).await.expect("an answer");
        let expected = if clock_offset_s == 0 { Verdict::Allowed } else { Verdict::Refused };
        assert_eq!(verdict(&answer, Some("bob")), expected, "{clock_offset_s}: {}", answer.text);
    }
    is_well(&server).await;
}
