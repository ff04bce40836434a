//! What one policy costs a login: a fresh instance, its settings and one decision.
//!
//! `cargo bench -p herald --bench policy`. The guest does nothing but answer, so the figures are the host's.

use std::{fs, hint::black_box, time::SystemTime};

use criterion::Criterion;
use herald::{
    caller::{Caller, PrincipalId, PrincipalKind, SessionName},
    policy::{CompiledFolder, Config, Engine, EngineConfig, Policy, Request, compile},
};

#[path = "../src/policy/tests/guest.rs"]
#[allow(dead_code, reason = "the tests need more guests than the benchmark")]
mod guest;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::tempdir().expect("a folder");
    let compiled = CompiledFolder::open(&folder.path().join("compiled")).expect("a private folder");
    let engine = Engine::new(&EngineConfig::default()).expect("an engine");
    let config = |name: &str, guest: guest::Guest| -> Config {
        let component = folder.path().join(name);
        fs::write(&component, guest.component()).expect("the folder is ours");
        compile(&engine, &component, &compiled).expect("it compiles");
        serde_json::from_value(serde_json::json!({"name": name, "kind": "map", "component": component})).expect("good")
    };
    let allow = config("allow", guest::Guest::allowing());
    let abstain = config("abstain", guest::Guest::default());

    criterion.bench_function("load, compiled", |bencher| {
        bencher.iter(|| Policy::load(&engine, black_box(&allow), Some(&compiled)).expect("it loads"));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let caller = caller();
    let request = Request { caller: &caller, cluster_id: "c", now: SystemTime::UNIX_EPOCH, current: None, trail: &[] };
    for config in [abstain, allow] {
        let policy = Policy::load(&engine, &config, Some(&compiled)).expect("it loads");
        criterion.bench_function(&format!("decide, {}", config.name), |bencher| {
            bencher.to_async(&runtime).iter(|| policy.decide(black_box(&request)));
        });
    }
    criterion.final_summary();
}

fn caller() -> Caller {
    Caller {
        provider: "aws",
        partition: "aws".into(),
        account_id: "123456789012".parse().expect("12 digits"),
        kind: PrincipalKind::AssumedRole,
        arn: "arn:aws:sts::123456789012:assumed-role/Admin/alice".into(),
        canonical_arn: "arn:aws:iam::123456789012:role/Admin".into(),
        name: "Admin".into(),
        principal_id: PrincipalId::new("AROAEXAMPLE"),
        session_name: Some(SessionName::new("alice")),
        sso_permission_set: None,
        access_key_id: "ASIAEXAMPLE".into(),
        sts_region: "us-east-1".into(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        uid: "uid".into(),
        extra: &[],
        attributes: vec![],
    }
}
