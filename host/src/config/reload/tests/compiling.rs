//! Reload while a large policy is compiled: all else goes live, the policy goes on as it was.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::{
    authenticator::Outcome,
    caller::made_up,
    config::compilations::{Compiler, Stop},
    policy::{
        self, CompiledFolder, Engine, compile, compile_configured,
        tests::guest::{Guest, answer, saying, text},
    },
};

/// A reloader whose large policies are compiled when the test says so.
struct Slow {
    rig: Rig,
    gate: Arc<Gate>,
}

/// What holds compilations up, and what they are told.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    /// Names of policies, and what tells that nobody wants them.
    begun: Mutex<Vec<(String, Stop)>>,
}

impl Gate {
    fn begun(&self) -> Vec<(String, Stop)> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose compilation nobody has stopped.
    fn wanted(&self) -> Vec<String> {
        self.begun().into_iter().filter(|(_, stop)| !stop.is_told()).map(|(name, _)| name).collect()
    }
}

/// Too large to be compiled beside logins.
fn large(guest: Guest) -> Vec<u8> {
    let more = format!("{} (data (i32.const 65536) {:?})", guest.more, "x".repeat(300_000));
    Guest { pages: 8, ..guest }.with(more).component()
}

/// A policy that names everybody `name`.
fn naming(name: &str) -> Vec<u8> {
    large(Guest::deciding(saying(0, 1, name.len().try_into().expect("short"))).with(text(name)))
}

/// Part of a configuration with one entry for each of `policies`, which name everybody in this order.
fn entries(policies: &[&str]) -> String {
    let sources: Vec<String> = policies.iter().map(|entry| format!("Policy/{}", name(entry))).collect();
    let entries: Vec<String> = policies.iter().map(|entry| format!("{{{entry}, limits: {{timeout: 5s}}}}")).collect();
    format!("server: {{backendMode: [MountedFile, {}], policies: [{}]}}\n", sources.join(", "), entries.join(", "))
}

fn name(entry: &str) -> &str {
    entry.strip_prefix("name: ").and_then(|rest| rest.split(',').next()).expect("a name")
}

/// The entry of a policy that is in `policy.wasm`.
const P: &str = "name: p, kind: map, component: policy.wasm";

impl Slow {
    /// On `text`, with `component` in `policy.wasm`; the gate is open at first and closed from then on.
    fn start(text: &str, component: &[u8]) -> Self {
        Self::start_amid(text, component, || (), || ())
    }

    /// The same while somebody makes changes: before the first configuration is built, and behind that.
    fn start_amid(text: &str, component: &[u8], before: impl FnOnce(), behind: impl FnOnce()) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "policy.wasm", component);
        write(folder.path(), text);
        let (file, compiled) = (folder.path().join("config.yaml"), folder.path().join("state/compiled"));
        let gate = Arc::new(Gate { is_open: true.into(), ..Gate::default() });
        let (theirs, into) = (Arc::clone(&gate), compiled.clone());
        let config = Config::load(&file).expect("good").config;
        let shared = Shared::new(&config, Arc::default(), Some(compiled), || SystemTime::UNIX_EPOCH).expect("made");
        let shared = shared.compiling(Arc::new(move |_, policy, stop| {
            let name = policy.name.as_str().to_owned();
            theirs.begun.lock().unwrap_or_else(PoisonError::into_inner).push((name, stop.clone()));
            while !theirs.is_open.load(Relaxed) {
                if stop.is_told() {
                    return Err("stopped".to_owned());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let engine = Engine::for_compiling_aside().map_err(|error| error.to_string())?;
            let folder = CompiledFolder::open(&into).map_err(|error| error.to_string())?;
            compile_configured(&engine, policy, &folder).map(drop).map_err(|error| error.to_string())
        }));
        before();
        let first = config.build_first(&shared).expect("built");
        behind();
        gate.is_open.store(false, Relaxed);
        gate.begun.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let reloader =
            Reloader::start(config, shared, first, Arc::new(|_: &mut Config| Ok(())), || SystemTime::UNIX_EPOCH);
        Self { rig: Rig { folder, reloader }, gate }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        put(self.rig.folder.path(), name, bytes);
    }

    fn write(&self, text: &str) {
        self.rig.write(text);
    }

    /// What becomes of somebody's login.
    async fn login(&self) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        let arn = "arn:aws:iam::123456789012:user/bob".parse().expect("an ARN");
        let engine = self.rig.reloader.current().load_full();
        match engine.decide_unproven(Arc::new(made_up::caller(&arn, now)), now).await.outcome {
            Outcome::Allowed { user } => user.username,
            Outcome::Denied(denial) => denial.reason.to_owned(),
        }
    }

    fn generation(&self) -> String {
        self.rig.reloader.current().load().generation.clone()
    }

    fn compiling(&self) -> Option<String> {
        self.rig.reloader.compiling().load().as_deref().cloned()
    }

    async fn until_compiling(&self, names: &str) {
        let expected = (!names.is_empty()).then(|| format!("compiling {names}, the last good in force"));
        self.rig.until(&format!("compiling {names:?}"), |_| self.compiling() == expected).await;
    }

    async fn until_login(&self, expected: &str) {
        let started = Instant::now();
        while self.login().await != expected {
            assert!(started.elapsed() < PATIENCE, "waited for {expected}: {:?}", self.rig.error());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Replaces a file at once.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join("new"), bytes).expect("written");
    rename(folder.join("new"), folder.join(name)).expect("renamed");
}

fn with_cluster(id: &str, policies: &[&str]) -> String {
    format!("clusterID: {id}\n{}", entries(policies))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_else_goes_live_and_the_generation_is_of_what_is_in_force() {
    let slow = Slow::start(&with_cluster("first", &[P]), &naming("one"));
    let first = slow.generation();
    assert_eq!((slow.login().await.as_str(), slow.compiling()), ("one", None));
    slow.put("policy.wasm", &naming("two"));
    slow.until_compiling("p").await;
    let before = slow.generation();
    assert_ne!(before, first, "another policy is in the files than in force");
    slow.write(&with_cluster("second", &[P]));
    slow.rig.until("the second file", |rig| rig.cluster() == "second").await;
    let between = slow.generation();
    assert_eq!((slow.login().await.as_str(), slow.rig.error()), ("one", None));
    slow.rig.until("it has begun", |_| !slow.gate.begun().is_empty()).await;
    assert_eq!(slow.gate.begun().len(), 1, "what is wanted goes on");
    slow.gate.is_open.store(true, Relaxed);
    slow.until_login("two").await;
    slow.until_compiling("").await;
    let generations = BTreeSet::from([first, before, between, slow.generation()]);
    assert_eq!(generations.len(), 4, "each is of something else");
    let whole = Config::load(&slow.rig.folder.path().join("config.yaml")).expect("good").config.generation;
    assert_eq!(slow.generation(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_any_more_is_not_compiled() {
    let slow = Slow::start(&with_cluster("first", &[P]), &naming("one"));
    let first = slow.generation();
    slow.put("policy.wasm", &naming("two"));
    slow.rig.until("the second file", |_| slow.gate.begun().len() == 1).await;
    slow.put("policy.wasm", &naming("three"));
    slow.rig.until("the third file", |_| slow.gate.begun().len() == 2).await;
    assert_eq!((slow.gate.wanted(), slow.login().await.as_str()), (vec!["p".to_owned()], "one"), "the older one ends");
    // Back as it was.
    slow.put("policy.wasm", &naming("one"));
    slow.until_compiling("").await;
    slow.rig.until("the end", |_| slow.gate.wanted().is_empty()).await;
    assert_eq!(slow.generation(), first);
    slow.put("policy.wasm", &naming("four"));
    slow.until_compiling("p").await;
    slow.write("clusterID: second\n");
    slow.rig.until("a configuration without it", |_| slow.gate.wanted().is_empty()).await;
    slow.until_login("not_mapped").await;
    slow.until_compiling("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_compiled_is_told_and_the_last_good_one_stays() {
    let slow = Slow::start(&with_cluster("first", &[P]), &naming("one"));
    slow.put("policy.wasm", &large(Guest::configuring("unreachable")));
    slow.until_compiling("p").await;
    slow.gate.is_open.store(true, Relaxed);
    slow.rig.until("the error", |rig| rig.error().is_some()).await;
    let error = slow.rig.error().expect("there is one");
    assert!(error.contains("policy p: ") && error.contains("failed while it took its settings: "), "{error}");
    assert_eq!((slow.login().await.as_str(), slow.compiling()), ("one", None));
    slow.put("policy.wasm", &naming("two"));
    slow.until_login("two").await;
    slow.rig.until("no error", |rig| rig.error().is_none()).await;
}

/// There is nothing that could go on in the place of one that is new, under its name and with its power: what brings it
/// waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_brings_a_policy_goes_live_as_a_whole() {
    const RENAMED: &str = "name: q, kind: map, component: other.wasm";
    const SHADOW: &str = "name: s, kind: map, component: other.wasm, mode: shadow";
    let slow = Slow::start(&with_cluster("first", &[P]), &naming("one"));
    slow.put("other.wasm", &naming("two"));
    slow.write(&with_cluster("second", &[RENAMED]));
    slow.until_compiling("q").await;
    assert_eq!((slow.login().await.as_str(), slow.rig.cluster().as_str()), ("one", "first"), "nobody goes unasked");
    // A shadow decides nothing, and is missed by nobody.
    slow.write(&with_cluster("third", &[P, SHADOW]));
    slow.rig.until("the third file", |rig| rig.cluster() == "third").await;
    slow.until_compiling("s").await;
    slow.gate.is_open.store(true, Relaxed);
    slow.until_compiling("").await;
    assert_eq!(slow.login().await, "one");
    // Its code is there now, whatever it is called.
    slow.gate.is_open.store(false, Relaxed);
    slow.write(&with_cluster("second", &[RENAMED]));
    slow.until_login("two").await;
    assert_eq!((slow.rig.cluster().as_str(), slow.compiling()), ("second", None));
}

/// Who is taken out of a table is out, whatever is compiled: also where it is the table's own policy.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_the_newest() {
    const WITH_TABLE: &str = "name: p, kind: map, component: policy.wasm, tables: {rota: rota.json}";
    let reading = |more: &str| {
        let guest = Guest::naming();
        let more = format!("{} {more}", guest.more);
        large(guest.with(more))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let text = with_cluster("first", &[WITH_TABLE])
        .replace("rota.json", &folder.path().join("rota.json").display().to_string());
    put(folder.path(), "rota.json", br#"{"k": "v"}"#);
    let slow = Slow::start(&text, &reading(""));
    assert_eq!(slow.login().await, "v");
    slow.put("policy.wasm", &reading("(func)"));
    slow.until_compiling("p").await;
    assert_eq!(slow.login().await, "v");
    put(folder.path(), "rota.json", br#"{"k": "w"}"#);
    slow.until_login("w").await;
    slow.rig.until("it has begun", |_| !slow.gate.wanted().is_empty()).await;
    assert_eq!(slow.gate.wanted(), ["p"], "still at it");
}

/// A server that starts reads its tables after the configuration that names them, compiles large policies in between, and watches
/// none of its files yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_while_the_first_is_built_is_read_again_at_once() {
    async fn check(before: &str, behind: &str, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let rota = |name: &str| put(folder.path(), "rota.json", format!(r#"{{"k": "{name}"}}"#).as_bytes());
        rota("v");
        let path = folder.path().join("rota.json").display().to_string();
        let entry = format!("name: p, kind: map, component: policy.wasm, tables: {{rota: {path}}}");
        let text = with_cluster("first", &[entry.as_str()]);
        let slow = Slow::start_amid(&text, &large(Guest::naming()), || rota(before), || rota(behind));
        slow.until_login(expected).await;
        slow.until_compiling("").await;
        assert_eq!((slow.login().await.as_str(), slow.rig.error()), (expected, None));
    }
    check("w", "w", "w").await;
    check("v", "w", "w").await;
    // Changed back: the digest of the files is that of the first configuration, which is of others.
    check("w", "v", "v").await;
}

/// A guard judges what there is with every policy before it: what goes on beside a new one may not be skipped any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_fault_does_is_the_newest() {
    const GUARD: &str = ", {name: g, kind: guard, component: guard.wasm, limits: {timeout: 5s}}";
    let text = |id: &str, on_fault: &str, more: &str| {
        format!(
            "clusterID: {id}\nserver:\n  mapUsers: [{{userarn: 'arn:aws:iam::123456789012:user/bob', username: bob}}]\n  \
             policies: [{{name: a, kind: augment, onFault: {on_fault}, component: policy.wasm, limits: {{timeout: 5s}}}}{more}]\n"
        )
    };
    let trapping = |more: &str| large(Guest::deciding("unreachable").with(more));
    let slow = Slow::start(&text("first", "skip", ""), &trapping(""));
    assert_eq!(slow.login().await, "bob");
    slow.put("guard.wasm", &Guest::default().component());
    slow.put("policy.wasm", &trapping("(func)"));
    slow.write(&text("second", "refuse", GUARD));
    slow.rig.until("the second file", |rig| rig.cluster() == "second").await;
    slow.until_compiling("a").await;
    assert_eq!((slow.login().await.as_str(), slow.rig.error()), ("policy_trap", None));
    slow.put("policy.wasm", &trapping(""));
    slow.until_compiling("").await;
    assert_eq!(slow.login().await, "policy_trap", "of its own file again");
}

/// A grant that is taken away is gone at once, and one that is new is for the newest component.
#[tokio::test(flavor = "multi_thread")]
async fn facts_are_those_that_were_granted_and_still_are() {
    const IMPORT: &str = r#"(import "herald:policy/cloud@0.1.0" "caller-instance" (func $instance (param i32)))"#;
    let with = |id: &str, facts: &str| with_cluster(id, &[&format!("{P}, cloud: [{facts}]")]);
    // Traps unless it is told that bob is no machine, which nobody has to be asked for.
    let asked = "(call $instance (i32.const 2064)) (if (i32.eqz (i32.load8_u (i32.const 2064))) (then unreachable))
        (if (i32.load8_u (i32.const 2068)) (then unreachable))";
    let asking = |more: &str| {
        let guest = Guest::deciding(format!("{asked} {}", saying(0, 1, 3))).with(text("one") + more);
        large(Guest { imports: IMPORT.to_owned(), ..guest })
    };
    let slow = Slow::start(&with("first", "caller-instance"), &asking(""));
    assert_eq!(slow.login().await, "one");
    slow.put("policy.wasm", &asking("(func)"));
    slow.until_compiling("p").await;
    for (id, facts, expected) in [
        ("second", "caller-instance, caller-tags", "one"),
        ("third", "caller-tags", "policy_trap"),
        ("fourth", "caller-instance", "one"),
    ] {
        slow.write(&with(id, facts));
        slow.rig.until(id, |rig| rig.cluster() == id).await;
        slow.until_compiling("p").await;
        assert_eq!((slow.login().await.as_str(), slow.rig.error()), (expected, None), "{facts}");
    }
}

/// A policy that names everybody by its settings, which any code of it takes in.
fn keeping() -> Vec<u8> {
    let keeper = "(global.set $kept (local.get $settings)) (i32.store (i32.const 512) (local.get $length)) i32.const 0";
    let decide = format!(
        "(i32.store (i32.const 24) (global.get $kept)) (i32.store (i32.const 28) (i32.load (i32.const 512))) {}",
        answer(&[(0, 0), (4, 1), (16, 0), (28, 0), (32, 0)])
    );
    large(Guest { decide, ..Guest::configuring(keeper) }.with("(global $kept (mut i32) (i32.const 0))"))
}

fn with_settings(settings: &str) -> String {
    with_cluster("first", &[&format!("{P}, settings: {settings}")])
}

/// The readable form takes any settings, so that these need not wait for code with them.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_large_policy_do_not_wait_for_code_of_their_own() {
    let slow = Slow::start(&with_settings("one"), &keeping());
    assert_eq!(slow.login().await, "\"one\"");
    for (nth, settings) in ["two", "three"].into_iter().enumerate() {
        slow.write(&with_settings(settings));
        slow.until_login(&format!("{settings:?}")).await;
        slow.rig.until("a compilation", |_| slow.gate.begun().len() == nth + 1).await;
    }
    let whole = Config::load(&slow.rig.folder.path().join("config.yaml")).expect("good").config.generation;
    assert_eq!((slow.generation(), slow.compiling(), slow.rig.error()), (whole.clone(), None, None));
    assert_eq!(slow.gate.wanted(), ["p"], "the older one has ended");
    let before = slow.rig.reloader.current().load_full();
    slow.gate.is_open.store(true, Relaxed);
    slow.rig.until("the code", |rig| !Arc::ptr_eq(&before, &rig.reloader.current().load_full())).await;
    assert_eq!((slow.login().await.as_str(), slow.generation()), ("\"three\"", whole));
}

/// Nothing tells when a failure holds no more: no file changes, and nothing is wrong with the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn settings_without_code_of_their_own_are_compiled_again_after_a_failure() {
    async fn check(compile_first: impl Fn(&Engine, &policy::Config, &CompiledFolder)) {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, compiled) = (folder.path().join("config.yaml"), folder.path().join("compiled"));
        put(folder.path(), "policy.wasm", &keeping());
        write(folder.path(), &with_settings("one"));
        let engine = Engine::for_compiling_aside().expect("an engine");
        let kept = CompiledFolder::open(&compiled).expect("a folder");
        compile_first(&engine, &Config::load(&file).expect("good").config.policies[0], &kept);
        let mut worker = unwatched(&file, Some(compiled));
        let (wake, tried) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&tried);
        let compiler: Compiler = Arc::new(move |_, _, _| {
            counted.fetch_add(1, Relaxed);
            Err("no memory".to_owned())
        });
        let compilations = Arc::new(Compilations::new(compiler, Arc::clone(&wake)));
        worker.compilations = Some(Arc::clone(&compilations));
        write(folder.path(), &with_settings("two"));
        for attempt in 1..=2 {
            assert!(worker.is_due(), "{attempt}");
            worker = reloaded(worker).await;
            timeout(PATIENCE, wake.notified()).await.expect("it is tried");
            worker = reloaded(worker).await;
            let told = (tried.load(Relaxed), worker.last_error.load_full(), worker.is_due());
            assert_eq!(told, (attempt, None, false), "what decides is as good");
            compilations.let_failures_end();
        }
    }
    check(|engine, entry, folder| drop(compile_configured(engine, entry, folder).expect("compiled"))).await;
    check(|engine, entry, folder| drop(compile(engine, &entry.component, folder).expect("compiled as built"))).await;
}

/// No code with its settings tells the next reload that such a policy is compiled, so that none may wait for the other.
#[tokio::test(flavor = "multi_thread")]
async fn large_policies_of_which_there_are_no_snapshots_come_together() {
    let unfit = |name: &str| {
        let guest = Guest::deciding(saying(0, 1, name.len().try_into().expect("short")));
        large(guest.with(text(name) + "(global (mut v128) (v128.const i64x2 0 0))"))
    };
    let slow = Slow::start(GOOD, &unfit("one"));
    slow.put("other.wasm", &unfit("two"));
    slow.gate.is_open.store(true, Relaxed);
    slow.write(&with_cluster("second", &[P, "name: q, kind: map, component: other.wasm"]));
    slow.until_login("one").await;
    slow.until_compiling("").await;
    assert_eq!((slow.rig.cluster().as_str(), slow.rig.error()), ("second", None));
}

/// As kops mounts the state folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_cannot_be_written_keeps_no_small_policy_out() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), GOOD);
    let worker = unwatched(&folder.path().join("config.yaml"), Some("/sys/compiled".into()));
    put(folder.path(), "policy.wasm", &Guest::allowing().component());
    write(folder.path(), &with_cluster("second", &[P]));
    let mut worker = reloaded(worker).await;
    assert_eq!((worker.current.load().cluster_id.as_str(), worker.last_error.load_full()), ("second", None));
    worker.keep_house();
}
