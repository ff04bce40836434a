//! Policies that break the rules: the login is refused with the reason, and the server goes on.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tests::{
    herald::{Finished, Server},
    policies,
    sts::{ALICE, BOB, Running},
};
use tokio::task::JoinSet;

use crate::support::{config, fresh, setup, sts};

/// Time enough that no row depends on how busy the machine is.
const PATIENT: &str = "timeout: 5s";

/// bob is mapped before the policy is asked; alice is the policy's.
fn hostile(component: &Path, mode: &str, limits: &str) -> String {
    let policy = format!(
        "  backendMode: [MountedFile, Policy/hostile]\n  policies:\n  - name: hostile\n    kind: map\n    \
         component: {}\n    settings: {{mode: {mode}}}\n    limits: {{{limits}}}",
        component.display()
    );
    config(&policy).replace(":role/Developers", ":role/SomebodyElse")
}

async fn serve(sts: &Running, component: &Path, mode: &str, limits: &str) -> Server {
    let server = setup(sts, &hostile(component, mode, limits)).start().await;
    server.unwrap_or_else(|error| panic!("{mode}: {error:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_refused_with_its_reason_and_the_next_login_works() {
    let component = policies::build("hostile").expect("a policy");
    let sts = Arc::new(sts().await);
    let table = [
        ("spin", "timeout: 50ms, fuel: 20000000000", 200, "policy_timeout"),
        ("spin", "timeout: 5s, fuel: 2000000", 200, "policy_fuel"),
        ("trap", PATIENT, 200, "policy_trap"),
        ("recurse", PATIENT, 200, "policy_stack"),
        ("memory", PATIENT, 200, "policy_memory"),
        ("huge-string", PATIENT, 200, "policy_too_large"),
        ("huge-deny", PATIENT, 200, "policy_too_large"),
        ("many-groups", PATIENT, 200, "policy_too_large"),
        ("many-extra", PATIENT, 200, "policy_too_large"),
        ("fault-broken", PATIENT, 200, "policy_broken"),
        ("fault-unavailable", PATIENT, 503, "policy_unavailable"),
        ("bad-username", PATIENT, 200, "guard_characters"),
        ("empty-username", PATIENT, 200, "guard_empty_username"),
        ("host-extra", PATIENT, 200, "guard_reserved_extra"),
        ("masters", PATIENT, 200, "policy_out_of_bounds"),
        ("system-user", PATIENT, 200, "policy_out_of_bounds"),
    ];
    let mut rows = JoinSet::new();
    for (mode, limits, status, reason) in table {
        let (sts, component) = (Arc::clone(&sts), component.clone());
        rows.spawn(async move {
            let server = serve(&sts, &component, mode, limits).await;
            let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
            assert_eq!((answer.status, answer.username()), (status, None), "{mode}: {}", answer.text);
            assert_eq!(answer.reason().as_deref(), Some(reason), "{mode}: {}", answer.text);
            assert!(answer.text.len() < 1024, "{mode}: a policy's own words are not passed on");
            let id = answer.decision_id().unwrap_or_else(|| panic!("{mode}: {}", answer.text));
            let line = server.audit_of(&id).await.unwrap_or_else(|| panic!("{mode}: no audit line"));
            assert_eq!(line["reason"], reason, "{mode}");
            let next = server.review(&fresh(&BOB)).await.expect("an answer");
            assert_eq!(next.username().as_deref(), Some("bob"), "after {mode}: {}", next.text);
        });
        if rows.len() == 4 {
            rows.join_next().await.expect("four are under way").expect("it holds");
        }
    }
    rows.join_all().await;
}

/// Whoever is mapped before the policy is asked waits for nobody's policy, however many ask it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_login_beside_an_attack_never_notices() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    for (mode, limits, reason) in [
        ("spin", "timeout: 50ms, fuel: 20000000000", &["policy_timeout", "policy_overloaded"][..]),
        ("memory", PATIENT, &["policy_memory", "policy_overloaded"]),
        ("recurse", PATIENT, &["policy_stack", "policy_overloaded"]),
        ("huge-string", PATIENT, &["policy_too_large", "policy_overloaded"]),
    ] {
        let server = Arc::new(serve(&sts, &component, mode, limits).await);
        let stop = Arc::new(AtomicBool::new(false));
        let mut attackers = JoinSet::new();
        for _ in 0..4 {
            let (server, stop, token) = (Arc::clone(&server), Arc::clone(&stop), fresh(&ALICE));
            attackers.spawn(async move {
                let mut asked = 0_usize;
                while !stop.load(Relaxed) {
                    let answer = server.review(&token).await.expect("an answer");
                    let found = answer.reason().unwrap_or_else(|| panic!("{mode}: {}", answer.text));
                    assert!(reason.contains(&found.as_str()), "{mode}: {found}");
                    asked += 1;
                }
                asked
            });
        }
        for _ in 0..50 {
            let answer = server.review(&fresh(&BOB)).await.expect("an answer");
            assert_eq!(answer.username().as_deref(), Some("bob"), "beside {mode}: {}", answer.text);
        }
        stop.store(true, Relaxed);
        let attacks: usize = attackers.join_all().await.into_iter().sum();
        assert!(attacks > 0, "{mode}: there were attacks");
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_fills_no_disk() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    for mode in ["log-flood", "log-huge", "log-injection"] {
        let server = serve(&sts, &component, mode, PATIENT).await;
        let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
        assert!(matches!(answer.username().as_deref(), None | Some("fine")), "{mode}: {}", answer.text);
        let finished = server.stop().await.expect("an end");
        assert!(finished.stderr.len() < 64 << 10, "{mode}: {} bytes", finished.stderr.len());
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!finished.stderr.contains(odd), "{mode}: control characters are escaped");
    }
}

#[tokio::test]
async fn one_that_cannot_start_does_not_go_live() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    for mode in ["configure-error", "configure-trap", "configure-spin", "configure-memory", "no-such-mode"] {
        let finished: Finished = setup(&sts, &hostile(&component, mode, PATIENT)).run().await.expect("an end");
        assert_eq!(finished.code, Some(78), "{mode}: {}", finished.stderr);
        let complaint = finished.complaint().expect("one line");
        assert!(complaint.contains("hostile") && complaint.contains("config.yaml"), "{mode}: {complaint}");
    }
}

#[tokio::test]
async fn nothing_survives_from_one_login_to_the_next() {
    let component = policies::build("hostile").expect("a policy");
    let sts = sts().await;
    let server = serve(&sts, &component, "count", PATIENT).await;
    for _ in 0..3 {
        let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("call-1"), "{}", answer.text);
    }
}
