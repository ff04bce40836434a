//! Webhook kubeconfigs and bundles of certificates: a server is only trusted by whoever holds its certificate or its authority's,
//! and only while they are good; and a file without a certificate vouches for no client and for no STS.
//!
//! The text before the first NUL is the kubeconfig, in which `@PEM@` stands for the base64 of the text behind it; in that,
//! `@CA@` and `@LEAF@` stand for the server's own certificates and `@OTHER@` for somebody else's authority.
#![no_main]

use std::{
    fs,
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use herald::{
    server::{
        ClientAuth, Config, Keeper,
        certificate::{AUTHORITY, CERTIFICATE, trust::judge_text},
    },
    sts::trusted_in,
};
use herald_fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// 2026-01-02T03:04:05Z.
const NOW: Duration = Duration::from_secs(1_767_323_045);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One server's certificates, and another's authority.
struct Made {
    authority: String,
    leaf: String,
    other: String,
    chain: Vec<CertificateDer<'static>>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let state = |name: &str| {
        let state_dir = scratch().join(name);
        let hostname = "herald.example.com".parse().expect("a name");
        let config = Config { state_dir, hostname, ..Config::default() };
        drop(Keeper::open(&config, SystemTime::UNIX_EPOCH + NOW).expect("a pair"));
        config.state_dir
    };
    let (ours, theirs) = (state("ours"), state("theirs"));
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).expect("PEM");
    let leaf = read(&ours, CERTIFICATE);
    let chain = CertificateDer::pem_slice_iter(leaf.as_bytes()).map(|der| der.expect("PEM")).collect();
    Made { authority: read(&ours, AUTHORITY), other: read(&theirs, AUTHORITY), leaf, chain }
});

fn bare(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().split_whitespace().collect()
}

fuzz_target!(|text: &str| {
    let made = &*MADE;
    let (kubeconfig, pem) = text.split_once('\0').unwrap_or((text, "@CA@"));
    let pem = [("@CA@", &made.authority), ("@LEAF@", &made.leaf), ("@OTHER@", &made.other)]
        .iter()
        .fold(pem.to_owned(), |pem, (name, certificate)| pem.replace(name, certificate));
    let kubeconfig = kubeconfig.replace("@PEM@", &STANDARD.encode(&pem));
    let ours = [&made.authority, &made.leaf].iter().any(|own| bare(&pem).contains(&bare(own)));
    for after in [Duration::ZERO, 91 * DAY] {
        let now = SystemTime::UNIX_EPOCH + NOW + after;
        match judge_text(&kubeconfig, Path::new("/nowhere"), &made.chain, now) {
            Some(Ok(())) => assert!(ours && after.is_zero(), "{kubeconfig}"),
            Some(Err(distrust)) => assert!(!distrust.reason().is_empty() && !distrust.to_string().is_empty()),
            None => {}
        }
    }
    let file = scratch().join("clients.pem");
    fs::write(&file, &pem).expect("written");
    let clients = ClientAuth { ca_file: Some(file.clone()), ..ClientAuth::default() };
    let count = CertificateDer::pem_slice_iter(pem.as_bytes()).take_while(Result::is_ok).count();
    assert!(clients.check().is_err() || count > 0, "nobody vouches for anybody");
    match trusted_in(&file) {
        Ok(trusted) => assert!((1..=count).contains(&trusted) && clients.check().is_ok()),
        Err(error) => assert!(clients.check().is_err(), "{error}"),
    }
});
