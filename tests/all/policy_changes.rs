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

use serde_json::Value;
use tests::{
    herald::{Answer, Server},
    now, policies,
    sts::{ALICE, Running},
};
use tokio::task::JoinSet;

use crate::support::{ONE_WORKER, config, fresh, setup, sts, until, until_asked};

/// The policy's file and table, in the server's folder.
const COMPONENT: &str = "policy.wasm";
const TABLE: &str = "people.json";
/// Longest wait for a change: a policy may have to be compiled at the lowest priority of a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often each thing changes.
const ROUNDS: usize = 3;
/// The time that is promised.
const SECOND: Duration = Duration::from_secs(1);

/// The quickest change of each thing has to be live within this time; the others too, but the machine may be busy. What
/// is built for development takes several times as long as a finished binary, and its compiler most of all.
fn time_to_change() -> Duration {
    if std::env::var_os("HERALD_BIN").is_some() { SECOND } else { SECOND * 10 }
}

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
    let mut bytes = component.to_vec();
    let mut rest = size + 2;
    bytes.push(0);
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    bytes.extend([u8::try_from(rest).expect("seven bits"), 1, b'x']);
    bytes.resize(bytes.len() + size, 0);
    bytes
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
            let (server, token) = (Arc::clone(server), fresh(&ALICE));
            let (stop, logins) = (Arc::clone(&stop), Arc::clone(&logins));
            people.spawn(async move {
                let mut told = Vec::new();
                while !stop.load(Relaxed) {
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
    let started = Instant::now();
    make(server.folder());
    while alice(server).await.generation == before {
        assert!(started.elapsed() < PATIENCE, "{}", server.stderr.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = started.elapsed();
    (alice(server).await, took)
}

async fn reload_error(server: &Server) -> Value {
    server.get("/readyz?verbose").await.expect("an answer").json()["reloadError"].clone()
}

async fn last_reload(server: &Server) -> Option<f64> {
    server.metric("herald_config_last_reload_successful").await.expect("metrics")
}

fn quickest(times: &[Duration]) -> Duration {
    *times.iter().min().expect("there were changes")
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
        assert!(quickest(&times) < time_to_change(), "{what}: {times:?}");
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
    assert!(server.stderr.text().contains("the last good one stays: "));
    assert_eq!(alice(&server).await, last);
    let (told, _) = change(&server, |folder| replace(folder, TABLE, &table("v0"))).await;
    assert_eq!((told, reload_error(&server).await), (first, Value::Null), "the old table back in place");
    load.end().await;
    assert!(quickest(&times) < time_to_change(), "{times:?}");
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
    for round in 1..=2 {
        let (told, _) = change(&server, |_| server.configure(&naming(&format!("v{round}"))).expect("a file")).await;
        assert_eq!((told.name, compilations(&server)), (format!("v{round}:alice"), round + 1));
    }
    load.end().await;
    let grown = most_memory(&server) - before;
    assert!(grown < GROWTH, "{grown} KiB more than before");
    assert!(!server.stderr.text().contains("takes its settings in at every decision"), "{}", server.stderr.text());
    // What is compiled already takes no process.
    change(&server, |_| server.configure(&naming("v1")).expect("a file")).await;
    assert_eq!(compilations(&server), 3);

    // What another process cannot do either leaves the last good one in force, and the reason is the policy's own.
    let last = alice(&server).await;
    server.configure(&naming("{{User}}")).expect("a file");
    let refused = "a process of its own did not: ";
    let is_refused = async || reload_error(&server).await.as_str().is_some_and(|error| error.contains(refused));
    let started = Instant::now();
    while !is_refused().await {
        assert!(started.elapsed() < PATIENCE, "{}", server.stderr.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = reload_error(&server).await;
    assert!(
        error.as_str().is_some_and(|error| error.contains("refuses its settings: unknown placeholder {{User}}")),
        "{error}"
    );
    assert_eq!(alice(&server).await, last);
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
    // At the first change, or after half a minute.
    server.configure(&naming("v1")).expect("a file");
    let started = Instant::now();
    while compiled.join("of-an-old-herald.cwasm").exists() && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!compiled.join("of-an-old-herald.cwasm").exists(), "{}", server.stderr.text());
    assert!(compiled.join("of-another-server.cwasm").exists());
    assert!(fs::read_dir(&compiled).expect("a folder").count() >= 4, "a key, this server's code, another's");
    until(async || server.stderr.text().contains("removed compiled policies that nobody needs any more")).await;
    until(async || alice(&server).await.name == "v1:alice").await;
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
    replace(setup.folder(), COMPONENT, &with_section(&bytes("session-groups"), 300 << 10));
    let (log, state) = (setup.folder().join("log"), setup.folder().join("state"));
    let setup = setup.under(&["sh", "-c", WRAPPER, log.to_str().expect("UTF-8")]);
    let finished = setup.run().await.expect("an end");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("stopped before the first login"), "{}", finished.stderr);
    until(async || !runs_with(&state)).await;
}

/// Whether any process has `word` in its command line.
fn runs_with(word: &Path) -> bool {
    let word = word.to_str().expect("UTF-8");
    let processes = fs::read_dir("/proc").expect("proc(5)").flatten();
    processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok()).any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.split('\0').any(|argument| argument == word)
    })
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
