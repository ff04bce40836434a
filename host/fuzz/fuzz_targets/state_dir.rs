//! State directories: whatever stands in one, no key is overwritten, no authority is lost, and a certificate is replaced only by one of
//! the authority that is there; and API servers that are started with the kubeconfig that Herald writes trust what it shows.
//!
//! The first byte chooses the name and the time of the start. Behind it stand `cert.pem`, `key.pem`, `ca.pem`, `ca-key.pem`,
//! `ca-next.pem` and `ca-next-key.pem` between NULs; an empty one is not there. `@CERT@`, `@KEY@`, `@CA@`, `@CAKEY@`, `@NEXT@` and
//! `@NEXTKEY@` stand for what a server made, `@ALONE@` and `@ALONEKEY@` for a pair that vouches for itself.
#![no_main]

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use herald::server::{
    Config, Keeper,
    certificate::{
        AUTHORITY, AUTHORITY_KEY, CERTIFICATE, Distrust, KEY,
        authority::{NEXT, NEXT_KEY},
        trust::judge_text,
    },
    load_certificate,
};
use herald_fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// 2026-01-02T03:04:05Z.
const NOW: Duration = Duration::from_secs(1_767_323_045);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const FILES: [&str; 6] = [CERTIFICATE, KEY, AUTHORITY, AUTHORITY_KEY, NEXT, NEXT_KEY];
/// What certificates are made for, and another one.
const NAMES: [&str; 2] = ["herald.example.com", "other.example.com"];
/// At once, when an authority has a successor that does not vouch yet, when it does, and when the first one has ended.
const AFTER: [Duration; 4] =
    [Duration::ZERO, DAY.saturating_mul(2500), DAY.saturating_mul(3600), DAY.saturating_mul(3700)];

type Files = BTreeMap<&'static str, String>;

/// What stands for each placeholder.
static MADE: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let read = |folder: &str, name: &str| fs::read_to_string(scratch().join(folder).join(name)).expect("PEM");
    drop(Keeper::open(&config("made", 0), at(Duration::ZERO)).expect("a pair"));
    drop(Keeper::open(&config("next", 0), at(AFTER[1])).expect("a pair"));
    drop(load_certificate(&config("alone", 0), at(Duration::ZERO)).expect("a pair"));
    vec![
        ("@CERT@", read("made", CERTIFICATE)),
        ("@KEY@", read("made", KEY)),
        ("@CA@", read("made", AUTHORITY)),
        ("@CAKEY@", read("made", AUTHORITY_KEY)),
        ("@NEXT@", read("next", AUTHORITY)),
        ("@NEXTKEY@", read("next", AUTHORITY_KEY)),
        ("@ALONE@", read("alone", CERTIFICATE)),
        ("@ALONEKEY@", read("alone", KEY)),
    ]
});

fn at(after: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW + after
}

fn config(folder: &str, name: usize) -> Config {
    let state_dir = scratch().join(folder);
    let generate_kubeconfig = scratch().join(format!("{folder}.yaml"));
    let hostname = NAMES[name].parse().expect("a name");
    Config { state_dir, generate_kubeconfig, hostname, ..Config::default() }
}

fn files(folder: &Path) -> Files {
    FILES.into_iter().filter_map(|name| Some((name, fs::read_to_string(folder.join(name)).ok()?))).collect()
}

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}

fuzz_target!(|text: &str| {
    let mut letters = text.chars();
    let choice = letters.next().map_or(0, |first| first as usize);
    let put = |part: &str| MADE.iter().fold(part.to_owned(), |part, (name, pem)| part.replace(name, pem));
    let parts = letters.as_str().split('\0').map(put);
    let before: Files = FILES.into_iter().zip(parts).filter(|(_, part)| !part.is_empty()).collect();

    let (config, now) = (config("state", choice % 2), at(AFTER[choice / 2 % 4]));
    let folder = &config.state_dir;
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).expect("made");
    for (name, text) in &before {
        fs::write(folder.join(name), text).expect("written");
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).expect("set");
    }

    let opened = Keeper::open(&config, now);
    let after = files(folder);
    is_kept(&before, &after, &config, now);
    let Ok(keeper) = opened else { return };
    assert_eq!(keeper.is_new(), !before.contains_key(CERTIFICATE));
    let again = Keeper::open(&config, now).expect("what was opened can be opened again");
    assert!(!again.is_new() && files(folder) == after, "once is enough");
    if belongs_together(&before, AUTHORITY, AUTHORITY_KEY).unwrap_or(true) {
        is_trusted(&again, &after, before.get(CERTIFICATE), &config, now);
    }
});

/// The certificate of the key in `name`, by what we made.
fn made_for(files: &Files, name: &str) -> Option<&'static str> {
    let key = files.get(name)?;
    let of_pair = |pair: &'static [(&str, String)]| Some((key.find(&pair[1].1)?, pair[0].1.as_str()));
    MADE.chunks_exact(2).filter_map(of_pair).min().map(|(_, certificate)| certificate)
}

/// Whether `certificate` has the certificate of `key`: of an authority whose own is elsewhere nothing can be said, it may be trusted
/// there, and may have ended. `None`: one of them is not there.
fn belongs_together(files: &Files, certificate: &str, key: &str) -> Option<bool> {
    let there = every_certificate(files.get(certificate)?);
    files.get(key)?;
    let own = made_for(files, key).map(every_certificate);
    Some(own.is_some_and(|own| own.iter().all(|certificate| there.contains(certificate))))
}

/// No key is another one, unless the successor's has its place, which is made when the authority has ended; no authority is gone; and
/// a certificate is another one only if the authority that is there vouches for it.
fn is_kept(before: &Files, after: &Files, config: &Config, now: SystemTime) {
    let changed = |name: &str| before.get(name).filter(|text| after.get(name) != Some(text)).is_some();
    assert!(!changed(KEY));
    // What stands there as an authority may be the certificate of a server, which ends sooner.
    let [(_, certificate), ..] = MADE.as_slice() else { unreachable!("there are more") };
    let is_a_servers = before.get(AUTHORITY).is_some_and(|pem| pem.contains(certificate));
    let has_ended = now >= at(AFTER[3]) || (now > at(AFTER[0]) && is_a_servers);
    assert!(!changed(AUTHORITY_KEY) || has_ended || after.get(AUTHORITY_KEY) == before.get(NEXT_KEY));
    let authorities = of_authorities(after, &[AUTHORITY, NEXT]);
    // What is left of a successor that cannot vouch, or does so already, gives way to another one.
    let is_another = made_for(before, NEXT_KEY) != made_for(before, AUTHORITY_KEY);
    let can_vouch = is_another && belongs_together(before, NEXT, NEXT_KEY).unwrap_or(false);
    let stay: &[_] = if can_vouch || !has_ended { &[AUTHORITY, NEXT] } else { &[AUTHORITY] };
    assert!(of_authorities(before, stay).iter().all(|certificate| authorities.contains(certificate)));
    if changed(CERTIFICATE) {
        assert!(before.contains_key(KEY) && before.contains_key(AUTHORITY) && before.contains_key(AUTHORITY_KEY));
        // Without what else stands in their files: a reader of bundles takes none in which something is broken.
        let pem = |der: &CertificateDer<'_>| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        let roots: String = authorities.iter().map(pem).collect();
        assert_eq!(judged(&after[CERTIFICATE], &roots, config, now), Some(Ok(())));
    }
}

fn of_authorities(files: &Files, names: &[&str]) -> Vec<CertificateDer<'static>> {
    names.iter().filter_map(|name| files.get(name)).flat_map(|pem| every_certificate(pem)).collect()
}

fn every_certificate(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

fn judged(certificate: &str, roots: &str, config: &Config, now: SystemTime) -> Option<Result<(), Distrust>> {
    let path = scratch().join("roots.yaml");
    herald::server::write_kubeconfig(config, roots, &path).expect("written");
    let kubeconfig = fs::read_to_string(path).expect("it is there");
    judge_text(&kubeconfig, Path::new("/nowhere"), &certificates(certificate).expect("PEM"), now)
}

fn is_trusted(keeper: &Keeper, after: &Files, before: Option<&String>, config: &Config, now: SystemTime) {
    let authorities = [AUTHORITY, NEXT].into_iter().filter_map(|name| after.get(name));
    if authorities.clone().any(|pem| certificates(pem).is_none()) {
        return;
    }
    keeper.write_kubeconfig(now).expect("written");
    let kubeconfig = fs::read_to_string(&config.generate_kubeconfig).expect("it is there");
    let chain = certificates(&after[CERTIFICATE]).expect("it was loaded");
    match judge_text(&kubeconfig, Path::new("/nowhere"), &chain, now) {
        Some(Ok(())) => {}
        // Somebody put it there.
        Some(Err(Distrust::NotNow(_) | Distrust::Name(_))) => {
            assert_eq!(before, after.get(CERTIFICATE), "{kubeconfig}")
        }
        // The authority has ended, and there is no key to make another certificate with.
        Some(Err(Distrust::Authority)) if now >= at(AFTER[3]) => {
            assert_eq!(before, after.get(CERTIFICATE), "{kubeconfig}")
        }
        other => panic!("{other:?}: {kubeconfig}"),
    }
}
