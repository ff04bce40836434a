//! A policy changes while people log in: its file, its settings or its table go live as a whole and soon, what is bad
//! leaves the last good one in force, and what is large is compiled where its memory is not the server's.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::{
    herald::{Answer, Server},
    now, policies,
    sts::{ALICE, BOB, Running},
};
use tokio::task::JoinSet;

use crate::support::{ONE_WORKER, config, fresh, setup, sts, until, until_asked};

/// The policy's file and table, in the server's folder.
const COMPONENT: &str = "policy.wasm";
const TABLE: &str = "people.json";
/// Longest wait for a change: a policy may have to be compiled at the lowest priority of a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often each thing changes.
const ROUNDS: usize = 3;
/// The time that is promised.
const SECOND: Duration = Duration::from_secs(1);

/// Every second change of each thing has to be live within this time; the others too, but the machine may be busy. What
/// is built for development takes several times as long as a finished binary, and on two processors with other tests on them
/// as long again: seconds that are its own and not the change's. It is less than until all files are looked at again.
fn time_to_change() -> Duration {
    if std::env::var_os("HERALD_BIN").is_some() { SECOND } else { SECOND * 10 }
}

/// What one look at the server counts for at most: while the machine stands still, a change does so too.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A configuration in which nobody but the policy names alice.
fn with_policy(more: &str) -> String {
    let policy = format!(
        "{ONE_WORKER}\n  backendMode: [MountedFile, Policy/changing]\n  policies:\n  - name: changing\n    kind: map\n\
         \x20   component: {COMPONENT}\n    limits: {{timeout: 5s}}\n    {more}"
    );
    config(&policy).replace(":role/Developers", ":role/SomebodyElse")
}

/// Settings of `session-groups` that make alice `NAME:alice` in the group `of-NAME`.
fn naming(name: &str) -> String {
    with_policy(&format!(
        r#"settings: {{rules: [{{match: {{accounts: ["123456789012"]}}, username: "{name}:{{{{SessionName}}}}", groups: ["of-{name}"]}}]}}"#
    ))
}

fn bytes(policy: &str) -> Vec<u8> {
    fs::read(policies::build(policy).expect("a policy")).expect("its file")
}

/// `component` with a custom section at its end: another file that does the same.
fn with_section(component: &[u8], size: usize) -> Vec<u8> {
    [component, &section(0, &[&[1, b'x'], &vec![0; size][..]].concat())].concat()
}

/// One section (WebAssembly Core Specification, "Binary Format: Modules"), of a module or of a component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb128(content.len()), content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
    bytes
}

/// `component` with a core module in it that nobody uses, and that takes a compiler half a minute: another file that does
/// the same.
fn with_much_to_compile(component: &[u8]) -> Vec<u8> {
    const FUNCTIONS: usize = 100;
    const LOCALS: usize = 400;
    const STEPS: usize = 2000;
    let local = |nth: usize| leb128(2 + nth % LOCALS);
    // A loop around many branches, each of which changes one of many numbers by two others: what is alive where is the work.
    let function = |nth: usize| {
        let mut body = [&[1][..], &leb128(LOCALS), &[0x7f, 0x03, 0x40]].concat();
        for step in 0..STEPS {
            let (from, by, to) = (local(13 * step + 1), local(29 * step + 2), local(7 * step + nth));
            body.extend([&[0x20][..], &from, &[0x04, 0x40, 0x20], &from, &[0x20], &by].concat());
            body.extend([&[0x6c, 0x20, 0, 0x6a, 0x21][..], &to, &[0x0b]].concat());
        }
        body.extend([0x20, 1, 0x41, 1, 0x6b, 0x22, 1, 0x0d, 0, 0x0b, 0x20, 2, 0x0b]);
        [leb128(body.len()), body].concat()
    };
    let bodies: Vec<u8> = (0..FUNCTIONS).flat_map(function).collect();
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &[1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
        &section(3, &[leb128(FUNCTIONS), vec![0; FUNCTIONS]].concat()),
        &section(10, &[leb128(FUNCTIONS), bodies].concat()),
    ]
    .concat();
    // A component's section for a core module (Component Model, "Binary Format").
    [component, &section(1, &module)].concat()
}

/// A new file in the place of the old one.
fn replace(folder: &Path, name: &str, bytes: &[u8]) {
    let new = folder.join("new");
    fs::write(&new, bytes).expect("a file");
    fs::rename(new, folder.join(name)).expect("the same folder");
}

async fn start(text: &str, files: &[(&str, &[u8])]) -> (Running, Arc<Server>) {
    let sts = sts().await;
    let setup = setup(&sts, text);
    files.iter().for_each(|(name, bytes)| replace(setup.folder(), name, bytes));
    (sts, Arc::new(setup.start().await.expect("a server")))
}

/// Who alice is told to be: name, groups and generation.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Told {
    generation: String,
    name: String,
    groups: Vec<String>,
}

impl Told {
    fn by(answer: &Answer) -> Self {
        let name = answer.username().unwrap_or_else(|| panic!("HTTP {} {}", answer.status, answer.text));
        let generation = &answer.json()["status"]["user"]["extra"]["herald.dev/generation"][0];
        Self { generation: generation.as_str().expect("text").to_owned(), name, groups: answer.groups() }
    }
}

async fn alice(server: &Server) -> Told {
    Told::by(&server.review(&fresh(&ALICE)).await.expect("an answer"))
}

/// How long somebody uses a token: much less than it is good for.
const RENEWED: Duration = Duration::from_secs(60);

/// People who log in for as long as this is not ended.
struct Load {
    stop: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
    people: JoinSet<Vec<Told>>,
}

impl Load {
    fn start(server: &Arc<Server>) -> Self {
        let (stop, logins) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut people = JoinSet::new();
        for _ in 0..4 {
            let (server, mut token, mut since) = (Arc::clone(server), fresh(&ALICE), Instant::now());
            let (stop, logins) = (Arc::clone(&stop), Arc::clone(&logins));
            people.spawn(async move {
                let mut told = Vec::new();
                while !stop.load(Relaxed) {
                    if since.elapsed() > RENEWED {
                        (token, since) = (fresh(&ALICE), Instant::now());
                    }
                    told.push(Told::by(&server.review(&token).await.expect("an answer")));
                    logins.fetch_add(1, Relaxed);
                }
                told
            });
        }
        Self { stop, logins, people }
    }

    /// Everything that anybody was told, none of it mixed from two configurations.
    async fn end(self) -> BTreeMap<String, Told> {
        until_asked(&self.logins, 20).await;
        self.stop.store(true, Relaxed);
        let mut whole: BTreeMap<String, Told> = BTreeMap::new();
        for told in self.people.join_all().await.into_iter().flatten() {
            let known = whole.entry(told.generation.clone()).or_insert_with(|| told.clone());
            assert_eq!(*known, told, "one generation gives one answer");
        }
        whole
    }
}

/// Makes a change, and waits until alice is told something else than before.
async fn change(server: &Server, make: impl FnOnce(&Path)) -> (Told, Duration) {
    let before = alice(server).await.generation;
    let (started, mut took) = (Instant::now(), Duration::ZERO);
    make(server.folder());
    loop {
        let began = Instant::now();
        let generation = alice(server).await.generation;
        took += began.elapsed().min(LOOK);
        if generation != before {
            return (alice(server).await, took);
        }
        assert!(started.elapsed() < PATIENCE, "{}", server.stderr.text());
        tokio::time::sleep(PAUSE).await;
        took += PAUSE;
    }
}

async fn reload_error(server: &Server) -> Value {
    server.get("/readyz?verbose").await.expect("an answer").json()["reloadError"].clone()
}

async fn last_reload(server: &Server) -> Option<f64> {
    server.metric("herald_config_last_reload_successful").await.expect("metrics")
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_file_go_live_within_a_second_under_load_and_back_again() {
    let component = bytes("session-groups");
    let (_sts, server) = start(&naming("v0"), &[(COMPONENT, &component)]).await;
    let first = alice(&server).await;
    assert_eq!((first.name.as_str(), first.groups.as_slice()), ("v0:alice", &["of-v0".to_owned()][..]));
    let load = Load::start(&server);
    let (mut settings, mut files, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let name = format!("v{round}");
        let (told, took) = change(&server, |_| server.configure(&naming(&name)).expect("a file")).await;
        assert_eq!((told.name, told.groups), (format!("{name}:alice"), vec![format!("of-{name}")]));
        settings.push(took);
        let other = with_section(&component, round);
        let (told, took) = change(&server, |folder| replace(folder, COMPONENT, &other)).await;
        assert_eq!(told.name, format!("{name}:alice"), "another file that does the same");
        files.push(took);
        // Putting the old files back is all there is to it.
        let (_, took) = change(&server, |folder| replace(folder, COMPONENT, &component)).await;
        back.push(took);
        let (told, _) = change(&server, |_| server.configure(&naming("v0")).expect("a file")).await;
        assert_eq!(told, first, "as if nothing had been");
    }
    let told = load.end().await;
    assert!(told.len() > ROUNDS, "the load has seen changes: {told:?}");
    for (what, times) in [("settings", settings), ("a file", files), ("the old file", back)] {
        assert!(median(&times) < time_to_change(), "{what}: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_goes_live_within_a_second_under_load_and_a_bad_one_is_told_and_not_taken() {
    let table = |name: &str| format!(r#"{{"Developers": "{name}", "group:of-{name}": 1}}"#).into_bytes();
    let text = with_policy(&format!("tables: {{people: {TABLE}}}"));
    let (_sts, server) = start(&text, &[(COMPONENT, &bytes("tables")), (TABLE, &table("v0"))]).await;
    let first = alice(&server).await;
    let load = Load::start(&server);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let name = format!("v{round}");
        let (told, took) = change(&server, |folder| replace(folder, TABLE, &table(&name))).await;
        assert_eq!((told.name.as_str(), told.groups), (name.as_str(), vec![format!("group:of-{name}")]));
        times.push(took);
    }
    let last = alice(&server).await;
    replace(server.folder(), TABLE, b"{\"Developers\": ");
    until(async || reload_error(&server).await.as_str().is_some_and(|error| error.contains("table people: "))).await;
    until(async || last_reload(&server).await == Some(0.0)).await;
    until(async || server.stderr.text().contains("the last good one stays: ")).await;
    assert_eq!(alice(&server).await, last);
    let (told, _) = change(&server, |folder| replace(folder, TABLE, &table("v0"))).await;
    assert_eq!(told, first, "the old table back in place");
    // It decides before the error is taken back.
    until(async || reload_error(&server).await == Value::Null).await;
    load.end().await;
    assert!(median(&times) < time_to_change(), "{times:?}");
}

/// What the process log says when a process of its own has compiled.
const COMPILED: &str = "compiled a large policy";
/// Less than it takes to compile even this policy, which is small but for its padding.
const GROWTH: u64 = 12 << 10;

/// The most memory that it ever had resident, in KiB (proc(5)).
fn most_memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid)).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

fn compilations(server: &Server) -> usize {
    server.stderr.text().matches(COMPILED).count()
}

/// Which policies are being compiled, as `/readyz` tells.
async fn compiling(server: &Server) -> Value {
    server.get("/readyz?verbose").await.expect("an answer").json()["compiling"].clone()
}

/// The processes that compile for `server`.
fn compilers(server: &Server) -> Vec<Pid> {
    running_with(&[&server.folder().join("state"), Path::new("--only")])
}

/// Whether a process compiles for `server`.
fn compiles(server: &Server) -> bool {
    !compilers(server).is_empty()
}

/// Has whoever compiles for `server` stand still, so that he is at it however long the rest takes.
async fn hold_compiler(server: &Server) {
    until(async || compiles(server)).await;
    for compiler in compilers(server) {
        kill_process(compiler, Signal::STOP).expect("it is at it");
    }
}

async fn until_compiled(server: &Server) {
    let started = Instant::now();
    let is_under_way = async || compiling(server).await != Value::Null || compiles(server);
    while is_under_way().await {
        assert!(started.elapsed() < PATIENCE, "{}", server.stderr.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_policy_is_compiled_by_another_process_and_its_settings_change_without_a_failed_login() {
    let large = with_section(&bytes("session-groups"), 300 << 10);
    let (_sts, server) = start(&naming("v0"), &[(COMPONENT, &large)]).await;
    assert_eq!((alice(&server).await.name.as_str(), compilations(&server)), ("v0:alice", 1), "nobody had compiled it");
    // What logins alone take is taken by now: a second of them, and on a busy machine as many as every load has.
    let load = Load::start(&server);
    tokio::time::sleep(SECOND).await;
    load.end().await;
    let before = most_memory(&server);
    let load = Load::start(&server);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let name = format!("v{round}");
        let (told, took) = change(&server, |_| server.configure(&naming(&name)).expect("a file")).await;
        assert_eq!(told.name, format!("{name}:alice"));
        times.push(took);
        let started = Instant::now();
        while compilations(&server) <= round {
            assert!(started.elapsed() < PATIENCE, "{}", server.stderr.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(alice(&server).await, told, "with the code for them as without");
    }
    load.end().await;
    assert!(median(&times) < time_to_change(), "{times:?}");
    let grown = most_memory(&server) - before;
    assert!(grown < GROWTH, "{grown} KiB more than before");
    assert!(server.stderr.text().contains("takes its settings in at every decision until"), "{}", server.stderr.text());
    // What is compiled already takes no process.
    change(&server, |_| server.configure(&naming("v1")).expect("a file")).await;
    assert_eq!(compilations(&server), ROUNDS + 1);

    // What the policy refuses leaves the last good one in force, and no process is asked.
    let last = alice(&server).await;
    server.configure(&naming("{{User}}")).expect("a file");
    let refused = "refuses its settings: unknown placeholder {{User}}";
    until(async || reload_error(&server).await.as_str().is_some_and(|error| error.contains(refused))).await;
    assert_eq!((alice(&server).await, compilations(&server)), (last, ROUNDS + 1));
}

/// Rules of `expression` that make alice `NAME:alice`.
fn expression(name: &str) -> String {
    let rule =
        format!(r#"{{match: 'caller.accountId == "123456789012"', username: '"{name}:" + caller.sessionName'}}"#);
    with_policy(&format!("settings: {{rules: [{rule}]}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_the_ready_made_policy_go_live_within_a_second_under_load() {
    let (_sts, server) = start(&expression("v0"), &[(COMPONENT, &bytes("expression"))]).await;
    assert_eq!(alice(&server).await.name, "v0:alice");
    let load = Load::start(&server);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let (told, took) =
            change(&server, |_| server.configure(&expression(&format!("v{round}"))).expect("a file")).await;
        assert_eq!(told.name, format!("v{round}:alice"));
        times.push(took);
    }
    load.end().await;
    assert!(median(&times) < time_to_change(), "{times:?}");
    until_compiled(&server).await;
    assert_eq!((alice(&server).await.name.as_str(), reload_error(&server).await), ("v3:alice", Value::Null));
}

/// A configuration with two policies: `listed` goes by a table, and `changing` names alice where that does not.
fn two_policies() -> String {
    let listed = format!(
        "backendMode: [MountedFile, Policy/listed, Policy/changing]\n  policies:\n  - name: listed\n    kind: map\n\
         \x20   component: listed.wasm\n    limits: {{timeout: 5s}}\n    tables: {{people: {TABLE}}}\n"
    );
    let before = "backendMode: [MountedFile, Policy/changing]\n  policies:\n";
    naming("v0").replace(before, &listed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_away_is_out_while_a_large_policy_is_compiled() {
    const BOB_IN_THE_FILE: &str = "user/bob";
    let component = bytes("session-groups");
    let table = br#"{"Developers": "listed"}"#;
    let files = [(COMPONENT, &component[..]), ("listed.wasm", &bytes("tables")), (TABLE, table)];
    let (_sts, server) = start(&two_policies(), &files).await;
    let first = alice(&server).await;
    let bob = async || server.review(&fresh(&BOB)).await.expect("an answer").username();
    assert_eq!((first.name.as_str(), bob().await.as_deref()), ("listed", Some("bob")));
    let load = Load::start(&server);
    replace(server.folder(), COMPONENT, &with_much_to_compile(&component));
    until(async || compiling(&server).await == "compiling changing, the last good in force").await;
    until(async || server.metric("herald_policies_compiling").await.expect("metrics") == Some(1.0)).await;
    until(async || server.stderr.text().contains("configuration: compiling changing, the last good in force")).await;
    hold_compiler(&server).await;

    let without_bob = two_policies().replace(BOB_IN_THE_FILE, "user/nobody");
    let (_, took) = change(&server, |_| server.configure(&without_bob).expect("a file")).await;
    assert_eq!(bob().await, None);
    assert!(took < time_to_change(), "a mapping: {took:?}");
    let (told, took) = change(&server, |folder| replace(folder, TABLE, b"{}")).await;
    assert_eq!(told.name, "v0:alice");
    assert!(took < time_to_change(), "a table: {took:?}");
    assert_eq!(compiling(&server).await, "compiling changing, the last good in force", "all that while it is");
    assert_eq!(reload_error(&server).await, Value::Null);
    assert_ne!(alice(&server).await.generation, first.generation);

    // Another file takes its place, and the one before that as well: nobody compiles what nobody wants.
    replace(server.folder(), COMPONENT, &component);
    until(async || compiling(&server).await == Value::Null).await;
    until(async || !compiles(&server)).await;
    assert_eq!((alice(&server).await.name, compilations(&server)), (told.name, 0));
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_file_takes_the_place_of_one_that_is_being_compiled() {
    let component = bytes("session-groups");
    let (_sts, server) = start(&naming("v0"), &[(COMPONENT, &component)]).await;
    let first = alice(&server).await;
    let load = Load::start(&server);
    // What logins take by themselves is taken by then.
    tokio::time::sleep(SECOND).await;
    let (much, before) = (with_much_to_compile(&component), most_memory(&server));
    replace(server.folder(), COMPONENT, &much);
    until(async || compiling(&server).await != Value::Null).await;
    hold_compiler(&server).await;
    replace(server.folder(), COMPONENT, &with_section(&component, 300 << 10));
    until(async || server.stderr.text().matches("in a process of its own").count() == 2).await;
    until_compiled(&server).await;
    let last = alice(&server).await;
    assert_eq!((last.name.as_str(), compilations(&server)), ("v0:alice", 1), "of the newer one alone");
    assert_ne!(last.generation, first.generation);
    load.end().await;
    // It has read the file, and not compiled it.
    let (grown, most) = (most_memory(&server) - before, GROWTH + 4 * (much.len() as u64 >> 10));
    assert!(grown < most, "{grown} KiB more than before, at most {most}");
}

#[tokio::test]
async fn compiled_policies_that_nobody_needs_are_removed_and_those_of_others_stay() {
    let sts = sts().await;
    let setup = setup(&sts, &naming("v0"));
    replace(setup.folder(), COMPONENT, &bytes("session-groups"));
    let compiled = setup.folder().join("state/compiled");
    DirBuilder::new().recursive(true).mode(0o700).create(&compiled).expect("a folder");
    let put = |name: &str, age: Duration| {
        let file = File::create(compiled.join(name)).expect("a file");
        file.set_modified(now() - age).expect("a time");
    };
    let day = Duration::from_secs(24 * 3600);
    put("of-an-old-herald.cwasm", 31 * day);
    put("of-another-server.cwasm", day);
    let server = setup.start().await.expect("a server");
    // At the first change, or after half a minute; and the code of that change is there once it is in force.
    server.configure(&naming("v1")).expect("a file");
    until(async || alice(&server).await.name == "v1:alice").await;
    let started = Instant::now();
    while compiled.join("of-an-old-herald.cwasm").exists() && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!compiled.join("of-an-old-herald.cwasm").exists(), "{}", server.stderr.text());
    assert!(compiled.join("of-another-server.cwasm").exists());
    assert!(fs::read_dir(&compiled).expect("a folder").count() >= 4, "a key, this server's code, another's");
    until(async || server.stderr.text().contains("removed compiled policies that nobody needs any more")).await;
}

/// As the first process of a container is ended whose policies take minutes to compile: it hears the signal, and so does
/// what it has started.
#[tokio::test]
async fn an_end_while_a_large_policy_is_compiled_for_the_first_time_is_the_end_of_both() {
    const WRAPPER: &str = r#"log=$0; "$@" 2>"$log" & server=$!
        until grep -q "in a process of its own" "$log"; do sleep 0.05; done
        kill -TERM $server; wait $server; code=$?; cat "$log" >&2; exit $code"#;
    let sts = sts().await;
    let setup = setup(&sts, &naming("v0"));
    // For longer than it takes to be told of it and to send the signal.
    replace(setup.folder(), COMPONENT, &with_much_to_compile(&bytes("session-groups")));
    let (log, state) = (setup.folder().join("log"), setup.folder().join("state"));
    let setup = setup.under(&["sh", "-c", WRAPPER, log.to_str().expect("UTF-8")]);
    let finished = setup.run().await.expect("an end");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("stopped before the first login"), "{}", finished.stderr);
    until(async || running_with(&[&state]).is_empty()).await;
}

/// The processes that have all `words` in their command lines.
fn running_with(words: &[&Path]) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("proc(5)").flatten();
    let has_all = |process: &fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        words.iter().all(|word| line.split('\0').any(|argument| Path::new(argument) == *word))
    };
    processes.filter(has_all).filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?)).collect()
}

/// As an end is otherwise: at once, and nobody is left who compiles.
#[tokio::test]
async fn an_end_while_a_newer_file_is_compiled_is_the_end_of_both() {
    let component = bytes("session-groups");
    let (_sts, server) = start(&naming("v0"), &[(COMPONENT, &component)]).await;
    replace(server.folder(), COMPONENT, &with_much_to_compile(&component));
    until(async || compiles(&server)).await;
    let state = server.folder().join("state");
    let server = Arc::into_inner(server).expect("nobody else has it");
    let finished = server.stop().await.expect("an end");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    until(async || running_with(&[&state]).is_empty()).await;
}

/// What the server starts: one policy, once, and within the memory that it is given.
#[tokio::test]
async fn one_policy_is_compiled_in_the_background_within_its_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("config.yaml"), naming("v0")).expect("a file");
    replace(folder.path(), COMPONENT, &bytes("session-groups"));
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (config, state) = (path("config.yaml"), path("state"));
    let compile = async |only: &str, memory: &str| {
        let words = ["policy", "compile", "--config", &config, "--state-dir", &state, "--only", only];
        let nothing: [(&str, &str); 0] = [];
        tests::herald::run(&[&words[..], &["--background", memory]].concat(), nothing).await.expect("herald runs")
    };
    let poor = compile("changing", "2Mi").await;
    assert_ne!(poor.code, Some(0), "{}", poor.stdout);
    let compiled = compile("changing", "1Gi").await.success().expect("compiled");
    assert!(compiled.stdout.contains("settings taken in"), "{}", compiled.stdout);
    let again = compile("changing", "1Gi").await.success().expect("nothing to do");
    assert_eq!(again.stdout, compiled.stdout);
    let nobody = compile("nobody", "1Gi").await;
    assert_eq!(nobody.complaint().expect("one line"), "herald: no policy of --config is called nobody");
}
