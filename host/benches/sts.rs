//! What the STS executor costs, beside the floor: one pooled HTTPS request by the same client library to the
//! same server on loopback.
//!
//! ```text
//! cargo bench -p herald --bench sts
//! ```

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use criterion::Criterion;
use herald::{
    caller::{Caller, PrincipalId, PrincipalKind},
    observe::Metrics,
    provider::{Provider, SecretText, StsCall, StsReply, VerifyError},
    sts::{Config, Endpoint, Executor, Limits},
    token::BearerToken,
};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_rustls::TlsAcceptor;

/// Asks for `/`, with the token's text as the query, and believes every answer.
struct Believer;

const HOST: &str = "sts.test";
/// About as long as an AWS token with a session token.
const TOKEN_BYTES: usize = 1700;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let mut criterion = Criterion::default().configure_from_args();
    for (name, alpn) in [("http1", "http/1.1"), ("h2", "h2")] {
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        let address = serve(&ca_file, alpn);
        let executor = executor(address, &ca_file);
        compare(&mut criterion, &runtime, name, &executor, &floor(address, &ca_file));
    }
    criterion.final_summary();
}

fn compare(criterion: &mut Criterion, runtime: &Runtime, name: &str, executor: &Executor, floor: &reqwest::Client) {
    let mut group = criterion.benchmark_group(name);
    let next = AtomicU64::new(0);
    let verify = async |token: String| {
        let verified = executor.verify(&Believer, &BearerToken::new(token), SystemTime::UNIX_EPOCH).await;
        verified.expect("the server vouches for everybody").caller
    };
    group.bench_function("floor", |bencher| {
        bencher.to_async(runtime).iter(async || {
            let url = format!("https://{HOST}/?{}", fresh(&next));
            let response = floor.get(url).send().await.expect("an answer");
            response.bytes().await.expect("a body")
        });
    });
    group.bench_function("uncached", |bencher| {
        bencher.to_async(runtime).iter(async || verify(format!("bench.{}", fresh(&next))).await);
    });
    group.bench_function("cached", |bencher| {
        let token = format!("bench.{}", fresh(&next));
        bencher.to_async(runtime).iter(async || verify(token.clone()).await);
    });
    group.bench_function("digest", |bencher| {
        let token = BearerToken::new(format!("bench.{}", fresh(&next)));
        bencher.iter(|| token.digest());
    });
    group.finish();
}

fn fresh(next: &AtomicU64) -> String {
    format!("{:0>TOKEN_BYTES$}", next.fetch_add(1, Relaxed))
}

fn executor(address: SocketAddr, ca_file: &Path) -> Executor {
    let endpoint = Endpoint {
        host: HOST.to_owned(),
        region: None,
        partition: None,
        connect_to: Some(address.to_string()),
        ca_file: Some(ca_file.to_owned()),
    };
    let limits = Limits { per_second: 0, ..Limits::default() };
    let config = Config { endpoints: vec![endpoint], limits, ..Config::default() };
    Executor::new(&config, Arc::new(Metrics::default())).expect("a good configuration")
}

fn floor(address: SocketAddr, ca_file: &Path) -> reqwest::Client {
    let pem = std::fs::read(ca_file).expect("the CA file");
    let certificate = reqwest::Certificate::from_pem(&pem).expect("a certificate");
    let _first = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().tls_certs_only([certificate]).resolve(HOST, address);
    builder.no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

/// A TLS server on threads of its own, and its CA file.
fn serve(ca_file: &Path, alpn: &str) -> SocketAddr {
    let pair = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
    std::fs::write(ca_file, pair.cert.pem()).expect("the CA file");
    let key = rustls_pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .expect("a pair");
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket that can wait");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    std::thread::spawn(move || Runtime::new().expect("a runtime").block_on(accept(listener, acceptor)));
    address
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answer = service_fn(async |_| Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(BODY)))));
            let _ended = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// As large as a GetCallerIdentity answer.
const BODY: &str = r#"{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333","Arn":
"arn:aws:iam::111122223333:user/alice","UserId":"AIDAEXAMPLE"},"ResponseMetadata":{"RequestId":"0"}}}"#;

impl Provider for Believer {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn prefixes(&self) -> &'static [&'static str] {
        &["bench."]
    }

    fn checks(&self) -> &'static [&'static str] {
        &[]
    }

    fn inspect(&self, token: &BearerToken, now: SystemTime) -> Result<StsCall, VerifyError> {
        Ok(StsCall {
            host: HOST.to_owned(),
            region: String::new(),
            method: http::Method::GET,
            path_and_query: SecretText::new(format!("/?{}", token.expose())),
            headers: Vec::new(),
            access_key_id: String::new(),
            signed_at: now,
            expires_at: now + Duration::from_secs(900),
        })
    }

    fn interpret(&self, call: &StsCall, _reply: &StsReply) -> Result<Caller, VerifyError> {
        Ok(Caller {
            provider: "aws",
            partition: "aws".to_owned(),
            account_id: "111122223333".parse().expect("twelve digits"),
            kind: PrincipalKind::User,
            arn: String::new(),
            canonical_arn: String::new(),
            name: String::new(),
            principal_id: PrincipalId::new(""),
            session_name: None,
            sso_permission_set: None,
            access_key_id: String::new(),
            sts_region: String::new(),
            signed_at: call.signed_at,
            expires_at: call.expires_at,
            uid: String::new(),
            extra: &[],
            attributes: Vec::new(),
        })
    }
}
