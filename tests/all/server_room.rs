//! The server itself: listeners for health and metrics, and a certificate that changes under load.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use rcgen::{CertificateParams, Issuer, KeyPair};
use tests::{
    herald::{self, Server},
    sts::{BOB, Running},
};

use crate::support::{CLUSTER, config, fresh, setup, start, start_beside, sts, until};

/// Runs `herald init --rotate` beside a server.
async fn rotate(server: &Server) -> String {
    let port = server.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
    let file = server.folder().join("init.yaml");
    std::fs::write(&file, format!("clusterID: {CLUSTER}\nserver: {{port: {port}}}\n")).expect("a file");
    let path = |name: &str| server.folder().join(name).display().to_string();
    let (state, kubeconfig, file) = (path("state"), path("kubeconfig.yaml"), file.display().to_string());
    let arguments =
        ["init", "--rotate", "--config", &file, "--state-dir", &state, "--generate-kubeconfig", &kubeconfig];
    let finished = herald::run(&arguments, [("PATH", std::env::var("PATH").unwrap_or_default())]).await;
    finished.expect("herald runs").success().expect("rotated").stdout
}

fn certificate(server: &Server) -> String {
    std::fs::read_to_string(server.folder().join("state/cert.pem")).expect("a certificate")
}

/// Logins without a pause, each over a connection of its own, until told to stop.
fn load(server: &Arc<Server>, stop: &Arc<AtomicBool>, asked: &Arc<AtomicUsize>) -> Vec<tokio::task::JoinHandle<()>> {
    let one = |fresh_connections: bool| {
        let (server, stop, asked) = (Arc::clone(server), Arc::clone(stop), Arc::clone(asked));
        let token = fresh(&BOB);
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let answer = if fresh_connections {
                    let client = server.client(&[b"http/1.1"]).expect("a client");
                    server.review_by(&client, &token).await
                } else {
                    server.review(&token).await
                };
                let answer = answer.expect("no request fails");
                assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
                asked.fetch_add(1, Relaxed);
            }
        })
    };
    [true, true, false, false].map(one).into()
}

/// Changes the certificate under load by `steps`: clients trust what the kubeconfig said at the start, as kube-apiserver
/// does, and not one request may fail.
async fn changes_under_load(server: Server, steps: usize) -> Arc<Server> {
    let server = Arc::new(server);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks = load(&server, &stop, &asked);
    for step in 1..=steps {
        let before = certificate(&server);
        rotate(&server).await;
        assert_ne!(certificate(&server), before);
        let told = || server.stderr.text().matches("certificate: another one is in force").count();
        until(async || told() >= step).await;
        let so_far = asked.load(Relaxed);
        until(async || asked.load(Relaxed) > so_far + 8).await;
    }
    stop.store(true, Relaxed);
    for task in tasks {
        task.await.expect("every request was answered");
    }
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_without_a_failed_request() {
    let (_sts, server) = start("").await;
    let bundle = server.ca_pem.clone();
    let server = changes_under_load(server, 2).await;
    let authority = std::fs::read_to_string(server.folder().join("state/ca.pem")).expect("an authority");
    assert_eq!(bundle, authority, "what API servers trust does not change");
    assert_eq!(trusted(&server), authority);
}

/// An older installation: a pair that vouches for itself. The bundle has old and new before the new one is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_vouches_for_itself_is_left_behind_in_two_steps() {
    let sts = sts().await;
    let setup = setup(&sts, &config(""));
    make_pair(setup.folder(), &sts).await;
    let server = setup.start().await.expect("a server");
    let old = certificate(&server);
    assert_eq!(server.ca_pem, old);
    let text = rotate(&server).await;
    assert!(text.contains("run this command once more"), "{text}");
    assert_eq!(certificate(&server), old, "nothing is shown that nobody trusts yet");
    // The API server is restarted: it reads the bundle of both.
    let authority = std::fs::read_to_string(server.folder().join("state/ca.pem")).expect("an authority");
    let mut server = server;
    server.ca_pem = trusted(&server);
    assert_eq!(server.ca_pem, format!("{authority}{old}"));
    server.trust_again().expect("a client");
    changes_under_load(server, 1).await;
}

/// `herald init` into the state folder, as its guide says.
async fn make_pair(folder: &Path, sts: &Running) {
    let state = folder.join("state").display().to_string();
    let file = folder.join("init.kubeconfig").display().to_string();
    let arguments = ["init", "-i", CLUSTER, "--state-dir", &state, "--generate-kubeconfig", &file];
    herald::run(&arguments, sts.environment()).await.expect("herald runs").success().expect("made");
}

/// What the kubeconfig tells API servers to trust.
fn trusted(server: &Server) -> String {
    bundle(&std::fs::read_to_string(server.folder().join("kubeconfig.yaml")).expect("a kubeconfig"))
}

/// What a kubeconfig trusts.
fn bundle(text: &str) -> String {
    let config: serde_json::Value = serde_saphyr::from_str(text).expect("YAML");
    let data = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().expect("a text");
    let pem = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).expect("base64");
    String::from_utf8(pem).expect("PEM")
}

/// Days from now, for `rcgen`.
fn day(days: i64) -> std::time::SystemTime {
    let span = std::time::Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60);
    if days < 0 { tests::now() - span } else { tests::now() + span }
}

/// An authority of a server, with its key, from one day to another.
fn authority(from: i64, to: i64) -> (CertificateParams, KeyPair, String) {
    let (key, mut params) = (KeyPair::generate().expect("a key"), CertificateParams::default());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "herald webhook CA");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (day(from).into(), day(to).into());
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (params, key, pem)
}

/// A state directory close to the end of its authority, whose successor was made two months ago.
fn make_old_state(state: &Path) -> (String, String) {
    let (params, old_key, old) = authority(-3600, 30);
    let (_, next_key, next) = authority(-60, 3592);
    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    (leaf.not_before, leaf.not_after) = (day(-80).into(), day(10).into());
    let leaf = leaf.signed_by(&key, &Issuer::new(params, &old_key)).expect("a certificate").pem();
    std::fs::create_dir(state).expect("a folder");
    for (name, text) in [
        ("ca.pem", &old),
        ("ca-key.pem", &old_key.serialize_pem()),
        ("ca-next.pem", &next),
        ("ca-next-key.pem", &next_key.serialize_pem()),
        ("cert.pem", &leaf),
        ("key.pem", &key.serialize_pem()),
    ] {
        std::fs::write(state.join(name), text).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(state.join(name), mode).expect("a mode");
    }
    (old, next)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_hands_over_to_its_successor_without_a_failed_request() {
    let sts = sts().await;
    let setup = setup(&sts, &config(""));
    let (old, next) = make_old_state(&setup.folder().join("state"));
    let server = Arc::new(setup.start().await.expect("a server"));
    assert_eq!(server.ca_pem, format!("{old}{next}"), "API servers trust both before anything changes");
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks = load(&server, &stop, &asked);
    until(async || server.stderr.text().contains("certificate: another one is in force")).await;
    let so_far = asked.load(Relaxed);
    until(async || asked.load(Relaxed) > so_far + 8).await;
    stop.store(true, Relaxed);
    for task in tasks {
        task.await.expect("every request was answered");
    }
    let file = |name: &str| std::fs::read_to_string(server.folder().join("state").join(name)).ok();
    assert_eq!(file("ca.pem"), Some(format!("{next}{old}")));
    assert_eq!((file("ca-next.pem"), file("ca-next-key.pem")), (None, None));
    // Who trusts the successor alone.
    let mut server = Arc::into_inner(server).expect("nobody else asks it any more");
    server.ca_pem = next;
    server.trust_again().expect("a client");
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
}

/// A server that is started again under another name.
#[tokio::test]
async fn another_name_gets_another_certificate_under_the_same_authority() {
    let (sts, first) = start("").await;
    let setup = setup(&sts, &config("  hostname: ip6-localhost"));
    std::fs::create_dir(setup.folder().join("state")).expect("a folder");
    let state = first.folder().join("state");
    for name in ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"] {
        std::fs::copy(state.join(name), setup.folder().join("state").join(name)).expect("copied");
    }
    let server = setup.start().await.expect("a server");
    assert_ne!(certificate(&server), certificate(&first));
    assert!(server.url.contains("//ip6-localhost:"), "{}", server.url);
    assert_eq!(trusted(&server), trusted(&first), "what API servers trust is as it was");
    assert!(server.stderr.text().contains("certificate: it is for other names"), "{}", server.stderr.text());
}

/// As an init container does at every start of its pod, and a person who follows the guide again.
#[tokio::test]
async fn init_beside_a_server_trusts_what_the_server_trusts() {
    let (sts, server) = start("").await;
    let before = trusted(&server);
    make_pair(server.folder(), &sts).await;
    let text = std::fs::read_to_string(server.folder().join("init.kubeconfig")).expect("a kubeconfig");
    assert_eq!(bundle(&text), before, "the certificate alone would be good until it is renewed");
    assert_eq!(before, std::fs::read_to_string(server.folder().join("state/ca.pem")).expect("an authority"));
}

#[tokio::test]
async fn a_bad_pair_leaves_the_last_good_one_in_force() {
    let (_sts, server) = start("").await;
    std::fs::write(server.folder().join("state/cert.pem"), "broken").expect("written");
    until(async || server.stderr.text().contains("certificate: the last good one stays")).await;
    let client = server.client(&[b"http/1.1"]).expect("a client");
    let answer = server.review_by(&client, &fresh(&BOB)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
}

#[tokio::test]
async fn health_and_metrics_have_listeners_of_their_own() {
    let (_sts, server) = start("  metrics: {oldNames: true}").await;
    server.review(&fresh(&BOB)).await.expect("an answer");
    for (what, path, status) in [
        ("health", "/", 200),
        ("health", "/healthz", 200),
        ("health", "/readyz", 200),
        ("health", "/metrics", 404),
        ("health", "/authenticate", 404),
        ("metrics", "/metrics", 200),
        ("metrics", "/healthz", 404),
        ("metrics", "/authenticate", 404),
    ] {
        assert_eq!(server.get_plain(what, path).await.expect("an answer").status, status, "{what} {path}");
    }
    let ready = server.get_plain("health", "/readyz?verbose").await.expect("an answer").json();
    assert!(ready["certificateEnd"].as_str().is_some_and(|end| end.ends_with('Z')), "{ready}");
    let text = server.get_plain("metrics", "/metrics").await.expect("an answer").text;
    for line in [
        "aws_iam_authenticator_authenticate_latency_seconds_count{result=\"success\"} 1",
        "aws_iam_authenticator_sts_responses_total{ResponseCode=\"200\",StsRegion=\"us-east-1\"} 1",
        "herald_certificate_end_timestamp_seconds ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test]
async fn off_the_host_the_webhook_tells_no_metrics() {
    let sts = sts().await;
    let setup = setup(&sts, &config("")).argument("--address=0.0.0.0");
    let server = setup.start().await.expect("a server");
    assert_eq!(server.get("/healthz").await.expect("an answer").status, 200);
    assert_eq!(server.get("/metrics").await.expect("an answer").status, 404);
    assert_eq!(server.get_plain("metrics", "/metrics").await.expect("an answer").status, 200);
    let text = server.stderr.text();
    let told = text.lines().filter(|line| line.contains("is told in plain HTTP"));
    assert!(told.clone().count() == 2 && told.clone().all(|line| line.contains("address=\"127.0.0.1:")), "{text}");
}

/// The warnings of `herald check-config` about the files of `server`.
async fn findings(server: &Server) -> Vec<String> {
    let path = |name: &str| server.folder().join(name).display().to_string();
    let (state, kubeconfig, file) = (path("state"), path("kubeconfig.yaml"), path("checked.yaml"));
    let more = format!("  stateDir: {state}\n  generateKubeconfig: {kubeconfig}");
    std::fs::write(&file, config(&more)).expect("a file");
    let finished = herald::run(&["check-config", "-o", "json", &file], [("PATH", "")]).await.expect("herald runs");
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let all = report["findings"].as_array().expect("a list").iter();
    let about = all.filter(|finding| finding["check"] == "webhook-trust");
    about.map(|finding| finding["message"].as_str().unwrap_or_default().replace(&kubeconfig, "FILE")).collect()
}

#[tokio::test]
async fn an_api_server_that_trusts_somebody_else_is_told() {
    let (sts, mut server) = start("").await;
    let other = start_beside(&sts, &config("")).await;
    let [ours, theirs] = [&server, &other].map(|server| server.folder().join("kubeconfig.yaml"));
    let ready = async || server.get_plain("health", "/readyz?verbose").await.expect("an answer").json();
    let metric = async || server.metric("herald_webhook_kubeconfig_distrusted").await.expect("metrics");
    assert_eq!((findings(&server).await.len(), metric().await), (0, Some(0.0)));
    // At once: half a file would be another reason.
    let replace = |by: &[u8]| {
        let new = ours.with_extension("new");
        std::fs::write(&new, by).expect("written");
        std::fs::rename(new, &ours).expect("the same folder");
    };
    let [good, bad] = [&ours, &theirs].map(|file| std::fs::read(file).expect("a kubeconfig"));
    replace(&bad);
    until(async || metric().await == Some(1.0)).await;
    let told = ready().await;
    let why = told["webhookKubeconfigError"].as_str().unwrap_or_default();
    assert!(told["ready"] == true && why.contains("does not vouch for the certificate in force"), "{told}");
    let lines = |words: &str| server.stderr.text().lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("reason=webhook_authority"), 1, "{}", server.stderr.text());
    let found = findings(&server).await;
    assert!(found.len() == 1 && found[0].starts_with("FILE: what it trusts does not vouch"), "{found:?}");
    replace(&good);
    until(async || metric().await == Some(0.0)).await;
    assert!(ready().await.get("webhookKubeconfigError").is_none());

    // What a client says itself while it shakes hands, whatever stands in files.
    server.ca_pem.clone_from(&other.ca_pem);
    server.trust_again().expect("a client");
    server.review(&fresh(&BOB)).await.expect_err("not the server that it trusts");
    let closed = "herald_connections_closed_total{reason=\"untrusted\"}";
    let scrape = async || server.get_plain("metrics", "/metrics").await.expect("an answer").text;
    until(async || scrape().await.contains(closed)).await;
    // It is counted before it is told.
    until(async || server.stderr.text().contains("a client does not trust the certificate in force")).await;
}

/// A state directory from which the webhook kubeconfig has been taken away from under API servers that run.
#[tokio::test]
async fn a_new_authority_says_that_api_servers_have_to_be_restarted() {
    let sts = sts().await;
    let first = start_beside(&sts, &config("")).await;
    let setup = setup(&sts, &config(""));
    std::fs::copy(first.folder().join("kubeconfig.yaml"), setup.folder().join("kubeconfig.yaml")).expect("copied");
    let server = setup.start().await.expect("a server");
    let text = server.stderr.text();
    let told = "API servers that were started with the one before do not trust this server, restart them";
    assert!(text.contains(told) && text.contains("reason=webhook_authority"), "{text}");
    assert_eq!(server.metric("herald_webhook_kubeconfig_distrusted").await.expect("metrics"), Some(0.0));
}
