//! Tests of the executor against a real TLS server on loopback and a provider that reads the answer it
//! is told to ask for: the token `fake.ok.1` asks for `/ok?1`.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::{sleep, timeout},
};

use self::server::{HANGS, HOST, Server};
use super::*;
use crate::{
    caller::{PrincipalId, PrincipalKind},
    provider::{SecretText, StsReply},
};

mod joined;
mod server;

/// Reads `fake.<path>.<query>`, or `fake.<path>.<query>@<host>`.
#[derive(Default)]
struct Fake {
    inspected: AtomicUsize,
    interpreted: AtomicUsize,
}

impl Provider for Fake {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn prefixes(&self) -> &'static [&'static str] {
        &["fake."]
    }

    fn checks(&self) -> &'static [&'static str] {
        &[]
    }

    fn inspect(&self, token: &BearerToken, _now: SystemTime) -> Result<StsCall, VerifyError> {
        self.inspected.fetch_add(1, SeqCst);
        let rest = token.expose().strip_prefix("fake.").unwrap_or_default();
        let (rest, host) = rest.split_once('@').unwrap_or((rest, HOST));
        let (path, query) = rest.split_once('.').ok_or(VerifyError::NotYetValid)?;
        Ok(StsCall {
            host: host.to_owned(),
            region: "eu-west-9".to_owned(),
            method: Method::GET,
            path_and_query: SecretText::new(format!("/{path}?{query}")),
            headers: vec![(HeaderName::from_static("x-test"), HeaderValue::from_static("1"))],
            access_key_id: "AKIATEST".to_owned(),
            signed_at: now(),
            expires_at: now() + Duration::from_secs(900),
        })
    }

    fn interpret(&self, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError> {
        self.interpreted.fetch_add(1, SeqCst);
        match reply.status {
            403 => Err(VerifyError::Refused { status: 403, code: "SignatureDoesNotMatch".to_owned() }),
            429 | 503 => Err(VerifyError::Throttled { retry_after: reply.retry_after }),
            _ => Ok(caller(call, String::from_utf8_lossy(&reply.body).into_owned())),
        }
    }
}

fn caller(call: &StsCall, arn: String) -> Caller {
    Caller {
        provider: "aws",
        partition: "aws".to_owned(),
        account_id: "111122223333".parse().expect("an account id"),
        kind: PrincipalKind::User,
        canonical_arn: arn.clone(),
        arn,
        name: "alice".to_owned(),
        principal_id: PrincipalId::new("AIDATEST"),
        session_name: None,
        sso_permission_set: None,
        access_key_id: call.access_key_id.clone(),
        sts_region: call.region.clone(),
        signed_at: call.signed_at,
        expires_at: call.expires_at,
        uid: String::new(),
        extra: &[],
        attributes: Vec::new(),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// One login, answered in time: the source, or the reason with its detail.
async fn login_at(executor: &Executor, token: &str, now: SystemTime) -> Result<Source, String> {
    let token = BearerToken::new(token.to_owned());
    let fake = Fake::default();
    let login = executor.verify(&fake, &token, now);
    let result = timeout(Duration::from_secs(60), login).await.expect("an answer in time");
    result.map(|verified| verified.source).map_err(|error| match error {
        VerifyError::Unavailable { cause } => cause.to_owned(),
        VerifyError::Overloaded { limit } => limit.to_owned(),
        VerifyError::Throttled { retry_after } => format!("throttled {retry_after:?}"),
        error => error.reason().to_owned(),
    })
}

async fn login(executor: &Executor, token: &str) -> Result<Source, String> {
    login_at(executor, token, now()).await
}

fn failed(cause: &str) -> Result<Source, String> {
    Err(cause.to_owned())
}

#[tokio::test]
async fn calls_share_pooled_connections() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    for call in 0..50 {
        assert_eq!(login(&executor, &format!("fake.ok.{call}")).await, Ok(Source::Sts));
    }
    assert_eq!((server.requests(), server.connections()), (50, 1));
}

/// By the system's own list of connections and their timers (proc(5), `/proc/net/tcp`).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn idle_connections_are_probed_within_seconds() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    let port: u16 = server.address.rsplit(':').next().unwrap().parse().unwrap();
    // Ours is the end whose other side has that port. What was sent last may not be acknowledged yet.
    let timer = || {
        let list = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let remote = format!("0100007F:{port:04X}");
        let ours = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|line| line[2] == remote);
        ours.expect("a connection")[5].to_owned()
    };
    let armed = async {
        loop {
            // Which timer it is, then hundredths of a second.
            if let Some(left) = timer().strip_prefix("02:") {
                return u64::from_str_radix(left, 16).unwrap();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let left = timeout(Duration::from_secs(60), armed).await.expect("a timer that probes");
    assert!(left <= 200, "{left}");
}

#[tokio::test]
async fn http2_carries_all_calls_on_one_connection() {
    let server = Server::start(&["h2", "http/1.1"]).await;
    let executor = server.executor(|_| {});
    assert_eq!(login(&executor, "fake.ok.first").await, Ok(Source::Sts));
    let tokens: Vec<_> = (0..128).map(|call| format!("fake.slow.{call}")).collect();
    let results = join_all(tokens.iter().map(|token| login(&executor, token))).await;
    assert!(results.iter().all(|result| *result == Ok(Source::Sts)), "{results:?}");
    assert_eq!((server.requests(), server.connections()), (129, 1));
    assert_eq!(server.counts.h2.load(SeqCst), 1);
}

#[tokio::test]
async fn verified_callers_are_remembered_within_their_dates() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.verified_cache.ttl = Duration::from_secs(600));
    let later = |seconds| now() + Duration::from_secs(seconds);
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", later(599)).await, Ok(Source::Cache));
    assert_eq!(login_at(&executor, "fake.ok.1", later(600)).await, Ok(Source::Sts), "its time is over");
    assert_eq!(login_at(&executor, "fake.ok.1", later(899)).await, Ok(Source::Cache));
    assert_eq!(login_at(&executor, "fake.ok.1", later(900)).await, failed("expired"), "the token has ended");
    assert_eq!(login(&executor, "fake.ok.2").await, Ok(Source::Sts), "another token");
}

/// Else an answer for a minute would count for that minute and as long as the clock was set back.
#[tokio::test]
async fn a_clock_that_is_set_back_ends_what_was_remembered() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    let earlier = |seconds| now() - Duration::from_secs(seconds);
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(2)).await, Ok(Source::Cache), "a login that began before");
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(3)).await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(300)).await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", earlier(301)).await, Ok(Source::Sts), "by its own dates");
    assert_eq!(login(&executor, "fake.refused.1").await, failed("sts_refused"));
    let requests = server.requests();
    assert_eq!(login_at(&executor, "fake.refused.1", earlier(300)).await, failed("sts_refused"));
    assert_eq!(server.requests(), requests + 1);
}

#[tokio::test]
async fn tokens_may_be_held_to_a_shorter_age_than_clouds_do() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.max_token_age = Duration::from_secs(120));
    let later = |seconds| now() + Duration::from_secs(seconds);
    assert_eq!(login_at(&executor, "fake.ok.1", later(100)).await, Ok(Source::Sts));
    assert_eq!(login_at(&executor, "fake.ok.1", later(119)).await, Ok(Source::Cache));
    assert_eq!(login_at(&executor, "fake.ok.1", later(120)).await, failed("expired"), "remembered no longer either");
    assert_eq!(login_at(&executor, "fake.ok.2", later(120)).await, failed("expired"));
    assert_eq!(server.requests(), 1, "nobody was asked");
    let token = BearerToken::new("fake.ok.3".to_owned());
    let call = executor.inspect(&Fake::default(), &token, now()).expect("fresh");
    assert_eq!(call.expires_at, later(120));
}

#[tokio::test]
async fn caches_are_bounded() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| {
        config.verified_cache.entries = 8;
        config.limits.per_second = 0;
    });
    for call in 0..200 {
        assert_eq!(login(&executor, &format!("fake.ok.{call}")).await, Ok(Source::Sts));
    }
    let mut kept = 0;
    for call in 0..200 {
        kept += usize::from(login(&executor, &format!("fake.ok.{call}")).await == Ok(Source::Cache));
    }
    assert!(kept <= 8, "{kept} entries were kept");
}

#[tokio::test]
async fn refusals_are_remembered_for_a_moment() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    let later = |seconds| now() + Duration::from_secs(seconds);
    for (at, requests) in [(0, 1), (1, 1), (9, 1), (10, 2), (19, 2)] {
        assert_eq!(login_at(&executor, "fake.refused.1", later(at)).await, failed("sts_refused"));
        assert_eq!(server.requests(), requests, "after {at} s");
    }
    let executor = server.executor(|config| config.refused_cache.entries = 0);
    for _ in 0..2 {
        assert_eq!(login(&executor, "fake.refused.1").await, failed("sts_refused"));
    }
    assert_eq!(server.requests(), 4, "off");
}

#[tokio::test]
async fn throttling_is_passed_on_and_not_remembered() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    for requests in 1..=20 {
        assert_eq!(login(&executor, "fake.throttled.1").await, failed("throttled Some(7s)"));
        assert_eq!(server.requests(), requests);
    }
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts), "throttling does not open the breaker");
}

/// Its status is a server error's, but it is about one account: whoever has one could else close a host to everybody.
#[tokio::test]
async fn throttling_with_a_server_error_opens_no_breaker_either() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    for call in 0..20 {
        assert_eq!(login(&executor, &format!("fake.slow_down.{call}")).await, failed("throttled None"));
    }
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
}

#[tokio::test]
async fn what_inspect_refuses_never_reaches_sts() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|_| {});
    assert_eq!(login(&executor, "fake.junk").await, failed("not_yet_valid"));
    assert_eq!(login(&executor, "fake.a b.1").await, failed("request"));
    assert_eq!(login(&executor, "fake.a/%2e%2e/ok.1").await, failed("request"));
    assert_eq!(server.connections(), 0);
}

/// Whatever STS does, the answer is the same over both versions of HTTP.
#[tokio::test]
async fn bad_answers_have_their_cause() {
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let server = Server::start(alpn).await;
        let executor = |timeout| {
            server.executor(|config| {
                config.timeout = timeout;
                config.breaker.failures = 0;
            })
        };
        // Only what takes for ever is waited for; the rest has all the time that a busy machine may need.
        let (brief, executor) = (executor(Duration::from_secs(1)), executor(Duration::from_secs(9)));
        let check = async |token: &str, expected: &str, requests| {
            let before = server.requests();
            assert_eq!(login(&executor, token).await, failed(expected), "{token} {alpn:?}");
            assert_eq!(server.requests() - before, requests, "{token} {alpn:?}");
        };
        check("fake.big.1", "too_large", 1).await;
        check("fake.endless.1", "too_large", 1).await;
        check("fake.redirect.1", "redirect", 1).await;
        check("fake.error.1", "server_error", 1).await;
        check("fake.reset.1", "reset", 2).await;
        let before = server.requests();
        let late = tokio::join!(login(&brief, "fake.drip.1"), login(&brief, "fake.hang.1"));
        assert_eq!(late, (failed("timeout"), failed("timeout")), "{alpn:?}");
        assert!(server.requests() - before <= 2, "none is asked again, {alpn:?}");
        assert_eq!(login(&executor, "fake.flaky.1").await, Ok(Source::Sts), "{alpn:?}");
        assert_eq!(login(&executor, "fake.barely.1").await, Ok(Source::Sts), "64 KiB in pieces, {alpn:?}");
    }
}

#[tokio::test]
async fn a_host_out_of_reach_has_its_cause() {
    let server = Server::start(&["http/1.1"]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Nobody listens there, and nobody else can.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint =
        |host: &str, connect_to: &str| Endpoint { connect_to: Some(connect_to.to_owned()), ..server.endpoint(host) };
    // Only what hangs is waited for; the rest has all the time that a busy machine may need.
    let brief = server.executor(|config| {
        config.connect_timeout = Duration::from_millis(100);
        config.endpoints.push(endpoint("silent.test", &silent.local_addr().unwrap().to_string()));
    });
    let patient = server.executor(|config| {
        (config.connect_timeout, config.timeout) = (Duration::from_secs(8), Duration::from_secs(9));
        config.endpoints.extend([
            endpoint("closed.test", &closed.local_addr().unwrap().to_string()),
            endpoint("other-name.test", &server.address),
            endpoint("no-address.test", "no-address.invalid:443"),
            Endpoint { ca_file: None, ..endpoint("other-ca.test", &server.address) },
        ]);
    });
    for (executor, host, cause) in [
        (&patient, "closed.test", "connect"),
        (&brief, "silent.test", "connect"),
        (&patient, "other-name.test", "tls"),
        (&patient, "no-address.test", "dns"),
        (&patient, "other-ca.test", "tls"),
    ] {
        assert_eq!(login(executor, &format!("fake.ok.1@{host}")).await, failed(cause), "{host}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn connect_to_keeps_the_host() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server
        .executor(|config| config.endpoints[0].connect_to = Some(server.address.replace("127.0.0.1", "localhost")));
    let token = BearerToken::new("fake.ok.!".to_owned());
    let verified = executor.verify(&Fake::default(), &token, now()).await.unwrap();
    assert_eq!(verified.caller.arn, "sts.test!");
}

#[tokio::test]
async fn limits_answer_at_once() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| config.limits.in_flight = 8));
    let tokens: Vec<_> = (0..8).map(|call| format!("fake.slow.{call}")).collect();
    let results = join_all(tokens.iter().map(|token| login(&executor, token))).await;
    assert_eq!(results.iter().filter(|result| **result == failed("sts_in_flight")).count(), 4);
    assert_eq!(server.requests(), 4);
    let executor = server.executor(|config| (config.limits.per_second, config.limits.burst) = (1, 6));
    // At once: after a second there would be one more.
    let tokens: Vec<_> = (0..8).map(|call| format!("fake.ok.{call}")).collect();
    let results = join_all(tokens.iter().map(|token| login(&executor, token))).await;
    assert_eq!(results.iter().filter(|result| **result == Ok(Source::Sts)).count(), 6, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == failed("sts_per_second")).count(), 2, "{results:?}");
    assert_eq!(login(&executor, "fake.ok.0").await, Ok(Source::Cache), "caches need no permit");
}

/// Tokens are cheap, and each names its host.
#[tokio::test]
async fn a_host_that_hangs_leaves_places_to_the_others() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| {
        config.limits.in_flight = 8;
        config.timeout = Duration::from_secs(30);
        config.endpoints.push(server.endpoint(HANGS));
    }));
    let strangers: Vec<_> = (0..100)
        .map(|call| {
            let executor = Arc::clone(&executor);
            tokio::spawn(async move { login(&executor, &format!("fake.hang.{call}@{HANGS}")).await })
        })
        .collect();
    server.wait(|counts| &counts.requests, 4).await;
    assert_eq!(login(&executor, &format!("fake.hang.more@{HANGS}")).await, failed("sts_in_flight"));
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Key ids are no secret, so what STS does not vouch for ends what they were worth.
#[tokio::test]
async fn strangers_leave_places_to_whoever_was_let_in() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = Arc::new(server.executor(|config| {
        config.limits.in_flight = 16;
        config.timeout = Duration::from_secs(30);
    }));
    let token = BearerToken::new("fake.ok.first".to_owned());
    let known = executor.verify(&Fake::default(), &token, now()).await.unwrap().caller;
    let strangers: Vec<_> = (0..9)
        .map(|call| {
            let executor = Arc::clone(&executor);
            tokio::spawn(async move { login(&executor, &format!("fake.hang.{call}")).await })
        })
        .collect();
    server.wait(|counts| &counts.requests, 10).await;
    let full = failed("sts_in_flight");
    executor.welcome(&known);
    assert_eq!(login(&executor, "fake.ok.2").await, Ok(Source::Sts));
    for (token, answer) in [("fake.refused.1", "sts_refused"), ("fake.throttled.1", "throttled Some(7s)")] {
        executor.welcome(&known);
        assert_eq!(login(&executor, token).await, failed(answer));
        assert_eq!(login(&executor, "fake.ok.3").await, full, "after {token}");
    }
    executor.welcome(&known);
    assert_eq!(login(&executor, "fake.error.1").await, failed("server_error"));
    assert_eq!(login(&executor, "fake.ok.3").await, Ok(Source::Sts), "an outage is nobody's fault");
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_failing_host_is_left_alone_and_probed() {
    let server = Server::start(&["http/1.1"]).await;
    // For longer than any machine takes, and for so short a time that its end can be waited for.
    let open_for = |time| server.executor(|config| config.breaker = Breaker { failures: 3, open_for: time });
    let (long, short) = (open_for(Duration::from_secs(300)), open_for(Duration::from_millis(10)));
    for executor in [&long, &short] {
        for call in 0..3 {
            assert_eq!(login(executor, &format!("fake.error.{call}")).await, failed("server_error"));
        }
    }
    assert_eq!(server.requests(), 6);
    assert_eq!(login(&long, "fake.ok.1").await, failed("breaker_open"));
    assert_eq!(server.requests(), 6);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(login(&short, "fake.ok.1").await, Ok(Source::Sts));
    assert_eq!(login(&short, "fake.ok.2").await, Ok(Source::Sts));
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_opens_no_breaker() {
    let server = Server::start(&["http/1.1"]).await;
    let executor = server.executor(|config| config.breaker.failures = 1);
    assert_eq!(login(&executor, "fake.a b.1").await, failed("request"));
    assert_eq!(login(&executor, "fake.ok.1").await, Ok(Source::Sts));
}

/// Everything any library logs, at the finest level.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_line_holds_a_signature() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With a second dispatcher alive, tracing asks them all what they want; with one alone it asks that of
    // whichever thread comes by first, and other tests' threads want nothing.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let _guard = tracing::subscriber::set_default(subscriber);
    for alpn in ["http/1.1", "h2"] {
        let server = Server::start(&[alpn]).await;
        let executor = server.executor(|config| {
            config.timeout = Duration::from_millis(100);
            config.endpoints.push(server.endpoint("other-name.test"));
        });
        for token in ["ok.s3cret", "refused.s3cret", "reset.s3cret", "big.s3cret", "hang.s3cret", "a b.s3cret"] {
            let _result = login(&executor, &format!("fake.{token}")).await;
            let _result = login(&executor, &format!("fake.{token}@other-name.test")).await;
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("HTTP towards STS failed") && log.contains("cause=\"tls\""), "our own lines are there");
    let leak = log.lines().find(|line| line.contains("s3cret"));
    assert_eq!(leak, None);
}

#[test]
fn a_bad_configuration_does_not_start() {
    let new = |config: &Config| Executor::new(config, Arc::new(Metrics::default())).map(|_| ());
    let bounds = Config { timeout: Duration::ZERO, ..Config::default() };
    assert!(matches!(new(&bounds), Err(ConfigError::Bounds { key: "timeout", .. })));
    let endpoint = Endpoint {
        host: HOST.to_owned(),
        region: None,
        partition: None,
        connect_to: None,
        ca_file: Some("/no/such/ca.pem".into()),
    };
    let missing = Config { endpoints: vec![endpoint], ..Config::default() };
    assert!(matches!(new(&missing), Err(ConfigError::CaFile { .. })));
}
