//! The dev STS over the wire: tunnels, TLS, shapes of answers, faults, limits and the operator's side.

use std::time::{Duration, SystemTime};

use expect_test::expect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{
    tls,
    tokens::{CLUSTER_HEADER, Draft},
};

const HOST: &str = "sts.us-east-1.amazonaws.com";

/// 2026-01-02T03:04:05Z, and never later.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

async fn start(behaviour: impl Into<Behaviour>) -> Running {
    let options = Options { clock: Arc::new(at), behaviour: behaviour.into(), ..Options::default() };
    Running::start(options).await.expect("a free port")
}

/// A client that reaches the dev STS as any program with `HTTPS_PROXY` does.
fn client(running: &Running, alpn: &[&[u8]]) -> reqwest::Client {
    let tls = tls::client_config(running.sts.ca_pem(), alpn).expect("a CA");
    let proxy = reqwest::Proxy::https(format!("http://{}", running.address)).expect("an address");
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).proxy(proxy);
    builder.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

fn request(client: &reqwest::Client, url: &str) -> reqwest::RequestBuilder {
    client.get(url).header(CLUSTER_HEADER, "prod").header("accept", "application/json")
}

fn url() -> String {
    Draft::new(&ALICE, "prod", at()).sign().url()
}

#[tokio::test]
async fn answers_in_json_and_xml() {
    let running = start(Behaviour::default()).await;
    let client = client(&running, &[b"http/1.1"]);
    let json = request(&client, &url()).send().await.expect("an answer");
    assert_eq!(json.headers()["content-type"], "application/json");
    assert!(json.headers().contains_key("x-amzn-requestid"));
    expect![[r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"123456789012","Arn":"arn:aws:sts::123456789012:assumed-role/Developers/alice","UserId":"AROADEVELOPERSEXAMPL:alice"},"ResponseMetadata":{"RequestId":"00000000-0000-4000-8000-000000000000"}}}"#]]
        .assert_eq(&json.text().await.expect("text"));
    let xml = client.get(url()).header(CLUSTER_HEADER, "prod").send().await.expect("an answer");
    assert_eq!(xml.headers()["content-type"], "text/xml");
    expect![[r#"
        <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <GetCallerIdentityResult>
            <Arn>arn:aws:sts::123456789012:assumed-role/Developers/alice</Arn>
            <UserId>AROADEVELOPERSEXAMPL:alice</UserId>
            <Account>123456789012</Account>
          </GetCallerIdentityResult>
          <ResponseMetadata>
            <RequestId>00000000-0000-4000-8000-000000000001</RequestId>
          </ResponseMetadata>
        </GetCallerIdentityResponse>
    "#]]
    .assert_eq(&xml.text().await.expect("text"));
    let refused = client.get(url()).header(CLUSTER_HEADER, "other").header("accept", "application/json");
    let refused = refused.send().await.expect("an answer");
    assert_eq!(refused.status(), 403);
    let text = refused.text().await.expect("text");
    assert!(text.starts_with(r#"{"Error":{"Code":"SignatureDoesNotMatch","Message":"The request"#), "{text}");
    let stats = running.sts.stats();
    assert_eq!((stats.requests, stats.ok, stats.bad_signature, stats.tunnels), (3, 2, 1, 1), "{stats:?}");
    let log = running.sts.requests();
    let line = log.first().expect("a line");
    assert_eq!((line.host.as_str(), line.access_key_id.as_str(), line.status), (HOST, ALICE.access_key_id, 200));
    let written = serde_json::to_string(&log).expect("plain data");
    let signature = Draft::new(&ALICE, "prod", at()).sign();
    for secret in [signature.find("X-Amz-Signature"), ALICE.session_token, Some(ALICE.secret_access_key)] {
        assert!(!written.contains(secret.expect("a secret")), "the log holds no secrets");
    }
}

#[tokio::test]
async fn http2_can_be_turned_off() {
    let running = start(Behaviour::default()).await;
    for h2 in [true, false] {
        running.sts.set(Behaviour { h2, ..Behaviour::default() });
        let client = client(&running, &[b"h2", b"http/1.1"]);
        let answer = request(&client, &url()).send().await.expect("an answer");
        assert_eq!(answer.version() == http::Version::HTTP_2, h2);
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn only_sts_hosts_are_there() {
    let running = start(Behaviour::default()).await;
    let client = client(&running, &[b"http/1.1"]);
    let elsewhere = request(&client, &url().replace(HOST, "sts.example.com")).send().await;
    assert!(elsewhere.is_err());
    assert_eq!(running.sts.stats().tunnels_refused, 1);
    assert!(spawn(Arc::clone(&running.sts), "0.0.0.0:0".parse().expect("an address")).await.is_err());
}

#[tokio::test]
async fn faults() {
    // A busy machine may take long over an answer; for one that never comes there is no need to.
    const AMPLE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_secs(5);
    let running = start(Behaviour::default()).await;
    let client = client(&running, &[b"http/1.1"]);
    let ask = async |fault: Fault, limit: Duration| {
        running.sts.set(fault);
        let answer = request(&client, &url()).timeout(limit).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.bytes().await.ok().map(|body| body.len())))
    };
    let at_once = [
        (Fault::Throttle400, 400),
        (Fault::Throttle429, 429),
        (Fault::Bare429, 429),
        (Fault::Denied403, 403),
        (Fault::Expired403, 403),
        (Fault::E500, 500),
        (Fault::E503, 503),
        (Fault::Garbage, 200),
        (Fault::Redirect, 302),
        (Fault::Empty, 200),
        (Fault::Trailing, 200),
        (Fault::Duplicate, 200),
        (Fault::Xml, 200),
        (Fault::AccountMismatch, 200),
        (Fault::BadArn, 200),
        (Fault::BadUserId, 200),
        (Fault::None, 200),
    ];
    for (fault, status) in at_once {
        assert!(matches!(ask(fault, AMPLE).await, Some((found, Some(_))) if found == status), "{fault:?}");
    }
    assert_eq!(ask(Fault::Hang, SHORT).await, None);
    assert_eq!(ask(Fault::Close, AMPLE).await, None);
    assert_eq!(ask(Fault::Reset, AMPLE).await, None);
    assert_eq!(ask(Fault::ResetBody, AMPLE).await, Some((200, None)));
    assert_eq!(ask(Fault::Stalled, SHORT).await, Some((200, None)));
    assert_eq!(ask(Fault::Drip, SHORT).await, Some((200, None)));
    assert!(running.sts.stats().aborted >= 1, "the client left a hanging answer");
}

/// The preface, empty settings and a `GET /` of a.b (RFC 9113, sections 3.4, 6.2 and 6.5).
const H2_REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x01\x05\0\0\0\x01\x82\x87\x84\x41\x03a.b";
/// The head of an `RST_STREAM` for that request (section 6.4).
const H2_RESET: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01";

/// What arrives of the answer to a request in these bytes, up to the end of the connection or `end`, and how it ended.
async fn raw(running: &Running, alpn: &[u8], request: &[u8], end: &[u8]) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let config = tls::client_config(running.sts.ca_pem(), &[alpn]).expect("a CA");
    let name = HOST.try_into().expect("a name");
    let socket = tokio::net::TcpStream::connect(running.address).await.expect("a connection");
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("TLS");
    stream.write_all(request).await.expect("it is open");
    let mut all = Vec::new();
    while end.is_empty() || !all.windows(end.len()).any(|window| window == end) {
        let mut piece = [0; 1024];
        match tokio::time::timeout(Duration::from_secs(60), stream.read(&mut piece)).await.expect("an end") {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
    (all, None)
}

#[tokio::test]
async fn a_reset_is_one_of_tcp() {
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: sts.us-east-1.amazonaws.com\r\naccept: application/json\r\n\r\n";
    let running = start(Behaviour::default()).await;
    for (fault, one, end) in [
        (Fault::Close, Some(UnexpectedEof), H2_RESET),
        (Fault::Reset, Some(ConnectionReset), &[]),
        (Fault::ResetBody, Some(ConnectionReset), &[]),
    ] {
        running.sts.set(fault);
        let (answer, ended) = raw(&running, b"http/1.1", REQUEST, &[]).await;
        assert_eq!(ended, one, "{fault:?}");
        let text = String::from_utf8(answer).expect("text");
        let has_half = text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("{\"GetCallerIdentityResponse\"");
        assert_eq!(has_half, fault == Fault::ResetBody, "{fault:?}: {text}");
        assert!(text.is_empty() || has_half && !text.ends_with("}}"), "{fault:?}: {text}");
        let (_, ended) = raw(&running, b"h2", H2_REQUEST, end).await;
        assert_eq!(ended, one.filter(|_| end.is_empty()), "{fault:?} over HTTP/2");
    }
}

#[tokio::test]
async fn limits_and_latency() {
    let limited = Behaviour { rate_limit: 10, retry_after_s: 7, latency_ms: 20.0, ..Behaviour::default() };
    let running = start(limited).await;
    let client = client(&running, &[b"http/1.1"]);
    let started = Instant::now();
    assert_eq!(request(&client, &url()).send().await.expect("an answer").status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(20));
    // The next one may have a window of the limit to itself; of so many at once, some have not, unless the machine is so busy
    // that they come one by one.
    let mut throttled = Vec::new();
    for _ in 0..50 {
        let mut at_once = tokio::task::JoinSet::new();
        for _ in 0..16 {
            at_once.spawn(request(&client, &url()).send());
        }
        let answers = at_once.join_all().await.into_iter().map(|answer| answer.expect("an answer"));
        throttled.extend(answers.filter(|answer| answer.status() == 400));
        if !throttled.is_empty() {
            break;
        }
    }
    assert!(!throttled.is_empty(), "nobody was above the limit");
    for answer in throttled {
        assert_eq!(answer.headers()["retry-after"], http::HeaderValue::from(7));
    }
}

#[tokio::test]
async fn connections_end_when_told() {
    let running = start(Behaviour { max_requests_per_conn: 2, ..Behaviour::default() }).await;
    let client = client(&running, &[b"http/1.1"]);
    for _ in 0..4 {
        let answer = request(&client, &url()).send().await.expect("an answer");
        answer.bytes().await.expect("a body");
    }
    assert_eq!(running.sts.stats().tls_handshakes, 2);
}

#[tokio::test]
async fn the_clock_can_be_moved() {
    let running = start(Behaviour { clock_offset_s: 901, ..Behaviour::default() }).await;
    let client = client(&running, &[b"http/1.1"]);
    let answer = request(&client, &url()).send().await.expect("an answer");
    assert!(answer.text().await.expect("text").contains("Signature expired: 20260102T030405Z"));
}

#[tokio::test]
async fn the_operators_side() {
    let running = start(Behaviour::default()).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls::client_config(running.sts.ca_pem(), &[]).expect("a CA"));
    let client = client.build().expect("a client");
    let ask = async |path: &str| {
        let answer = client.get(format!("http://{}{path}", running.address)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(ask("/admin/set?latency_ms=5&fault=hang").await.0, 200);
    assert_eq!(*running.sts.behaviour(), Behaviour { latency_ms: 5.0, ..Fault::Hang.into() });
    assert_eq!(ask("/admin/set?colour=red").await.0, 400);
    let (_, stats) = ask("/admin/stats").await;
    assert_eq!(serde_json::from_str::<Stats>(&stats).expect("stats"), running.sts.stats());
    assert_eq!(ask("/admin/reset").await, (200, "{}".to_owned()));
    assert_eq!(ask("/latest/meta-data/placement/region").await.1, "us-east-1");
    assert_eq!(ask("/other").await.0, 404);
}

#[tokio::test]
async fn assume_role() {
    let running = start(Behaviour::default()).await;
    let client = client(&running, &[b"http/1.1"]);
    let assume = async |person: &Person, parameters: &[(&str, &str)]| {
        let mut draft = Draft::new(person, "prod", at());
        let pairs = [("Action", "AssumeRole"), ("Version", "2011-06-15")];
        let pairs = pairs.iter().chain(parameters);
        draft.parameters = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = request(&client, &draft.sign().url()).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        (status, serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
    };
    let deployer = [("RoleArn", keys::DEPLOYER_ROLE), ("RoleSessionName", "bob-deploys")];
    let (status, answer) = assume(&BOB, &[&deployer[..], &[("DurationSeconds", "900")]].concat()).await;
    assert_eq!(status, 200, "{answer}");
    let result = &answer["AssumeRoleResponse"]["AssumeRoleResult"];
    assert_eq!(result["AssumedRoleUser"]["Arn"], "arn:aws:sts::123456789012:assumed-role/Deployer/bob-deploys");
    assert_eq!(result["Credentials"]["Expiration"], "2026-01-02T03:19:05Z");
    let text = |name: &str| result["Credentials"][name].as_str().expect("text").to_owned();
    let key = keys::Key {
        id: text("AccessKeyId"),
        secret: text("SecretAccessKey"),
        session_token: Some(text("SessionToken")),
        ..BOB.key()
    };
    let url = Draft::of_key(&key, "prod", at()).sign().url();
    let identity = request(&client, &url).send().await.expect("an answer").text().await.expect("text");
    assert!(identity.contains("AROADEPLOYEREXAMPLE1:bob-deploys"), "{identity}");

    let platform = [("RoleArn", keys::PLATFORM_ROLE), ("RoleSessionName", "s-1"), ("ExternalId", keys::EXTERNAL_ID)];
    let (_, answer) = assume(&ALICE, &platform).await;
    let arn = &answer["AssumeRoleResponse"]["AssumeRoleResult"]["AssumedRoleUser"]["Arn"];
    assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/Admins/s-1", "a session's ARN has no path");

    let code = async |person: &Person, parameters: &[(&str, &str)]| {
        assume(person, parameters).await.1["Error"]["Code"].as_str().map(str::to_owned)
    };
    let denied = Some("AccessDenied".to_owned());
    let invalid = Some("ValidationError".to_owned());
    assert_eq!(code(&EVE, &deployer).await, denied);
    assert_eq!(code(&BOB, &platform[..2]).await, denied);
    assert_eq!(code(&BOB, &[("RoleArn", "arn:aws:iam::1:role/x"), deployer[1]]).await, denied);
    assert_eq!(code(&BOB, &deployer[..1]).await, invalid);
    assert_eq!(code(&BOB, &[deployer[0], ("RoleSessionName", "a b")]).await, invalid);
    assert_eq!(code(&BOB, &[&deployer[..], &[("DurationSeconds", "899")]].concat()).await, invalid);
    assert_eq!(code(&BOB, &[&deployer[..], &[("DurationSeconds", "3601")]].concat()).await, invalid);
    assert_eq!(code(&BOB, &[("Action", "GetCallerIdentity")]).await.as_deref(), Some("MalformedQueryString"));
}
