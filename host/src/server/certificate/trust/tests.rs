//! Webhook kubeconfigs as a table: what an API server would think of our certificate, by each of them.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;
use crate::server::{
    Hostname, Keeper,
    certificate::{AUTHORITY, params},
};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// A server's certificate, with its authority and files in `folder`.
fn state(folder: &Path) -> Config {
    let config = Config {
        state_dir: folder.join("state"),
        generate_kubeconfig: folder.join("kubeconfig.yaml"),
        hostname: "herald.example.com".parse::<Hostname>().expect("a name"),
        ..Config::default()
    };
    drop(Keeper::open(&config, now()).expect("a pair"));
    config
}

/// A kubeconfig whose cluster has these keys.
fn kubeconfig(cluster: &str) -> String {
    format!(
        "clusters: [{{name: c, cluster: {{{cluster}}}}}, {{name: other, cluster: {{server: 'http://x'}}}}]\n\
         contexts: [{{name: webhook, context: {{cluster: c, user: u}}}}]\ncurrent-context: webhook\nusers: []\n"
    )
}

/// What is said of a kubeconfig: `trusted`, `not known`, or a reason.
#[track_caller]
fn check_text(config: &Config, text: &str, later: Duration, expected: &str) {
    fs::write(&config.generate_kubeconfig, text).expect("written");
    let pem = fs::read(config.state_dir.join(CERTIFICATE)).expect("a certificate");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).map(|der| der.expect("PEM")).collect();
    let found = match judge(&config.generate_kubeconfig, &chain, now() + later) {
        None => "not known",
        Some(Ok(())) => "trusted",
        Some(Err(distrust)) => distrust.reason(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn kubeconfigs() {
    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (config, other) = (state(folder.path()), state(elsewhere.path()));
    let read = |config: &Config, name: &str| fs::read(config.state_dir.join(name)).expect("a file");
    let data = |pem: &[u8]| format!("certificate-authority-data: {}", STANDARD.encode(pem));
    let (ours, theirs) = (data(&read(&config, AUTHORITY)), data(&read(&other, AUTHORITY)));
    let both = data(&[read(&other, AUTHORITY), read(&config, AUTHORITY)].concat());
    let leaf = data(&read(&config, CERTIFICATE));
    let url = "server: 'https://herald.example.com:21362/authenticate'";
    let day = Duration::from_secs(24 * 60 * 60);
    let check = |cluster: &str, later: Duration, expected: &str| {
        check_text(&config, &kubeconfig(cluster), later, expected);
    };
    check(&format!("{url}, {ours}"), Duration::ZERO, "trusted");
    check(&format!("{url}, {both}"), Duration::ZERO, "trusted");
    check(&format!("{url}, {leaf}"), Duration::ZERO, "trusted");
    check(&format!("{url}, certificate-authority: state/ca.pem"), Duration::ZERO, "trusted");
    check(&format!("{url}, certificate-authority: nowhere.pem"), Duration::ZERO, "webhook_kubeconfig");
    check(&format!("{url}, certificate-authority: nowhere.pem, {ours}"), Duration::ZERO, "trusted");
    // A new state directory, and the API server still has the kubeconfig of the old one.
    check(&format!("{url}, {theirs}"), Duration::ZERO, "webhook_authority");
    check(&format!("{url}, {}", data(b"\n")), Duration::ZERO, "webhook_authority");
    check(&format!("{url}, certificate-authority-data: '*'"), Duration::ZERO, "webhook_kubeconfig");
    check(&format!("{url}, {ours}"), 91 * day, "webhook_time");
    check(&format!("{url}, {leaf}"), 91 * day, "webhook_time");
    check(&format!("server: 'https://127.0.0.1/authenticate', {ours}"), Duration::ZERO, "trusted");
    check(&format!("server: 'https://[::1]:1/authenticate', {ours}"), Duration::ZERO, "webhook_name");
    check(&format!("server: 'https://localhost:21362/authenticate', {ours}"), Duration::ZERO, "webhook_name");
    let as_ours = "tls-server-name: herald.example.com";
    check(&format!("server: 'https://localhost:21362', {as_ours}, {ours}"), Duration::ZERO, "trusted");
    check(&format!("server: 'http://herald.example.com', {ours}"), Duration::ZERO, "webhook_kubeconfig");
    check(&format!("{url}, insecure-skip-tls-verify: true"), Duration::ZERO, "not known");
    check(url, Duration::ZERO, "not known");
    check(&ours, Duration::ZERO, "webhook_kubeconfig");
}

/// API servers refuse what an authority vouches for that has not begun, or has ended.
#[test]
fn authorities_have_dates_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = state(folder.path());
    let check = |from: i32, to: i32, expected: &str| {
        let day = |days: i32| {
            let span = Duration::from_secs(24 * 60 * 60) * days.unsigned_abs();
            if days < 0 { now() - span } else { now() + span }
        };
        let (key, mut authority) = (KeyPair::generate().expect("a key"), CertificateParams::default());
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        (authority.not_before, authority.not_after) = (day(from).into(), day(to).into());
        let pem = authority.self_signed(&key).expect("a certificate").pem();
        let leaf = params(&config.hostname, config.address, Duration::from_secs(24 * 60 * 60), now()).expect("names");
        let of = KeyPair::generate().expect("a key");
        let leaf = leaf.signed_by(&of, &Issuer::from_params(&authority, &key)).expect("a certificate").pem();
        fs::write(config.state_dir.join(CERTIFICATE), leaf).expect("written");
        let data = STANDARD.encode(pem);
        let cluster = format!("server: 'https://herald.example.com', certificate-authority-data: {data}");
        check_text(&config, &kubeconfig(&cluster), Duration::ZERO, expected);
    };
    check(-1, 1, "trusted");
    check(1, 2, "webhook_time");
    check(-2, -1, "webhook_time");
}

#[test]
fn what_is_no_kubeconfig() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = state(folder.path());
    for text in ["", "- a", "a: {", "clusters: []\ncurrent-context: webhook\n", "kind: Config\n"] {
        check_text(&config, text, Duration::ZERO, "webhook_kubeconfig");
    }
    fs::remove_file(&config.generate_kubeconfig).expect("removed");
    assert_eq!(of_config(&config, now()), None, "there may be no API server on this machine");
}
