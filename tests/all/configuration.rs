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
    // No line says that something else went well.
    assert!(!finished.stderr.contains("configuration loaded"), "{}", finished.stderr);
    expected.assert_eq(&finished.complaint().expect("one line").replace(folder, "…"));
}

#[tokio::test]
async fn a_mistake_is_named_with_its_file_line_and_key() {
    let table = [
        (
            config("  mapRolls: []"),
            expect!["herald: …/config.yaml:20:3: unknown key `mapRolls`, did you mean `mapRoles`? (server.mapRolls)"],
        ),
        (
            config("  port: many"),
            expect!["herald: …/config.yaml:20:9: expected a whole number, found text (server.port)"],
        ),
        (
            config("  port: 65536"),
            expect!["herald: …/config.yaml:20:9: the integer `65536` is out of range (server.port)"],
        ),
        (
            config("  sts: {timeout: 5}"),
            expect!["herald: …/config.yaml:20:18: `5` has no unit: write 5s, or 5ms (server.sts.timeout)"],
        ),
        (
            config("  sts: {timeouts: 5s}"),
            expect![
                "herald: …/config.yaml:20:9: unknown key `timeouts`, did you mean `timeout`? (server.sts.timeouts)"
            ],
        ),
        (
            config("  sts: {timeout: 1ms}"),
            expect!["herald: …/config.yaml:20:18: timeout must be between 100ms and 30s (server.sts.timeout)"],
        ),
        (
            config("  backendMode: [MountedFiles]"),
            expect![
                "herald: …/config.yaml:20:17: unknown source `MountedFiles`, did you mean `MountedFile`? (server.backendMode)"
            ],
        ),
        (
            config("  backendMode: [Policy/nobody]"),
            expect!["herald: …/config.yaml:20:17: Policy/nobody names no policy of `policies` (server.backendMode)"],
        ),
        (
            config("  mapUsers: []"),
            expect![
                "herald: …/config.yaml:20:3: `mapUsers` is given already, as `mapUsers` on line 3 (server.mapUsers)"
            ],
        ),
        (
            config("  audit: {output: audit.log}"),
            expect![[
                r#"herald: …/config.yaml:20:19: audit output must be stderr, stdout or an absolute path, not "audit.log" (server.audit.output)"#
            ]],
        ),
        (
            format!("clusterID: {CLUSTER}\nclusterID: twice\n"),
            expect!["herald: …/config.yaml:2:1: `clusterID` is given already, as `clusterID` on line 1 (clusterID)"],
        ),
        (
            format!("clusterID: {CLUSTER}\nserver: [a list]\n"),
            expect!["herald: …/config.yaml:2:1: expected a map, found a list (server)"],
        ),
        (format!("clusterID: {CLUSTER}\nserver: {{\n"), expect!["herald: …/config.yaml:2:9: unclosed bracket '{'"]),
        (
            "clusterID: ''\n".to_owned(),
            expect![
                "herald: …/config.yaml:1:12: a cluster id must be 1 to 255 visible ASCII characters without spaces (clusterID)"
            ],
        ),
    ];
    for (text, expected) in table {
        check(&Setup::new(&text).expect("a folder"), &expected).await;
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let gone = "  backendMode: [Policy/gone]\n  policies:\n  - {name: gone, kind: map, component: /nowhere/gone.wasm}";
    check(
        &Setup::new(&config(gone)).expect("a folder"),
        &expect!["herald: /nowhere/gone.wasm: cannot be read: No such file or directory (os error 2) (…/config.yaml names it)"],
    )
    .await;

    let setup = Setup::new("").expect("a folder");
    std::fs::remove_file(setup.folder().join("config.yaml")).expect("it was there");
    check(&setup, &expect!["herald: …/config.yaml: cannot be read: No such file or directory (os error 2)"]).await;
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
    check(
        &with(b"not wasm", "settings: {}"),
        &expect!["herald: …/config.yaml: policy mine: …/mine.wasm: not a WebAssembly file"],
    )
    .await;
    check(&with(b"\0asm\x01\0\0\0", "settings: {}"), &expect!["herald: …/config.yaml: policy mine: …/mine.wasm: a core WebAssembly module, not a component: build it with `herald policy build`"]).await;
    check(
        &with(&good, "settings: {rules: []}"),
        &expect![
            "herald: …/config.yaml:22:62: policy mine: has 0 items, at least 1 are needed (server.policies[0].settings.rules)"
        ],
    )
    .await;
    check(&with(&good, "settings: {rulez: []}"), &expect!["herald: …/config.yaml:22:62: policy mine: unknown key `rulez`, did you mean `rules`? (and 1 more: `herald check-config` lists them) (server.policies[0].settings.rulez)"]).await;
    check(&with(&good, "onFault: skip"), &expect!["herald: …/config.yaml:22:5: onFault: skip is for policies of kind augment: skipping any other could let somebody in (server.policies[0])"]).await;
    let finished = with(&good, &pin).run().await.expect("an end");
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    assert!(finished.complaint().expect("one line").contains(&"0".repeat(64)), "{}", finished.stderr);
}
