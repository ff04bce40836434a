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
mod cloud;
mod fuel;
pub(crate) mod guest;
mod hostile;
mod later;
mod loading;
mod tables;

pub(super) static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(&EngineConfig { workers: Some(1), ..EngineConfig::default() }).expect("an engine"));

/// Long enough that only fuel, memory or a trap can end a guest first, even on a loaded machine.
pub(super) const PATIENT: Duration = Duration::from_secs(5);
pub(super) const SMALL: ByteSize = ByteSize::mebibytes(2);
pub(super) const WIT: &str = include_str!("../../../wit/v0.1.0/policy.wit");

pub(crate) fn caller(name: &str) -> Arc<Caller> {
    Arc::new(Caller {
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
    })
}

pub(crate) fn request(caller: &Arc<Caller>) -> Request<'_> {
    Request::new(caller, "prod", SystemTime::UNIX_EPOCH)
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

    /// Loads it with `live` as its table `rota`.
    pub(crate) fn load_following(mut self, live: &LiveTable) -> Result<Policy, LoadError> {
        self.config.tables = [("rota".parse().unwrap(), TableSource::Object { name: "rota".to_owned() })].into();
        Policy::load_following(&ENGINE, &self.config, None, |_| live.clone())
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
    let fixture = Fixture::new(&forever.component()).limited(Duration::from_millis(50), SMALL, Limits::MAX_FUEL);
    let policy = fixture.load().unwrap();
    let started = Instant::now();
    assert_eq!(run(policy.decide(&request(&caller("Admin")))).verdict, Err(Fault::Timeout));
    let most = fixture.config.limits.longest() + Duration::from_secs(20);
    assert!(started.elapsed() < most, "{:?}", started.elapsed());
}

#[test]
fn waiting_for_a_processor_takes_none_of_the_time() {
    let work = "(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
        (i32.const 20000000))))";
    let guest = Guest::deciding(format!("{work} {}", answer(&[])));
    let fixture = Fixture::new(&guest.component()).limited(Duration::from_secs(1), SMALL, Limits::MAX_FUEL);
    // Without threads of its own, so that it waits for the one that there is.
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let policy = Policy::load(&engine, &fixture.config, None).unwrap();
    run(async {
        // Longer than the time, and not for ever: what waits without end is cut in the end.
        tokio::spawn(async {
            for _ in 0..8 {
                std::thread::sleep(Duration::from_millis(250));
                tokio::task::yield_now().await;
            }
        });
        let started = Instant::now();
        let verdict = policy.decide(&request(&caller("a"))).await.verdict;
        assert_eq!((verdict, started.elapsed() > Duration::from_secs(1)), (Ok(Verdict::Abstain), true));
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
fn memory_and_tables_are_bounded() {
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
    check(&Guest::deciding(grow).with(table), Err(Fault::Table));
}

#[test]
fn traps_bounds_and_malformed_answers_are_told_apart() {
    #[track_caller]
    fn check(guest: &Guest, reason: &str, words: &str) {
        let fault = run(evaluate(&Fixture::new(&guest.component()))).verdict.expect_err("a fault");
        assert_eq!(fault.reason(), reason, "{fault}");
        assert!(fault.to_string().contains(words), "{fault}");
    }
    check(&Guest::deciding("unreachable"), "policy_trap", "unreachable");
    check(&Guest::deciding("(i32.load (i32.const -4))"), "policy_trap", "out of bounds");
    check(&Guest::deciding("(i32.div_u (i32.const 1) (i32.const 0))"), "policy_trap", "divide by zero");
    let recursion = "(func $f (param i64) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))";
    check(&Guest::deciding("(call $f (i64.const 1))").with(recursion), "policy_stack", "too deep");
    check(&Guest::deciding("i32.const -4"), "policy_malformed", "out of bounds");
    check(&Guest::deciding("i32.const 17"), "policy_malformed", "not aligned");
    check(&Guest::deciding(saying(0, 1, 1 << 30)), "policy_malformed", "out of bounds");
    check(&Guest::deciding(answer(&[(4, 7)])), "policy_malformed", "unexpected");
    check(&Guest::deciding(saying(0, 2, 1)).with("(data (i32.const 1024) \"\\ff\")"), "policy_malformed", "utf-8");
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

/// However late the ticks come: so many turns take a few of them.
#[test]
fn a_decision_lets_others_go_on_after_each_turn() {
    let turns = 20;
    let fixture = Fixture::new(&Guest::deciding(LOOP).component()).limited(PATIENT, SMALL, turns * engine::TURN);
    // Without threads for slow ones, where nobody would see its pauses.
    let engine = Engine::new(&EngineConfig { workers: None, ..EngineConfig::default() }).unwrap();
    let slow = Policy::load(&engine, &fixture.config, None).unwrap();
    run(async {
        let (caller, mut pauses) = (caller("a"), 0);
        let request = request(&caller);
        let mut decision = std::pin::pin!(slow.decide(&request));
        let counted = std::future::poll_fn(|cx| {
            let polled = decision.as_mut().poll(cx);
            pauses += u64::from(polled.is_pending());
            polled
        });
        assert_eq!(counted.await.verdict, Err(Fault::Fuel));
        assert!(pauses >= turns, "{pauses}");
    });
}

#[test]
fn a_full_house_says_so() {
    let one = std::num::NonZeroU8::MIN;
    let config =
        EngineConfig { instances: one, queue: 1, queue_timeout: Duration::from_millis(30), ..EngineConfig::default() };
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

/// More logins than there are instances ask policies that take all of their time, and then one asks another.
#[test]
fn the_last_instances_are_not_for_those_who_take_their_time() {
    #[track_caller]
    fn check(slow_ones: usize, expected: (usize, usize)) {
        let instances = std::num::NonZeroU8::new(4).unwrap();
        let config = EngineConfig { instances, queue_timeout: Duration::from_millis(30), ..EngineConfig::default() };
        let engine = Engine::new(&config).unwrap();
        let slow = Fixture::new(&Guest::deciding(LOOP).component());
        let slow = slow.limited(Duration::from_millis(300), SMALL, Limits::MAX_FUEL);
        let load = |config| Policy::load(&engine, config, None).unwrap();
        let slow: Vec<_> = (0..slow_ones).map(|_| load(&slow.config)).collect();
        let quick = load(&Fixture::new(&Guest::allowing().component()).config);
        let caller = caller("a");
        let ask = async |policy: &Policy| policy.decide(&request(&caller)).await.verdict;
        let (slow, quick) = run(async {
            let slow = futures_util::future::join_all(slow.iter().flat_map(|slow| [slow; 8]).map(&ask));
            futures_util::join!(slow, ask(&quick))
        });
        assert!(matches!(quick, Ok(Verdict::Allow(_))), "{quick:?}");
        let count = |fault| slow.iter().filter(|said| said.as_ref() == Err(fault)).count();
        assert_eq!((count(&Fault::Timeout), count(&Fault::Overloaded)), expected, "{slow:?}");
    }
    check(1, (3, 5));
    check(2, (3, 13));
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
        assert!(started.elapsed() < 12 * PATIENT, "the ticker still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}
