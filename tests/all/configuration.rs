//! A configuration that cannot be put in force at the first start: exit code 78 and one clear line.

use tests::herald::{Finished, Setup};

use crate::support::{CLUSTER, config};

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: i32 = 78;

async fn start(text: &str) -> Finished {
    Setup::new(text).expect("a folder").run().await.expect("an end")
}

#[tokio::test]
async fn a_mistake_is_named_with_its_file_line_and_key() {
    let table = [
        (config("  mapRolls: []"), "mapRolls"),
        (config("  port: many"), "port"),
        (config("  sts: {timeout: 5}"), "timeout"),
        (config("  sts: {timeouts: 5s}"), "timeouts"),
        (config("  backendMode: [MountedFiles]"), "backendMode"),
        (config("  backendMode: [Policy/nobody]"), "backendMode"),
        (format!("clusterID: {CLUSTER}\nclusterID: twice\n"), "clusterID"),
        (format!("clusterID: {CLUSTER}\nserver: [a list]\n"), "server"),
    ];
    for (text, key) in table {
        let finished = start(&text).await;
        assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{key}: {}", finished.stderr);
        let complaint = finished.complaint().expect("one line");
        assert!(complaint.contains(key), "{key}: {complaint}");
        let line = text.lines().position(|line| line.contains(key)).expect("the key is in the file") + 1;
        let nearby = [line, text.lines().count()].map(|line| format!("config.yaml:{line}:"));
        assert!(nearby.iter().any(|place| complaint.contains(place)), "{key}: {complaint}");
        assert_eq!(finished.stdout, "");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let gone = "  backendMode: [Policy/gone]\n  policies:\n  - {name: gone, kind: map, component: /nowhere/gone.wasm}";
    let finished = start(&config(gone)).await;
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    assert!(finished.complaint().expect("one line").contains("/nowhere/gone.wasm"), "{}", finished.stderr);

    let setup = Setup::new("").expect("a folder");
    std::fs::remove_file(setup.folder().join("config.yaml")).expect("it was there");
    let finished = setup.run().await.expect("an end");
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    assert!(finished.complaint().expect("one line").contains("config.yaml"), "{}", finished.stderr);

    // The command line may give it too, so the file alone is not at fault.
    let finished = start("server: {}\n").await;
    assert!(finished.code.is_some_and(|code| code != 0), "{}", finished.stderr);
    assert!(finished.complaint().expect("one line").contains("clusterID"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_file_that_is_no_policy_does_not_load() {
    let setup = Setup::new(&config(
        "  backendMode: [Policy/text]\n  policies:\n  - {name: text, kind: map, component: text.wasm}",
    ));
    let setup = setup.expect("a folder");
    std::fs::write(setup.folder().join("text.wasm"), "not wasm").expect("a file");
    let finished = setup.run().await.expect("an end");
    assert_eq!(finished.code, Some(BAD_CONFIGURATION), "{}", finished.stderr);
    assert!(finished.complaint().expect("one line").contains("text.wasm"), "{}", finished.stderr);
}
