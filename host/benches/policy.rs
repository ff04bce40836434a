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
    let caller = caller();
    let request = Request { caller: &caller, cluster_id: "c", now: SystemTime::UNIX_EPOCH, current: None, trail: &[] };
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
    let mut subjects = Vec::new();
    for (name, title, settings) in ready_made() {
        subjects
            .push((title, entry(name, &build(&repository().join("policies").join(name), folder.path()), &settings)));
    }
    for (language, title) in [("js", "JavaScript policy"), ("python", "Python policy"), ("go", "Go policy")] {
        if let Some(project) = template(language, folder.path()) {
            subjects.push((title, entry(language, &build(&project, folder.path()), &contractors())));
        }
    }
    for (title, config) in &subjects {
        compile_configured(&compiling, config, &compiled).expect("it compiles");
        decide(config, title, true);
    }
    let mut first = criterion.benchmark_group("first");
    first.sample_size(10).measurement_time(Duration::from_secs(2));
    for (title, config) in &subjects {
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

/// Policies of this repository with the settings that a figure is asked for.
fn ready_made() -> [(&'static str, &'static str, Value); 3] {
    let rule = |role: &str| json!({"match": {"accounts": ["123456789012"], "role": role}, "username": "{{SessionName}}", "groups": ["admins"]});
    // The caller's rule is the last.
    let roles: Vec<Value> = (0..4999).map(|n| rule(&format!("Role{n}"))).chain([rule("Admin")]).collect();
    let expressions = json!([
        {"match": "caller.accountId != '123456789012'", "deny": "'an account of strangers'"},
        {"match": "caller.name.matches('^ci-[a-z]+$')", "username": "'ci:' + caller.name", "groups": "['ci']"},
        {"match": "caller.name == 'Admin' && caller.sessionName.startsWith('a')",
         "username": "'person:' + caller.sessionName.split('@')[0].lowerAscii()", "groups": "['dev'] + (now > 0 ? [] : ['oncall'])"},
    ]);
    [
        ("session-groups", "Rust policy", json!({"rules": [rule("Admin")]})),
        ("session-groups", "Rust policy with 5,000 roles", json!({"rules": roles})),
        ("expression", "CEL policy", json!({"rules": expressions})),
    ]
}

/// The settings of what `herald policy new` writes.
fn contractors() -> Value {
    json!({"account": "123456789012", "role": "Admin", "username": "dev:{{SessionName}}", "groups": ["developers"]})
}

/// A new project in `language`, with what it finds beside itself once it is installed; `None` where the toolchain is missing.
fn template(language: &str, folder: &Path) -> Option<PathBuf> {
    let tools = |name: &str| repository().join("target/tools").join(name);
    let (tool, sdk, installed) = match language {
        "js" => ("javascript", tools("javascript"), Some((tools("javascript"), "node_modules/herald-policy"))),
        "python" => ("python", repository().join("sdk/python"), Some((tools("python"), ".venv"))),
        _ => (language, repository().join("sdk").join(language), None),
    };
    let script = Command::new(repository().join("tests/tools").join(tool)).stdout(Stdio::null()).status();
    if !script.is_ok_and(|status| status.success()) {
        eprintln!("left out: {language}, as tests/tools/{tool} failed here");
        return None;
    }
    let project = folder.join(format!("contractors-{language}"));
    run(herald().args(["new", "--lang", language]).arg(&project).arg("--sdk").arg(sdk));
    if let Some((target, name)) = installed {
        let link = project.join(name);
        fs::create_dir_all(link.parent().expect("it has one")).expect("the folder is ours");
        std::os::unix::fs::symlink(target, link).expect("the folder is ours");
    }
    Some(project)
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
