//! Disks that are full, and folders that cannot be written. Each server has mounts of its own (unshare(1)).

use std::{collections::BTreeSet, path::Path, time::Duration};

use tests::{
    herald::{self, Finished, Server, Setup},
    policies,
    sts::{ALICE, BOB, Running},
    tokens::Kind,
    tools,
};

use super::{Verdict, decision_id, is_well, made, recorded, verdict};
use crate::support::{CLUSTER, config, fresh, setup, sts, until};

/// Has `script` run in front of the server, in mounts that nobody else sees; its first argument is the server's folder.
fn with_mounts(setup: Setup, script: &str) -> Setup {
    let (folder, script) = (setup.folder().display().to_string(), format!("set -e\n{script}\nshift\nexec \"$@\""));
    setup.under(&["unshare", "--map-root-user", "--mount", "sh", "-c", &script, "sh", &folder])
}

/// A disk of 96 KiB at `disk` with a ballast that fills it until `../free` is there; what is in `audit.log` is copied out
/// for as long as the server runs.
const SMALL_DISK: &str = r#"
mkdir "$1/disk"
mount -t tmpfs -o size=96k none "$1/disk"
touch "$1/disk/audit.log"
head -c 200k /dev/zero >"$1/disk/ballast" 2>/dev/null || true
(while kill -0 $$ 2>/dev/null; do
    if [ -e "$1/free" ]; then rm -f "$1/disk/ballast"; fi
    cp "$1/disk/audit.log" "$1/copy.new" && mv "$1/copy.new" "$1/copy.log"
    sleep 0.05
done) >/dev/null 2>&1 </dev/null &
"#;

fn copy(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("copy.log")).unwrap_or_default();
    // The last line may be under way.
    text.rfind('\n').map_or_else(String::new, |end| text[..=end].to_owned())
}

#[tokio::test]
async fn a_full_disk_holds_audit_lines_back_and_loses_none() {
    if !tools::own_mounts() {
        return;
    }
    let sts = sts().await;
    let first = setup(&sts, "");
    let audit = first.folder().join("disk/audit.log").display().to_string();
    std::fs::write(first.folder().join("config.yaml"), config(&format!("  audit: {{output: {audit}}}")))
        .expect("a file");
    let server = with_mounts(first, SMALL_DISK).start().await.expect("a server");
    let mut ids = BTreeSet::new();
    for (token, name) in made(Kind::Good, 30) {
        let answer = server.review(&token).await.expect("an answer");
        assert_eq!(verdict(&answer, name.as_deref()), Verdict::Allowed, "its line is kept: {}", answer.text);
        ids.extend(decision_id(&answer));
    }
    until(async || server.metric("herald_audit_write_errors_total").await.expect("metrics") > Some(0.0)).await;
    until(async || server.stderr.text().contains("cannot write the audit log; trying again")).await;
    assert!(!ids.is_subset(&recorded(&copy(server.folder()))), "the disk was full");
    std::fs::write(server.folder().join("free"), "").expect("a file");
    until(async || ids.is_subset(&recorded(&copy(server.folder())))).await;
    assert_eq!(recorded(&copy(server.folder())), ids, "each once, and whole");
}

/// The pair and the kubeconfig are in place, as a ConfigMap or Secret brings them; nothing can be written beside them.
async fn made_beforehand(sts: &Running, text: &str) -> Setup {
    let server = setup(sts, text);
    let path = |name: &str| server.folder().join(name).display().to_string();
    let (state, kubeconfig) = (path("state"), path("kubeconfig.yaml"));
    let arguments = ["init", "-i", CLUSTER, "--state-dir", &state, "--generate-kubeconfig", &kubeconfig];
    let made = herald::run(&arguments, [("HOME", "/nowhere")]).await;
    made.and_then(Finished::success).expect("files");
    server
}

/// A configuration whose policy maps alice, and nothing else does.
fn by_policy() -> String {
    config(
        "  backendMode: [MountedFile, Policy/sessions]\n  policies:\n  - {name: sessions, kind: map, component: \
         sessions.wasm, settings: {rules: [{match: {accounts: ['123456789012']}, username: by-policy}]}, limits: {timeout: 5s}}",
    )
    .replace(":role/Developers", ":role/SomebodyElse")
}

/// The same as [`made_beforehand`], with the component of [`by_policy`].
async fn with_policy(sts: &Running, text: &str) -> Setup {
    let server = made_beforehand(sts, text).await;
    let component = policies::build("session-groups").expect("a policy");
    std::fs::copy(component, server.folder().join("sessions.wasm")).expect("copied");
    server
}

/// Alice, whom the policy alone maps, is let in.
async fn decides(server: &Server) {
    let alice = server.review(&fresh(&ALICE)).await.expect("an answer");
    assert_eq!(alice.username().as_deref(), Some("by-policy"), "{}", alice.text);
}

const READ_ONLY_STATE: &str = r#"
mkdir -p "$1/state"
mount --bind "$1/state" "$1/state"
mount -o remount,bind,ro "$1/state"
"#;

#[tokio::test]
async fn a_state_folder_that_cannot_be_written_holds_nothing_up() {
    if !tools::own_mounts() {
        return;
    }
    let (sts, policy) = (sts().await, by_policy());
    let server = with_policy(&sts, &policy).await;
    let path = |name: &str| server.folder().join(name).display().to_string();
    // As an init container does it.
    let arguments = ["policy", "compile", "--config", &path("config.yaml"), "--state-dir", &path("state")];
    let compiled = herald::run(&arguments, [("HOME", "/nowhere")]).await;
    compiled.and_then(Finished::success).expect("compiled");
    let server = with_mounts(server, READ_ONLY_STATE).start().await.expect("a server");
    is_well(&server).await;
    decides(&server).await;
    let before = server.resident_kib().expect("it runs");
    for name in ["robert", "bob"].into_iter().cycle().take(6) {
        server.configure(&policy.replace("username: bob", &format!("username: {name}"))).expect("a file");
        until(async || {
            let answer = server.review(&fresh(&BOB)).await.expect("an answer");
            answer.username().as_deref() == Some(name)
        })
        .await;
    }
    let after = server.resident_kib().expect("it runs");
    assert!(after < before + 16 * 1024, "{before} KiB before, {after} KiB after");
    assert_eq!(server.stop().await.expect("an end").code, Some(0));
}

/// As kops mounts it, and nobody has run `herald policy compile` before.
#[tokio::test]
async fn a_state_folder_with_no_place_for_compiled_policies_keeps_no_small_one_out() {
    if !tools::own_mounts() {
        return;
    }
    let sts = sts().await;
    let server = with_mounts(with_policy(&sts, &by_policy()).await, READ_ONLY_STATE).start().await.expect("a server");
    is_well(&server).await;
    decides(&server).await;
    assert!(!server.folder().join("state/compiled").exists(), "nothing could be written");
    assert_eq!(server.stop().await.expect("an end").code, Some(0));
}

/// Without a pair, and with no place for one, it does not start and says what to do.
#[tokio::test]
async fn a_first_start_without_a_place_for_its_key_is_told_as_that() {
    if !tools::own_mounts() {
        return;
    }
    let sts = sts().await;
    let full = "mkdir \"$1/state\"\nmount -t tmpfs -o size=4k none \"$1/state\"\nhead -c 64k /dev/zero >\"$1/state/x\" 2>/dev/null || true";
    for (script, words) in [(READ_ONLY_STATE, "Read-only file system"), (full, "No space left on device")] {
        let server = with_mounts(setup(&sts, &config("")), script);
        let finished = server.run().await.expect("an end");
        assert!(finished.code.is_some_and(|code| code != 0), "{finished:?}");
        let complaint = finished.complaint().expect("one line");
        assert!(complaint.contains("/state") && complaint.contains(words), "{complaint}");
        assert!(!server.folder().join("kubeconfig.yaml").exists(), "no API server is pointed at it");
    }
}

/// A certificate is to change and cannot be written: the last good one stays.
#[tokio::test]
async fn a_full_disk_under_the_state_folder_leaves_the_last_good_certificate() {
    if !tools::own_mounts() {
        return;
    }
    let sts = sts().await;
    let server = made_beforehand(&sts, &config("")).await;
    let script = r#"
cp -r "$1/state" "$1/kept"
mount -t tmpfs -o size=64k none "$1/state"
cp "$1"/kept/* "$1/state"
head -c 200k /dev/zero >"$1/state/ballast" 2>/dev/null || true
HERALD=$2 CODE=0
(sleep 1
"$HERALD" init --rotate -i CLUSTER --state-dir "$1/state" --generate-kubeconfig "$1/kubeconfig.yaml" >"$1/rotated" 2>&1 || CODE=$?
echo "ended: $CODE" >>"$1/rotated"
cp -r "$1/state" "$1/after") >/dev/null 2>&1 </dev/null &
"#;
    let server = with_mounts(server, &script.replace("CLUSTER", CLUSTER)).start().await.expect("a server");
    let rotated = || std::fs::read_to_string(server.folder().join("rotated")).unwrap_or_default();
    until(async || rotated().contains("ended: ") && server.folder().join("after").exists()).await;
    assert!(!rotated().contains("ended: 0") && rotated().contains("No space left on device"), "{}", rotated());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let client = server.client(&[b"http/1.1"]).expect("a client");
    let answer = server.review_by(&client, &fresh(&BOB)).await.expect("TLS with the certificate of before");
    assert_eq!(answer.username().as_deref(), Some("bob"));
    for name in ["cert.pem", "key.pem"] {
        let file = |folder: &str| std::fs::read(server.folder().join(folder).join(name)).expect("a file");
        assert_eq!(file("after"), file("kept"), "{name}");
    }
}
