//! `herald policy replay` beside a running server: what a new configuration would change for those who came.

use serde_json::Value;
use tests::{
    herald::{self, Finished},
    now, policies,
    sts::{ALICE, BOB, EVE, Running},
    tokens::Draft,
};

use crate::support::{config, fresh, setup, sts, until};

/// Alice comes by the policy, bob by his entry and eve not at all.
fn with_groups(groups: &str) -> String {
    config(&format!(
        "  backendMode: [Policy/groups, MountedFile]\n  policies:\n  - name: groups\n    kind: map\n    component: groups.wasm\n    \
         settings: {{rules: [{{match: {{accounts: ['123456789012'], role: Developers}}, username: 'by-policy:{{{{SessionName}}}}', \
         groups: [{groups}]}}]}}\n    limits: {{timeout: 5s}}"
    ))
}

async fn replay(sts: &Running, config: &str, log: &str, more: &[&str]) -> Finished {
    let arguments = [&["policy", "replay", "--config", config, "--audit-log", log], more].concat();
    herald::run(&arguments, sts.environment()).await.expect("herald runs")
}

#[tokio::test]
async fn a_change_of_settings_is_known_before_it_is_in_force() {
    let sts = sts().await;
    let setup = setup(&sts, &with_groups("policy, lead"));
    let component = policies::build("session-groups").expect("a policy");
    std::fs::copy(component, setup.folder().join("groups.wasm")).expect("copied");
    let server = setup.start().await.expect("a server");
    let mut tokens = [&ALICE, &BOB, &EVE, &ALICE].map(fresh).to_vec();
    tokens.push(Draft::new(&ALICE, "another.example.com", now()).token());
    for token in &tokens {
        server.review(token).await.expect("an answer");
    }
    until(async || server.audit().len() == tokens.len()).await;

    let path = |name: &str| server.folder().join(name).display().to_string();
    let (old, new, log) = (path("config.yaml"), path("new.yaml"), path("audit.log"));
    // With the lines of the process log in between, as a collector of logs has them.
    std::fs::write(&log, server.stderr.text()).expect("written");
    std::fs::write(&new, with_groups("policy, on-call")).expect("written");

    let same = replay(&sts, &old, &log, &[]).await;
    let expected = "4 the same, 0 different, 0 not comparable, 1 without a verified caller\n";
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), expected), "{same:?}");

    let changed = replay(&sts, &new, &log, &[]).await;
    assert_eq!(changed.code, Some(1), "{changed:?}");
    let first = server.audit().into_iter().find(|line| line["user"]["username"] == "by-policy:alice").expect("alice");
    let expected = format!(
        "arn:aws:iam::123456789012:role/Developers\n        decisions: 2, such as {}\n        \
         groups: missing    [\"lead\"]\n                unexpected [\"on-call\"]\n\
         2 the same, 2 different, 0 not comparable, 1 without a verified caller\n",
        first["decisionId"].as_str().expect("an id")
    );
    assert_eq!(changed.stdout, expected, "{changed:?}");

    let json = replay(&sts, &new, &log, &["--json"]).await;
    let told: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&told["same"], &told["different"]), (&2.into(), &2.into()), "{told}");
    for token in &tokens {
        assert!(!json.stdout.contains(token) && !changed.stdout.contains(token), "a token is never printed");
    }

    let broken = with_groups("policy").replace("rules:", "rolls:");
    std::fs::write(&new, broken).expect("written");
    let broken = replay(&sts, &new, &log, &[]).await;
    assert_eq!(broken.code, Some(78), "{broken:?}");
}
