//! Policies beside the answer and with tables: what is tried changes nothing, and what is read is of one version.

use tests::{
    herald::Server,
    policies,
    sts::{ALICE, BOB},
};

use crate::support::{config, fresh, setup, sts, until};

/// The table's file in the server's folder.
const TABLE: &str = "people.json";

/// alice is nobody's but the policy's; bob is mapped before it.
fn with_policy(entry: &str) -> String {
    config(entry).replace(":role/Developers", ":role/SomebodyElse")
}

#[tokio::test]
async fn a_policy_in_shadow_mode_lets_nobody_in_and_says_whom_it_would() {
    let component = policies::build("session-groups").expect("a policy");
    let sts = sts().await;
    let entry = format!(
        "  backendMode: [Policy/tried, MountedFile]\n  policies:\n  - name: tried\n    kind: map\n    mode: shadow\n    \
         component: {}\n    settings: {{rules: [{{match: {{accounts: ['123456789012']}}, username: 'tried:{{{{SessionName}}}}', \
         groups: [tried]}}]}}\n    limits: {{timeout: 5s}}",
        component.display()
    );
    let server = setup(&sts, &with_policy(&entry)).start().await.expect("a server");
    let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
    assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "{}", answer.text);
    let id = answer.decision_id().expect("an id");
    until(async || shadow_of(&server, &id).is_some()).await;
    let line = shadow_of(&server, &id).expect("there is one");
    assert_eq!(line["stage"], "Policy/tried");
    assert_eq!((&line["verdict"], &line["same"]), (&"allow".into(), &false.into()), "{line}");
    assert_eq!(
        (&line["letsIn"], &line["groupsAdded"]),
        (&"tried:alice".into(), &serde_json::json!(["tried"])),
        "{line}"
    );
    let different = "herald_policy_shadows_total{policy=\"Policy/tried\",result=\"different\"}";
    until(async || server.metric(different).await.expect("metrics") == Some(1.0)).await;
    // Who has a user and no session is none of its business.
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!((answer.username().as_deref(), answer.groups().len()), (Some("bob"), 2), "{}", answer.text);
    let same = "herald_policy_shadows_total{policy=\"Policy/tried\",result=\"same\"}";
    until(async || server.metric(same).await.expect("metrics") == Some(1.0)).await;
}

/// Told by the order of what is written: the login first, and then what became of the shadow, whose time is over by then.
#[tokio::test]
async fn a_slow_policy_in_shadow_mode_holds_no_login_up() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    let entry = format!(
        "  policies:\n  - name: slow\n    kind: augment\n    mode: shadow\n    component: {}\n    settings: {{mode: spin}}\n    \
         limits: {{timeout: 1s, fuel: 20000000000}}",
        component.display()
    );
    let server = setup(&sts, &config(&entry)).start().await.expect("a server");
    let answer = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
    let id = answer.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0].as_str().map(str::to_owned);
    let id = id.expect("an id");
    until(async || shadow_of(&server, &id).is_some()).await;
    let line = shadow_of(&server, &id).expect("there is one");
    assert!(["policy_fuel", "policy_timeout"].iter().any(|end| line["verdict"] == *end), "{line}");
    let lines = server.audit();
    let events = lines.iter().filter(|line| line["decisionId"] == id.as_str()).map(|line| &line["event"]);
    assert_eq!(events.collect::<Vec<_>>(), ["decision", "shadow"], "{lines:?}");
}

/// The line about a policy in shadow mode and one login.
fn shadow_of(server: &Server, decision_id: &str) -> Option<serde_json::Value> {
    server.audit().into_iter().find(|line| line["event"] == "shadow" && line["decisionId"] == decision_id)
}

#[tokio::test]
async fn a_table_is_read_again_when_it_changes_and_a_bad_one_is_not_taken() {
    let component = policies::build("tables").expect("a policy");
    let sts = sts().await;
    let entry = format!(
        "  backendMode: [MountedFile, Policy/people]\n  policies:\n  - name: people\n    kind: map\n    component: {}\n    \
         tables: {{people: {TABLE}}}\n    limits: {{timeout: 5s}}",
        component.display()
    );
    let setup = setup(&sts, &with_policy(&entry));
    let folder = setup.folder().to_owned();
    let write = |text: &str| {
        let new = folder.join("new.json");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, folder.join(TABLE)).expect("the same folder");
    };
    write(r#"{"Developers": "one", "group:a": 1}"#);
    let server = setup.start().await.expect("a server");
    let alice = async || server.review(&fresh(&ALICE)).await.expect("an answer");
    let first = alice().await;
    assert_eq!(
        (first.username().as_deref(), first.groups()),
        (Some("one"), vec!["group:a".to_owned()]),
        "{}",
        first.text
    );
    write(r#"{"Developers": "two"}"#);
    until(async || alice().await.username().as_deref() == Some("two")).await;
    write("{\"Developers\": \"three\"");
    until(async || server.stderr.text().contains("the last good one stays: ")).await;
    let complaint = format!("table people: {}: EOF", folder.join(TABLE).display());
    until(async || server.stderr.text().contains(&complaint)).await;
    assert_eq!(alice().await.username().as_deref(), Some("two"));
    write("{}");
    until(async || alice().await.reason().as_deref() == Some("not_mapped")).await;
}

#[tokio::test]
async fn a_glass_is_broken_by_a_table_for_its_time_and_not_in_silence() {
    let component = policies::build("break-glass").expect("a policy");
    let sts = sts().await;
    let entry = format!(
        "  policies:\n  - name: break-glass\n    kind: augment\n    component: {}\n    tables: {{grants: grants.yaml}}\n    \
         ceiling: {{groups: [emergency]}}\n    limits: {{timeout: 5s}}",
        component.display()
    );
    let setup = setup(&sts, &config(&entry));
    let folder = setup.folder().to_owned();
    let write = |text: &str| {
        let new = folder.join("new.yaml");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, folder.join("grants.yaml")).expect("the same folder");
    };
    let grant = |from: i64, until: i64| {
        let time = |minutes: i64| {
            let now = time::OffsetDateTime::from(tests::now()) + time::Duration::minutes(minutes);
            now.format(&time::format_description::well_known::Rfc3339).expect("a time")
        };
        format!(
            "123456789012.inc-4711: {{role: Developers, sessionName: alice, from: '{}', until: '{}', \
             reason: 'the database is on fire, says carol', groups: [emergency]}}\n",
            time(from),
            time(until)
        )
    };
    write("{}");
    let server = setup.start().await.expect("a server");
    let login = async |person| server.review(&fresh(person)).await.expect("an answer");
    assert_eq!(login(&ALICE).await.groups(), ["developers"]);

    // An entry gives, whether or not there is a wrong one beside it; and not to others.
    // Wrong ones before it fill what a record has room for, and one is larger than anything that the host takes.
    let wrong: String = (10..60).map(|n| format!("123456789012.a{n}: {}\n", "x".repeat(200))).collect();
    let huge = format!("123456789012.b: {{role: Developers, from: {}}}\n", "x".repeat(300 << 10));
    write(&format!("{wrong}{huge}{}", grant(-5, 55)));
    until(async || login(&ALICE).await.groups() == ["developers", "emergency"]).await;
    let answer = login(&ALICE).await;
    let id = answer.json()["status"]["user"]["extra"]["herald.dev/decision-id"][0].as_str().map(str::to_owned);
    let line = server.audit_of(&id.expect("an id")).await.expect("an audit line");
    let said: Vec<(&str, &str)> = line["stages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|stage| stage["stage"] == "Policy/break-glass")
        .flat_map(|stage| stage["log"].as_array().expect("a list"))
        .map(|line| (line["level"].as_str().expect("a level"), line["message"].as_str().expect("words")))
        .collect();
    let alarm = said.iter().find(|(level, _)| *level == "warn").expect("an alarm").1;
    for words in
        ["BREAK GLASS: ", "/alice gets emergency", "by 123456789012.inc-4711: the database is on fire, says carol"]
    {
        assert!(alarm.contains(words), "{words}: {alarm}");
    }
    let left_out = "break-glass grant 123456789012.a10 is left out: ";
    assert!(said.iter().any(|(level, words)| *level == "error" && words.starts_with(left_out)), "{said:?}");
    assert_eq!(login(&BOB).await.groups(), ["operators", "on-call"]);

    // It ends by itself, and by being taken away.
    write(&grant(-60, -1));
    until(async || login(&ALICE).await.groups() == ["developers"]).await;
    write(&grant(-5, 55));
    until(async || login(&ALICE).await.groups() == ["developers", "emergency"]).await;
    write("{}");
    until(async || login(&ALICE).await.groups() == ["developers"]).await;
}

#[tokio::test]
async fn settings_that_do_not_fit_are_told_where_they_stand() {
    let component = policies::build("session-groups").expect("a policy");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("herald.yaml");
    let text = format!(
        "clusterID: prod\nserver:\n  backendMode: [Policy/sessions]\n  policies:\n  - name: sessions\n    kind: map\n    \
         component: {}\n    settings:\n      rules:\n      - match:\n          accounts: [111122223333]\n          roel: Dev\n",
        component.display()
    );
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let none: [(&str, &str); 0] = [];
    let checked = tests::herald::run(&["check-config", path], none).await.expect("herald runs");
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    for (place, key, what) in [
        ("10:9", "rules[0]", "the key `username` is missing"),
        ("11:22", "rules[0].match.accounts[0]", "expected text, found a number"),
        ("12:11", "rules[0].match.roel", "unknown key `roel`, did you mean `role`?"),
    ] {
        let line = format!("{path}:{place} (server.policies[0].settings.{key})");
        assert!(checked.stdout.contains(&line) && checked.stdout.contains(what), "{line}: {}", checked.stdout);
    }
}
