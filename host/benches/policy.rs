//! What one policy costs a login: a fresh instance, its settings and one decision.
//!
//! `cargo bench -p herald --bench policy`. The first guests do nothing but answer, so their figures are the host's; the others are
//! policies of this repository, and what `herald policy new` writes in languages other than Rust, built by `herald policy build` and
//! snapshotted. `first, …` is the first decision after a load. Also prints the sizes of their components. A language whose toolchain is
//! not here is left out aloud. `cargo figures --only languages` has the same by the command that authors use.

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use criterion::Criterion;
use herald::{
    caller::{Caller, PrincipalId, PrincipalKind, SessionName},
    policy::{CompiledFolder, Config, Engine, EngineConfig, Policy, Request, Verdict, compile, compile_configured},
};
use serde_json::{Value, json};

#[path = "../src/policy/tests/guest.rs"]
#[allow(dead_code, reason = "the tests need more guests than the benchmark")]
mod guest;
#[path = "../../tests/bench/src/figures/languages/subjects.rs"]
#[allow(dead_code, reason = "goals are for the other bench")]
mod subjects;

use subjects::{ACCOUNT, Language, ROLE, subjects};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let folder = tempfile::tempdir().expect("a folder");
    let compiled = CompiledFolder::open(&folder.path().join("compiled")).expect("a private folder");
    let engine = Engine::new(&EngineConfig::default()).expect("an engine");
    let config = |name: &str, guest: guest::Guest| -> Config {
        let component = folder.path().join(name);
        fs::write(&component, guest.component()).expect("the folder is ours");
        compile(&engine, &component, &compiled).expect("it compiles");
        entry(name, &component, &json!({}))
    };
    let allow = config("allow", guest::Guest::allowing());
    let abstain = config("abstain", guest::Guest::default());

    criterion.bench_function("load, compiled", |bencher| {
        bencher.iter(|| Policy::load(&engine, black_box(&allow), Some(&compiled)).expect("it loads"));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let caller = Arc::new(caller());
    let request = Request::new(&caller, "c", SystemTime::UNIX_EPOCH);
    let mut decide = |config: &Config, title: &str, allows: bool| {
        let policy = Policy::load(&engine, config, Some(&compiled)).expect("it loads");
        let verdict = runtime.block_on(policy.decide(&request)).verdict.expect("no fault");
        assert_eq!(matches!(verdict, Verdict::Allow(_)), allows, "{title}");
        criterion.bench_function(&format!("decide, {title}"), |bencher| {
            bencher.to_async(&runtime).iter(|| policy.decide(black_box(&request)));
        });
    };
    decide(&abstain, "abstain", false);
    decide(&allow, "allow", true);
    let compiling = Engine::for_compiling().expect("an engine");
    let mut found = Vec::new();
    for subject in subjects(tools) {
        let project = subject.project.folder(&repository(), folder.path(), herald()).expect("a project");
        let name = project.file_name().and_then(|name| name.to_str()).expect("a project has a name");
        found.push((subject.name, entry(name, &build(&project, folder.path()), &subject.settings)));
    }
    for (title, config) in &found {
        compile_configured(&compiling, config, &compiled).expect("it compiles");
        decide(config, title, true);
    }
    let mut first = criterion.benchmark_group("first");
    first.sample_size(10).measurement_time(Duration::from_secs(2));
    for (title, config) in &found {
        first.bench_function(*title, |bencher| {
            bencher.iter_custom(|rounds| {
                let once = || {
                    let policy = Policy::load(&engine, config, Some(&compiled)).expect("it loads");
                    let started = Instant::now();
                    black_box(runtime.block_on(policy.decide(&request)));
                    started.elapsed()
                };
                (0..rounds).map(|_| once()).sum()
            });
        });
    }
    first.finish();
    criterion.final_summary();
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the tools of a language are; `None`, aloud, where they cannot be had.
fn tools(language: Language) -> Option<PathBuf> {
    let name = match language {
        Language::Go => "go",
        Language::JavaScript => "javascript",
        Language::Python => "python",
    };
    let script = Command::new(repository().join("tests/tools").join(name)).stdout(Stdio::null()).status();
    if !script.is_ok_and(|status| status.success()) {
        eprintln!("left out: {name}, as tests/tools/{name} failed here");
        return None;
    }
    Some(repository().join("target/tools").join(name))
}

/// Builds the policy in `project` and prints how large it is.
fn build(project: &Path, folder: &Path) -> PathBuf {
    let name = project.file_name().expect("a project has a name");
    let component = folder.join(name).with_extension("wasm");
    if !component.exists() {
        run(herald().arg("build").arg(project).arg("--output").arg(&component));
        let bytes = fs::metadata(&component).expect("it is built").len();
        eprintln!("component of {}: {} kB", name.display(), bytes / 1000);
    }
    component
}

/// `herald policy`.
fn herald() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herald"));
    // What cargo tells this package is not for the policy's.
    let of_package =
        |name: &str| ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.starts_with(start));
    env::vars().filter(|(name, _)| of_package(name)).for_each(|(name, _)| {
        command.env_remove(name);
    });
    command.arg("policy");
    command
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}

fn entry(name: &str, component: &Path, settings: &Value) -> Config {
    let limits = json!({"timeout": "5s", "memory": "32Mi", "fuel": 2_000_000_000_u64});
    let entry = json!({"name": name, "kind": "map", "component": component, "settings": settings, "limits": limits});
    serde_json::from_value(entry).expect("a good entry")
}

fn caller() -> Caller {
    Caller {
        provider: "aws",
        partition: "aws".into(),
        account_id: ACCOUNT.parse().expect("12 digits"),
        kind: PrincipalKind::AssumedRole,
        arn: subjects::arn(),
        canonical_arn: format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}"),
        name: ROLE.into(),
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
