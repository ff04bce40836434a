//! What finding a caller costs: it must not depend on how many others are mapped.
//!
//! `cargo bench -p herald --bench mapping`

use std::{fmt::Write as _, hint::black_box, path::Path, sync::Arc, time::SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use herald::{
    caller::{Arn, Caller, PrincipalId, SessionName},
    config::Config,
    mapping::{MountedFile, Stage as _},
    policy::Request,
};

/// A configuration with this many exact roles and permission sets.
fn document(roles: usize, sets: usize) -> String {
    let mut text = "clusterID: bench\nserver:\n  mapRoles:\n".to_owned();
    for index in 0..roles {
        let entry = format!(
            "  - rolearn: arn:aws:iam::{:012}:role/Team{index}\n    username: team-{index}:{{{{SessionName}}}}\n    groups: [team-{}, viewers]\n",
            100_000_000_000_u64 + index as u64,
            index % 500,
        );
        text.push_str(&entry);
    }
    for index in 0..sets {
        writeln!(
            text,
            "  - sso: {{permissionSetName: Set{index}, accountID: '123456789012'}}\n    username: set-{index}"
        )
        .expect("a string takes it");
    }
    text
}

fn caller(arn: &str) -> Caller {
    let parsed: Arn = arn.parse().expect("an ARN");
    Caller {
        provider: "aws",
        partition: parsed.partition().to_owned(),
        account_id: parsed.account_id().clone(),
        kind: parsed.kind(),
        arn: arn.to_owned(),
        canonical_arn: parsed.canonical(),
        name: parsed.name().to_owned(),
        principal_id: PrincipalId::new("AROAEXAMPLE"),
        session_name: parsed.session_name().map(SessionName::new),
        sso_permission_set: None,
        access_key_id: "ASIAEXAMPLE".into(),
        sts_region: String::new(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        uid: String::new(),
        extra: &[],
        attributes: vec![],
    }
}

fn lookups(criterion: &mut Criterion) {
    let last = |roles: usize| {
        let index = roles - 1;
        format!("arn:aws:sts::{:012}:assumed-role/Team{index}/alice", 100_000_000_000_u64 + index as u64)
    };
    let set = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Set9_0123456789abcdef/alice".to_owned();
    let nobody = "arn:aws:sts::123456789012:assumed-role/Nobody/alice".to_owned();
    let cases = [
        ("10 roles, last", 10, 0, last(10)),
        ("50000 roles, last", 50_000, 0, last(50_000)),
        ("50000 roles, nobody", 50_000, 0, nobody),
        ("10 permission sets", 0, 10, set.clone()),
        ("1000 permission sets", 0, 1_000, set),
    ];
    let mut group = criterion.benchmark_group("mapping");
    for (name, roles, sets, arn) in cases {
        let loaded = Config::parse(Path::new("bench.yaml"), &document(roles, sets)).expect("it loads");
        assert!(loaded.warnings.is_empty());
        let stage = MountedFile::new(Arc::clone(&loaded.config.rules), std::collections::BTreeSet::new());
        let caller = Arc::new(caller(&arn));
        let now = SystemTime::UNIX_EPOCH;
        let request = Request::new(&caller, "bench", now);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(stage.decide(black_box(&request)).now_or_never()));
        });
    }
    group.finish();
}

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for roles in [10, 50_000] {
        let text = document(roles, 0);
        group.bench_function(format!("{roles} roles"), |bencher| {
            bencher.iter(|| Config::parse(Path::new("bench.yaml"), black_box(&text)).expect("it loads"));
        });
    }
    group.finish();
}

criterion_group!(benches, lookups, loading);
criterion_main!(benches);
