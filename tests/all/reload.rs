//! A change while a policy is in force: it goes live as a whole, or the last good one stays and the operator is told.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use tests::{
    herald::Server,
    policies,
    sts::{ALICE, Running},
};

use crate::support::{config, fresh, setup, sts, until, until_asked};

/// The policy's file in the server's folder.
const COMPONENT: &str = "sessions.wasm";
/// What the process log says of a change that does not go live.
const NOT_RELOADED: &str = "configuration not reloaded, the last good one stays: ";

/// A configuration in which nobody but the policy names alice.
fn sessions(settings: &str) -> String {
    let policy = format!(
        "  backendMode: [MountedFile, Policy/sessions]\n  policies:\n  - name: sessions\n    kind: map\n    \
         component: {COMPONENT}\n    settings: {settings}\n    limits: {{timeout: 5s}}"
    );
    config(&policy).replace(":role/Developers", ":role/SomebodyElse")
}

/// Settings that make alice `PREFIX:alice`.
fn naming(prefix: &str) -> String {
    let rule = format!(r#"{{match: {{accounts: ["123456789012"]}}, username: "{prefix}:{{{{SessionName}}}}"}}"#);
    sessions(&format!("{{rules: [{rule}]}}"))
}

fn session_groups() -> Vec<u8> {
    std::fs::read(policies::build("session-groups").expect("a policy")).expect("its file")
}

async fn start() -> (Running, Server) {
    let sts = sts().await;
    let setup = setup(&sts, &naming("one"));
    std::fs::write(setup.folder().join(COMPONENT), session_groups()).expect("a file");
    let server = setup.start().await.expect("a server");
    (sts, server)
}

/// A new component in the place of the old one.
fn replace_component(folder: &Path, bytes: &[u8]) {
    let new = folder.join("new.wasm");
    std::fs::write(&new, bytes).expect("a file");
    std::fs::rename(new, folder.join(COMPONENT)).expect("the same folder");
}

async fn alice(server: &Server) -> String {
    let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
    answer.username().unwrap_or_else(|| panic!("HTTP {} {}", answer.status, answer.text))
}

async fn ready(server: &Server) -> serde_json::Value {
    let answer = server.get("/readyz?verbose").await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn last_reload(server: &Server) -> Option<f64> {
    server.metric("herald_config_last_reload_successful").await.expect("metrics")
}

fn refusals(server: &Server) -> Vec<String> {
    server.stderr.text().lines().filter(|line| line.contains(NOT_RELOADED)).map(str::to_owned).collect()
}

/// The `nth` change was refused for `why`, and that is said once in each place; alice still comes in.
async fn check_refused(server: &Server, nth: usize, generation: &str, why: &str) {
    let folder = server.folder().display();
    let of_component = format!("{folder}/config.yaml: policy sessions: {folder}/{COMPONENT}: {why}");
    // What the schema has against a setting stands where the setting does.
    let why = if why.starts_with(':') { format!("{folder}/config.yaml{why}") } else { of_component };
    until(async || refusals(server).len() >= nth).await;
    until(async || ready(server).await["reloadError"].as_str().is_some_and(|error| error.starts_with(&why))).await;
    until(async || last_reload(server).await == Some(0.0)).await;
    let ready = ready(server).await;
    assert_eq!((&ready["ready"], &ready["generation"]), (&true.into(), &generation.into()));
    for _ in 0..10 {
        assert_eq!(alice(server).await, "one:alice");
    }
    let lines = refusals(server);
    assert_eq!(lines.len(), nth, "one line a change: {lines:#?}");
    let line = lines.last().expect("there is one");
    assert!(line.contains(&format!("{NOT_RELOADED}{why}")) && line.contains("level=error"), "{line}");
}

#[tokio::test]
async fn a_component_that_does_not_load_leaves_the_last_good_one_in_force() {
    let (_sts, server) = start().await;
    let generation = ready(&server).await["generation"].as_str().expect("a generation").to_owned();
    assert_eq!(alice(&server).await, "one:alice");
    let good = session_groups();
    let table: [(&[u8], &str); 4] = [
        (b"junk", "not a WebAssembly file"),
        (b"", "not a WebAssembly file"),
        (&good[..good.len() / 2], "ends in the middle of a component: the file is cut short"),
        (b"\0asm\x01\0\0\0", "a core WebAssembly module, not a component: build it with `herald policy build`"),
    ];
    for (nth, (bytes, why)) in table.into_iter().enumerate() {
        replace_component(server.folder(), bytes);
        check_refused(&server, nth + 1, &generation, why).await;
    }
}

#[tokio::test]
async fn settings_that_the_policy_refuses_leave_the_last_good_ones_in_force() {
    let (_sts, server) = start().await;
    let generation = ready(&server).await["generation"].as_str().expect("a generation").to_owned();
    assert_eq!(alice(&server).await, "one:alice");
    let table = [
        (
            "{rules: []}",
            ":25:16: policy sessions: has 0 items, at least 1 are needed (server.policies[0].settings.rules)",
        ),
        (
            r#"{rules: [{match: {accounts: ["1"]}, username: a}]}"#,
            ":25:44: policy sessions: must match ^([0-9]{12}|[0-9]{16})$ (server.policies[0].settings.rules[0].match.accounts[0])",
        ),
        ("{}", ":25:15: policy sessions: the key `rules` is missing (server.policies[0].settings)"),
        (
            "{rulez: []}",
            ":25:16: policy sessions: unknown key `rulez`, did you mean `rules`? (and 1 more: `herald check-config` lists them) \
             (server.policies[0].settings.rulez)",
        ),
        (
            r#"{rules: [{match: {accounts: ["123456789012"]}, username: "{{User}}"}]}"#,
            "refuses its settings: unknown placeholder {{User}}, expected one of ",
        ),
    ];
    for (nth, (settings, why)) in table.into_iter().enumerate() {
        server.configure(&sessions(settings)).expect("a file");
        check_refused(&server, nth + 1, &generation, why).await;
    }
}

#[tokio::test]
async fn the_last_good_files_back_in_place_are_a_good_reload() {
    let (_sts, server) = start().await;
    replace_component(server.folder(), b"junk");
    until(async || last_reload(&server).await == Some(0.0)).await;
    replace_component(server.folder(), &session_groups());
    until(async || ready(&server).await["reloadError"].is_null()).await;
    assert_eq!(alice(&server).await, "one:alice");
    // What is in the files is in force. The text of the metrics is kept for a moment.
    until(async || last_reload(&server).await == Some(1.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_settings_go_live_without_a_failed_login() {
    let (_sts, server) = start().await;
    let server = Arc::new(server);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (server, stop, asked) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&asked));
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    let name = alice(&server).await;
                    assert!(["one:alice", "two:alice", "three:alice"].contains(&name.as_str()), "{name}");
                    asked.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    for prefix in ["two", "three", "one"] {
        server.configure(&naming(prefix)).expect("a file");
        let expected = format!("{prefix}:alice");
        until(async || alice(&server).await == expected).await;
        assert_eq!(ready(&server).await["reloadError"], serde_json::Value::Null);
    }
    until_asked(&asked, 20).await;
    stop.store(true, Relaxed);
    for task in load {
        task.await.expect("every login went well");
    }
    assert_eq!(refusals(&server), [""; 0]);
}

#[tokio::test]
async fn a_new_component_goes_live() {
    let (_sts, server) = start().await;
    let generation = ready(&server).await["generation"].clone();
    // The same policy with a custom section `x` at its end: another file, and so another generation.
    let other = [&session_groups()[..], &[0, 2, 1, b'x']].concat();
    replace_component(server.folder(), &other);
    until(async || ready(&server).await["generation"] != generation).await;
    assert_eq!(alice(&server).await, "one:alice");
    assert_eq!(refusals(&server), [""; 0]);
}

/// As of every other source: who maps to what now, how many there are, and since when that is known.
#[tokio::test]
async fn a_change_of_the_file_itself_is_told_entry_by_entry() {
    let sts = sts().await;
    let server = setup(&sts, &config("")).start().await.expect("a server");
    let metric = async |name: &str| {
        let series = format!("herald_source_{name}{{source=\"MountedFile\"}}");
        server.metric(&series).await.expect("metrics")
    };
    let before = metric("entries").await.expect("the size of the file's own mappings");
    assert!(metric("last_sync_timestamp_seconds").await.is_some_and(|time| time > 0.0));
    server.configure(&config("").replace(":role/Developers", ":role/Engineers")).expect("a file");
    for said in ["mapping added", "mapping removed", "mappings changed"] {
        until(async || {
            let log = server.stderr.text();
            log.lines().any(|line| line.contains(said) && line.contains("source=MountedFile") && line.contains("hash="))
        })
        .await;
    }
    assert_eq!(metric("entries").await, Some(before));
}
