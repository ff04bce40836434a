//! Policies that behave, misbehave and attack: what each of them gets.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use self::guest::{Guest, answer, componentise, saying, text};
use super::{
    compiled::{Form, Origin},
    *,
};
use crate::caller::{PrincipalId, PrincipalKind};

mod carried;
mod fuel;
pub(crate) mod guest;
mod hostile;
mod later;
mod tables;

pub(super) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(&EngineConfig::default()).expect("an engine"));

/// Long enough that only fuel, memory or a trap can end a guest first, even on a loaded machine.
pub(super) const PATIENT: Duration = Duration::from_secs(5);
pub(super) const SMALL: ByteSize = ByteSize::mebibytes(2);
const WIT: &str = include_str!("../../../wit/v0.1.0/policy.wit");

pub(crate) fn caller(name: &str) -> Caller {
    Caller {
        provider: "aws",
        partition: "aws".into(),
        account_id: "123456789012".parse().expect("12 digits"),
        kind: PrincipalKind::AssumedRole,
        arn: "arn:aws:sts::123456789012:assumed-role/Admin/alice".into(),
        canonical_arn: "arn:aws:iam::123456789012:role/Admin".into(),
        name: name.into(),
        principal_id: PrincipalId::new("AROAEXAMPLE"),
        session_name: None,
        sso_permission_set: None,
        access_key_id: "ASIAEXAMPLE".into(),
        sts_region: "us-east-1".into(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        uid: "uid".into(),
        extra: &[],
        attributes: vec![("a".into(), "b".into())],
    }
}

pub(crate) fn request(caller: &Caller) -> Request<'_> {
    Request { caller, cluster_id: "prod", now: SystemTime::UNIX_EPOCH, current: None, trail: &[] }
}

/// A folder with one component in it.
pub(crate) struct Fixture {
    folder: TempDir,
    pub(super) config: Config,
}

impl Fixture {
    pub(crate) fn new(component: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.wasm");
        fs::write(&path, component).unwrap();
        let config = Config {
            name: "test".parse().unwrap(),
            kind: Kind::Map,
            component: path,
            sha256: None,
            settings: serde_json::json!({}),
            tables: std::collections::BTreeMap::default(),
            cloud: Vec::new(),
            ceiling: Ceiling::default(),
            mode: Mode::Enforce,
            on_fault: OnFault::Refuse,
            limits: Limits::new(PATIENT, SMALL, Limits::default().fuel()).unwrap(),
        };
        Self { folder, config }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.config.component
    }

    pub(super) fn limited(mut self, timeout: Duration, memory: ByteSize, fuel: u64) -> Self {
        self.config.limits = Limits::new(timeout, memory, fuel).unwrap();
        self
    }

    pub(crate) fn load(&self) -> Result<Policy, LoadError> {
        Policy::load(&ENGINE, &self.config, None)
    }

    pub(super) fn compiled(&self) -> (PathBuf, CompiledFolder) {
        let path = self.folder.path().join("compiled");
        (path.clone(), CompiledFolder::open(&path).unwrap())
    }
}

async fn evaluate(fixture: &Fixture) -> Evaluation {
    let policy = fixture.load().unwrap();
    policy.decide(&request(&caller("Admin"))).await
}

#[track_caller]
fn check(guest: &Guest, expected: Result<Verdict, Fault>) {
    check_within(guest, PATIENT, Limits::default().fuel(), expected);
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a row reads better")]
fn check_within(guest: &Guest, timeout: Duration, fuel: u64, expected: Result<Verdict, Fault>) {
    let fixture = Fixture::new(&guest.component()).limited(timeout, SMALL, fuel);
    assert_eq!(run(evaluate(&fixture)).verdict, expected);
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

const LOOP: &str = "(loop $l (br $l)) unreachable";

// === answers ===

#[test]
fn the_four_answers() {
    let alice = Mapping { username: "alice".into(), groups: vec!["dev".into()], ..Mapping::default() };
    check(&Guest::default(), Ok(Verdict::Abstain));
    check(&Guest::allowing(), Ok(Verdict::Allow(alice)));
    check(&Guest::deciding(saying(0, 2, 6)).with(text("not\nok")), Ok(Verdict::Deny(r"not\u{a}ok".into())));
    check(&Guest::deciding(saying(1, 0, 4)).with(text("late")), Err(Fault::Unavailable("late".into())));
    check(&Guest::deciding(saying(1, 1, 4)).with(text("oops")), Err(Fault::Broken("oops".into())));
}

#[test]
fn what_a_policy_is_asked_reaches_it() {
    let bob = Mapping { username: "Admin".into(), ..Mapping::default() };
    check(&Guest::echoing(), Ok(Verdict::Allow(bob)));
}

// === bounds ===

#[test]
fn endless_computing_ends() {
    let forever = Guest::deciding(LOOP);
    check_within(&forever, Duration::from_millis(20), Limits::MAX_FUEL, Err(Fault::Timeout));
    check_within(&forever, PATIENT, 1000, Err(Fault::Fuel));
    let started = Instant::now();
    check_within(&forever, Duration::from_millis(50), Limits::MAX_FUEL, Err(Fault::Timeout));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn waiting_for_a_processor_takes_none_of_the_time() {
    let work = "(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
        (i32.const 20000000))))";
    let guest = Guest::deciding(format!("{work} {}", answer(&[])));
    let fixture = Fixture::new(&guest.component()).limited(Duration::from_millis(200), SMALL, Limits::MAX_FUEL);
    let policy = fixture.load().unwrap();
    run(async {
        let hog = tokio::spawn(async {
            loop {
                std::thread::sleep(Duration::from_millis(50));
                tokio::task::yield_now().await;
            }
        });
        let started = Instant::now();
        let verdict = policy.decide(&request(&caller("a"))).await.verdict;
        assert_eq!((verdict, started.elapsed() > Duration::from_millis(200)), (Ok(Verdict::Abstain), true));
        hog.abort();
    });
}

#[test]
fn the_deadline_covers_the_whole_start() {
    #[track_caller]
    fn check(guest: &Guest) {
        let fixture = Fixture::new(&guest.component()).limited(Duration::from_millis(20), SMALL, Limits::MAX_FUEL);
        assert_eq!(fixture.load().unwrap_err().reason(), "policy_timeout");
        let fixture = fixture.limited(PATIENT, SMALL, 1000);
        assert_eq!(fixture.load().unwrap_err().reason(), "policy_fuel");
    }
    check(&Guest::configuring(LOOP));
    check(&Guest::default().with("(func $start (loop $l (br $l))) (start $start)"));
}

#[test]
fn memory_is_bounded() {
    let page_by_page = "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable";
    check(&Guest::deciding(page_by_page), Err(Fault::Memory));
    let at_once = "(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable)) unreachable";
    check(&Guest::deciding(at_once), Err(Fault::Memory));
    check(&Guest::deciding("(drop (memory.grow (i32.const 65535))) unreachable"), Err(Fault::Memory));
    let within =
        format!("(if (i32.eq (memory.grow (i32.const 30)) (i32.const -1)) (then unreachable)) {}", answer(&[]));
    check(&Guest::deciding(within), Ok(Verdict::Abstain));
    let table = "(table $t 1 funcref)";
    let grow = "(drop (table.grow $t (ref.null func) (i32.const 20001))) unreachable";
    check(&Guest::deciding(grow).with(table), Err(Fault::Memory));
}

#[test]
fn a_component_that_starts_too_large_does_not_load() {
    let fixture = Fixture::new(&Guest { pages: 33, ..Guest::default() }.component());
    assert_eq!(fixture.load().unwrap_err().reason(), "policy_memory");
    let two_memories = Guest { pages: 17, ..Guest::default() }.with("(memory 16)");
    check_load(&two_memories.component(), "policy_memory", "more memory");
}

#[test]
fn traps_are_told_apart_from_bounds() {
    #[track_caller]
    fn check(guest: &Guest, expected: &str) {
        let found = run(evaluate(&Fixture::new(&guest.component()))).verdict;
        let Err(Fault::Trap(message)) = found else { panic!("{found:?}") };
        assert!(message.contains(expected), "{message}");
    }
    check(&Guest::deciding("unreachable"), "unreachable");
    check(&Guest::deciding("(i32.load (i32.const -4))"), "out of bounds");
    check(&Guest::deciding("(i32.div_u (i32.const 1) (i32.const 0))"), "divide by zero");
    let recursion = "(func $f (param i64) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))";
    check(&Guest::deciding("(call $f (i64.const 1))").with(recursion), "call stack exhausted");
    check(&Guest::deciding("i32.const -4"), "out of bounds");
    check(&Guest::deciding(answer(&[(4, 7)])), "unexpected");
    check(&Guest::deciding(saying(0, 2, 1)).with("(data (i32.const 1024) \"\\ff\")"), "utf-8");
}

#[test]
fn a_hostile_allocator_harms_only_itself() {
    let allocating = |realloc: &str| Guest { realloc: realloc.into(), ..Guest::allowing() };
    let load = |guest: &Guest| Fixture::new(&guest.component()).load().unwrap_err().reason();
    assert_eq!(load(&allocating("i32.const -8")), "contract_mismatch");
    assert_eq!(load(&allocating("unreachable")), "policy_trap");
    assert_eq!(load(&allocating(LOOP)), "policy_fuel");
}

#[test]
fn large_answers_are_refused() {
    let roomy = |decide: String| Guest { pages: 20, ..Guest::deciding(decide) };
    check(&roomy(saying(0, 1, 2000)), Err(Fault::TooLarge));
    check(&roomy(saying(0, 1, 1 << 20)), Err(Fault::TooLarge));
    check(&roomy(saying(0, 2, 1 << 20)), Err(Fault::TooLarge));
    let many_groups = |count| answer(&[(0, 0), (4, 1), (8, 1024), (12, 1), (28, 2048), (32, count)]);
    check(&roomy(many_groups(257)), Err(Fault::TooLarge));
    check(&roomy(many_groups(100_000)), Err(Fault::TooLarge));
}

#[test]
fn a_log_line_beyond_what_may_be_copied_is_refused() {
    let shout = "(call $log (i32.const 1) (i32.const 0) (i32.const 300000)) unreachable";
    check(&Guest { pages: 5, ..Guest::deciding(shout) }, Err(Fault::TooLarge));
}

#[test]
fn a_long_denial_is_cut() {
    let Ok(Verdict::Deny(why)) = run(evaluate(&Fixture::new(&Guest::deciding(saying(0, 2, 5000)).component()))).verdict
    else {
        panic!("a denial")
    };
    assert!(why.len() <= 1024, "{}", why.len());
}

#[test]
fn a_log_flood_is_bounded() {
    let log = "(call $log (i32.const 2) (i32.const 1024) (i32.const 5))";
    let thousand = format!(
        "(local $i i32) (loop $l {log} (br_if $l (i32.lt_u
            (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) {}",
        answer(&[])
    );
    let guest = Guest::deciding(thousand).with(text("a\nb\u{1b}c"));
    let evaluation = run(evaluate(&Fixture::new(&guest.component())));
    assert_eq!(evaluation.verdict, Ok(Verdict::Abstain));
    assert_eq!(evaluation.log.len(), 33);
    assert_eq!(evaluation.log[0], LogLine { level: "warn", message: r"a\u{a}b\u{1b}c".into() });
    assert_eq!(evaluation.log[32].message, "(968 more lines were dropped)");
}

#[test]
fn what_was_logged_before_a_fault_is_kept() {
    let guest =
        Guest::deciding("(call $log (i32.const 3) (i32.const 1024) (i32.const 3)) unreachable").with(text("why"));
    let evaluation = run(evaluate(&Fixture::new(&guest.component())));
    assert_eq!(evaluation.log, [LogLine { level: "error", message: "why".into() }]);
}

#[test]
fn nothing_survives_a_call() {
    let count = "(global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.gt_u (global.get $n) (i32.const 1)) (then unreachable))
        (if (i32.load (i32.const 4096)) (then unreachable)) (i32.store (i32.const 4096) (i32.const 1))";
    let guest = Guest::deciding(format!("{count} {}", answer(&[]))).with("(global $n (mut i32) (i32.const 0))");
    let policy = Fixture::new(&guest.component()).load().unwrap();
    for _ in 0..50 {
        assert_eq!(run(policy.decide(&request(&caller("Admin")))).verdict, Ok(Verdict::Abstain));
    }
}

// === loading ===

#[track_caller]
fn check_load(component: &[u8], reason: &str, words: &str) {
    let fixture = Fixture::new(component);
    let error = fixture.load().unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    let message = error.to_string();
    assert!(message.contains(words) && message.contains("policy.wasm"), "{message}");
}

#[test]
fn files_that_are_no_policies() {
    let good = Guest::default().component();
    check_load(b"", "not_wasm", "not a WebAssembly file");
    check_load(b"#!/bin/sh", "not_wasm", "not a WebAssembly file");
    check_load(b"\0as", "not_wasm", "not a WebAssembly file");
    check_load(b"\0asm", "invalid_component", "not a valid component");
    check_load(&wat::parse_str("(module)").unwrap(), "core_module", "herald policy build");
    check_load(&good[..good.len() / 2], "invalid_component", "not a valid component");
    check_load(&good[..good.len() - 1], "invalid_component", "not a valid component");
    check_load(&wat::parse_str("(component)").unwrap(), "not_a_policy", "herald:policy/mapper");
    check_load(&ENGINE.wasmtime().precompile_component(&good).unwrap(), "not_wasm", "not a WebAssembly file");
    check_load(&vec![0; (32 << 20) + 1], "component_too_large", "32 MiB");
    let mut padded = good.clone();
    padded.resize(256 << 10, 0);
    check_load(&padded, "invalid_component", "not a valid component");
    let large = [good, sections::tests::section("padding", &vec![0; 256 << 10])].concat();
    check_load(&large, "not_compiled", "herald policy compile");
}

#[test]
fn a_missing_file_is_named() {
    let mut fixture = Fixture::new(b"");
    fixture.config.component = fixture.folder.path().to_owned();
    assert_eq!(fixture.load().unwrap_err().reason(), "unreadable");
    fixture.config.component = PathBuf::from("/nonexistent/a.wasm");
    let error = fixture.load().unwrap_err();
    assert_eq!(error.to_string(), "/nonexistent/a.wasm: cannot be read");
    assert!(std::error::Error::source(&error).is_some(), "the system's own words");
}

#[test]
fn contracts_that_are_not_ours() {
    let exports = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)"#;
    let mapper = |version: &str, types: &str| {
        format!(
            r#"{exports} (func (export "herald:policy/mapper@{version}#configure") (param i32 i32) (result i32) i32.const 0)
               (func (export "herald:policy/mapper@{version}#decide") (param {types}) (result i32) i32.const 0)"#
        )
    };
    let newer = componentise(&format!("{})", mapper("0.2.0", "i32")), &WIT.replace("0.1.0", "0.2.0"), "policy");
    check_load(&newer, "unknown_version", "made for version 0.2.0 of the policy contract; this host speaks 0.1");

    let cloud = r#"(import "herald:policy/cloud@0.1.0" "caller-tags" (func (param i32)))"#;
    let greedy = mapper("0.1.0", "i32").replacen("(module", &format!("(module {cloud}"), 1);
    let greedy = componentise(&format!("{greedy})"), WIT, "policy-with-capabilities");
    check_load(&greedy, "ungranted_import", "imports herald:policy/cloud@0.1.0, which it is not granted");

    let wit = "package herald:policy@0.1.0; interface mapper { configure: func(settings: string) -> result<_, string>;
        decide: func(request: string) -> string; } world policy { export mapper; }";
    let other = componentise(&format!("{})", mapper("0.1.0", "i32 i32")), wit, "policy");
    check_load(&other, "contract_mismatch", "does not fit the policy contract");
}

#[test]
fn a_later_patch_version_of_the_contract_is_spoken() {
    let text = Guest::allowing().text().replace("0.1.0", "0.1.7");
    let component = componentise(&text, &WIT.replace("0.1.0", "0.1.7"), "policy");
    let evaluation = run(evaluate(&Fixture::new(&component)));
    assert!(matches!(evaluation.verdict, Ok(Verdict::Allow(_))), "{evaluation:?}");
}

#[test]
fn settings_are_checked_when_it_loads() {
    let refuse = "(i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (local.get $settings))
        (i32.store (i32.const 24) (local.get $length)) i32.const 16";
    let mut fixture = Fixture::new(&Guest::configuring(refuse).component());
    fixture.config.settings = serde_json::json!({"rota": "payments"});
    let error = fixture.load().unwrap_err();
    assert_eq!(error.reason(), "settings_refused");
    assert!(error.to_string().ends_with(r#"refuses its settings: {"rota":"payments"}"#), "{error}");
    let fixture = Fixture::new(&Guest::configuring("unreachable").component());
    assert_eq!(fixture.load().unwrap_err().reason(), "policy_trap");
}

#[test]
fn a_pin_must_match() {
    let component = Guest::default().component();
    let mut fixture = Fixture::new(&component);
    fixture.config.sha256 = Some(Digest::of(&component));
    assert!(fixture.load().is_ok());
    fixture.config.sha256 = Some(Digest::of(b"another"));
    assert_eq!(fixture.load().unwrap_err().reason(), "pin_mismatch");
}

#[test]
fn only_an_augment_policy_may_be_skipped() {
    let mut fixture = Fixture::new(&Guest::default().component());
    fixture.config.on_fault = OnFault::Skip;
    assert_eq!(fixture.load().unwrap_err().reason(), "skip_not_allowed");
    fixture.config.kind = Kind::Augment;
    assert!(fixture.load().is_ok());
}

// === compiled code ===

/// The compiled file that decisions of `fixture` start from.
fn artifact_of(folder: &Path, fixture: &Fixture) -> PathBuf {
    let compiled = compile_configured(&ENGINE, &fixture.config, &CompiledFolder::open(folder).unwrap());
    compiled.unwrap().path
}

#[test]
fn compiled_code_is_kept_and_used() {
    let mut large = Guest::allowing();
    large.more.push_str(&format!("(data (i32.const 16384) {:?})", "x".repeat(300_000)));
    large.pages = 8;
    let fixture = Fixture::new(&large.component());
    let (_, folder) = fixture.compiled();
    let load = || Policy::load(&ENGINE, &fixture.config, Some(&folder));
    assert_eq!(load().unwrap_err().reason(), "not_compiled");
    let compiled = compile(&Engine::for_compiling().unwrap(), &fixture.config.component, &folder).unwrap();
    assert!(compiled.path.exists() && compiled.code_bytes > 300_000, "{compiled:?}");
    let policy = load().unwrap();
    assert_eq!(policy.digest(), compiled.digest);
    if cfg!(target_os = "linux") {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(maps.contains(compiled.path.to_str().unwrap()), "the code is mapped, not copied");
    }
    assert!(matches!(run(policy.decide(&request(&caller("a")))).verdict, Ok(Verdict::Allow(_))));
}

#[test]
fn code_that_is_not_ours_is_ignored() {
    #[track_caller]
    fn check(what: &str, forge: impl FnOnce(&Path, Vec<u8>)) {
        let fixture = Fixture::new(&Guest::allowing().component());
        let (path, folder) = fixture.compiled();
        Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap();
        let artifact = artifact_of(&path, &fixture);
        let written = fs::read(&artifact).unwrap();
        let component = Digest::of(&fs::read(&fixture.config.component).unwrap());
        let origin = Origin { component, form: Form::Configured("{}") };
        assert!(folder.fetch(&ENGINE, origin).is_some(), "{what}: kept");
        forge(&artifact, written.clone());
        assert!(folder.fetch(&ENGINE, origin).is_none(), "{what}: ignored");
        let policy = Policy::load(&ENGINE, &fixture.config, Some(&folder)).unwrap();
        assert!(matches!(run(policy.decide(&request(&caller("a")))).verdict, Ok(Verdict::Allow(_))), "{what}");
        assert!(folder.fetch(&ENGINE, origin).is_some(), "{what}: written anew");
    }
    check("one bit of the tag", |path, mut bytes| {
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    });
    check("one bit of the code", |path, mut bytes| {
        bytes[4096] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    check("truncated code", |path, bytes| fs::write(path, &bytes[..bytes.len() / 2]).unwrap());
    check("truncated tag", |path, bytes| fs::write(path, &bytes[..31]).unwrap());
    check("nothing", |path, _| fs::write(path, b"").unwrap());
    check("untagged code", |path, bytes| fs::write(path, &bytes[..bytes.len() - 32]).unwrap());
    check("more code", |path, bytes| fs::write(path, [&bytes[..], &bytes[..]].concat()).unwrap());
    check("another folder's file", |path, _| {
        let other = Fixture::new(&Guest::allowing().component());
        let (elsewhere, folder) = other.compiled();
        Policy::load(&ENGINE, &other.config, Some(&folder)).unwrap();
        fs::copy(artifact_of(&elsewhere, &other), path).unwrap();
    });
    check("another policy's file", |path, _| {
        let other = Fixture::new(&Guest::default().component());
        let folder = CompiledFolder::open(path.parent().unwrap()).unwrap();
        let compiled = compile(&ENGINE, &other.config.component, &folder).unwrap();
        fs::rename(compiled.path, path).unwrap();
    });
}

#[test]
fn a_compiled_folder_is_private() {
    #[track_caller]
    fn check(spoil: impl FnOnce(&Path), expected: Option<&str>) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/compiled");
        CompiledFolder::open(&path).unwrap();
        spoil(&path);
        let found = CompiledFolder::open(&path).map(drop).map_err(|error| error.to_string());
        match expected {
            None => assert_eq!(found, Ok(())),
            Some(words) => assert!(found.as_ref().is_err_and(|error| error.contains(words)), "{found:?}"),
        }
    }
    fn mode(mode: u32) -> fs::Permissions {
        fs::Permissions::from_mode(mode)
    }
    check(|path| fs::set_permissions(path, mode(0o750)).unwrap(), Some("closed to others"));
    check(|path| fs::set_permissions(path, mode(0o702)).unwrap(), Some("closed to others"));
    check(|path| fs::set_permissions(path.join("key"), mode(0o640)).unwrap(), Some("closed to others"));
    check(|path| fs::write(path.join("key"), b"short").unwrap(), Some("not a key"));
    check(
        |path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            std::os::unix::fs::symlink(path.with_extension("old"), path).unwrap();
        },
        Some("closed to others"),
    );
    check(|path| fs::remove_file(path.join("key")).unwrap(), None);
    check(|_| (), None);
}

#[test]
fn every_engine_of_this_build_names_code_alike() {
    let component = Guest::default().component();
    let fixture = Fixture::new(&component);
    let (_, folder) = fixture.compiled();
    let poolless = Engine::for_compiling().unwrap();
    compile_configured(&poolless, &fixture.config, &folder).unwrap();
    let origin = Origin { component: Digest::of(&component), form: Form::Configured("{}") };
    assert!(folder.fetch(&ENGINE, origin).is_some());
    let policy = Policy::load(&poolless, &fixture.config, Some(&folder)).unwrap();
    assert_eq!(run(policy.decide(&request(&caller("a")))).verdict, Ok(Verdict::Abstain), "it runs without a pool too");
}

#[test]
fn the_engines_version_is_the_one_built_in() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    let version = lock.split_once("name = \"wasmtime\"\nversion = \"").unwrap().1.split('"').next().unwrap();
    assert!(engine::VERSION.ends_with(&format!("wasmtime {version}")), "{version}");
}

// === many at once ===

#[test]
fn a_slow_policy_does_not_block_a_fast_one() {
    let slow = Fixture::new(&Guest::deciding(LOOP).component()).limited(PATIENT, SMALL, Limits::MAX_FUEL);
    let slow = slow.load().unwrap();
    let fast = Fixture::new(&Guest::allowing().component()).load().unwrap();
    run(async {
        let slow = tokio::spawn(async move { slow.decide(&request(&caller("a"))).await.verdict });
        tokio::task::yield_now().await;
        for _ in 0..10 {
            assert!(fast.decide(&request(&caller("a"))).await.verdict.is_ok());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!slow.is_finished(), "ten fast decisions on one thread, while the slow one had five seconds");
        slow.abort();
        assert!(slow.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_full_house_says_so() {
    let one = std::num::NonZeroU8::MIN;
    let config = EngineConfig { instances: one, queue: 1, queue_timeout: Duration::from_millis(30) };
    let engine = Engine::new(&config).unwrap();
    let fixture = Fixture::new(&Guest::deciding(LOOP).component());
    let fixture = fixture.limited(Duration::from_secs(1), SMALL, Limits::MAX_FUEL);
    let slow = Policy::load(&engine, &fixture.config, None).unwrap();
    let caller = caller("a");
    let ask = || async { slow.decide(&request(&caller)).await.verdict };
    let said = run(futures_util::future::join_all([ask(), ask(), ask()]));
    assert_eq!(said.iter().filter(|said| **said == Err(Fault::Timeout)).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| **said == Err(Fault::Overloaded)).count(), 2, "{said:?}");
    assert_eq!(run(ask()), Err(Fault::Timeout), "its place is free again");
}

#[test]
fn a_decision_given_up_gives_its_instance_back() {
    let config = EngineConfig { instances: std::num::NonZeroU8::MIN, queue: 0, ..EngineConfig::default() };
    let engine = Engine::new(&config).unwrap();
    let fixture = Fixture::new(&Guest::deciding(LOOP).component());
    let policy = Policy::load(&engine, &fixture.limited(PATIENT, SMALL, Limits::MAX_FUEL).config, None).unwrap();
    let caller = caller("a");
    for _ in 0..3 {
        let given_up =
            run(async { tokio::time::timeout(Duration::from_millis(20), policy.decide(&request(&caller))).await });
        assert!(given_up.is_err());
    }
    let started = Instant::now();
    while !engine.ticker().is_asleep() {
        assert!(started.elapsed() < PATIENT, "the ticker still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn logins_at_once_decide_together_and_then_answer_together() {
    let said = std::sync::Mutex::new(Vec::new());
    let say = |what| said.lock().unwrap().push(what);
    let login = async || {
        say("arrives");
        in_line(async { say("decides") }).await;
        say("answers");
    };
    let logins = futures_util::future::join_all([(), (), ()].map(|()| login()));
    run(logins);
    assert_eq!(said.into_inner().unwrap(), ["arrives", "decides", "answers"].map(|what| [what; 3]).concat());
}
