//! A configuration that cannot be put in force at the first start: exit code 78 and one clear line.

use expect_test::{Expect, expect};
use tests::{
    herald::{Finished, Setup},
    policies,
};

use crate::support::{CLUSTER, config};

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: i32 = 78;

async fn start(text: &str) -> Finished {
    Setup::new(text).expect("a folder").run().await.expect("an end")
}

/// The one line on stderr, with `…` for the server's folder.
async fn check(setup: &Setup, expected: &Expect) {
    let finished = setup.run().await.expect("an end");
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    let folder = setup.folder().to_str().expect("UTF-8");
    expected.assert_eq(&finished.complaint().expect("one line").replace(folder, "…"));
}

#[tokio::test]
async fn a_mistake_is_named_with_its_file_line_and_key() {
    let table = [
        (config("  mapRolls: []"), expect![""]),
        (config("  port: many"), expect![""]),
        (config("  port: 65536"), expect![""]),
        (config("  sts: {timeout: 5}"), expect![""]),
        (config("  sts: {timeouts: 5s}"), expect![""]),
        (config("  sts: {timeout: 1ms}"), expect![""]),
        (config("  backendMode: [MountedFiles]"), expect![""]),
        (config("  backendMode: [Policy/nobody]"), expect![""]),
        (config("  mapUsers: []"), expect![""]),
        (config("  audit: {output: audit.log}"), expect![""]),
        (format!("clusterID: {CLUSTER}\nclusterID: twice\n"), expect![""]),
        (format!("clusterID: {CLUSTER}\nserver: [a list]\n"), expect![""]),
        (format!("clusterID: {CLUSTER}\nserver: {{\n"), expect![""]),
        ("clusterID: ''\n".to_owned(), expect![""]),
    ];
    for (text, expected) in table {
        check(&Setup::new(&text).expect("a folder"), &expected).await;
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let gone = "  backendMode: [Policy/gone]\n  policies:\n  - {name: gone, kind: map, component: /nowhere/gone.wasm}";
    check(&Setup::new(&config(gone)).expect("a folder"), &expect![""]).await;

    let setup = Setup::new("").expect("a folder");
    std::fs::remove_file(setup.folder().join("config.yaml")).expect("it was there");
    check(&setup, &expect![""]).await;
}

#[tokio::test]
async fn no_cluster_id_is_a_mistake_of_the_configuration() {
    for text in ["server: {}\n", ""] {
        let finished = start(text).await;
        assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
        let complaint = finished.complaint().expect("one line");
        assert!(complaint.contains("clusterID") && complaint.contains("--cluster-id"), "{complaint}");
    }
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_opened_is_a_mistake_of_the_configuration() {
    let finished = start(&config("  audit: {output: /nowhere/audit.log}")).await;
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    let complaint = finished.complaint().expect("one line");
    assert!(
        complaint.contains("cannot open the audit log /nowhere/audit.log") && complaint.contains("No such file"),
        "{complaint}"
    );
}

#[tokio::test]
async fn a_policy_that_does_not_load_is_named_with_its_file() {
    let with = |component: &[u8], more: &str| {
        let policy = format!(
            "  backendMode: [Policy/mine]\n  policies:\n  - {{name: mine, kind: map, component: mine.wasm, {more}}}"
        );
        let setup = Setup::new(&config(&policy)).expect("a folder");
        std::fs::write(setup.folder().join("mine.wasm"), component).expect("a file");
        setup
    };
    let good = std::fs::read(policies::build("session-groups").expect("a policy")).expect("its file");
    let pin = format!("sha256: '{}'", "0".repeat(64));
    check(&with(b"not wasm", "settings: {}"), &expect![""]).await;
    check(&with(b"\0asm\x01\0\0\0", "settings: {}"), &expect![""]).await;
    check(&with(&good, "settings: {rules: []}"), &expect![""]).await;
    check(&with(&good, "settings: {rulez: []}"), &expect![""]).await;
    check(&with(&good, "onFault: skip"), &expect![""]).await;
    let finished = with(&good, &pin).run().await.expect("an end");
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    assert!(finished.complaint().expect("one line").contains(&"0".repeat(64)), "{}", finished.stderr);
}
