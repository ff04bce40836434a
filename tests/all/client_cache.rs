//! What `herald token` keeps from one run to the next, seen from outside: how often others are asked.

use std::{fs, path::Path, process::Stdio};

use tests::{
    herald::{Finished, binary, finish},
    sts::{BOB, Running, keys},
    tools::program,
};
use tokio::{process::Command, task::JoinSet};

use crate::{
    clients::at_work,
    support::{CLUSTER, herald_token, sts, terminal},
};

/// How many calls of AssumeRole STS has seen.
fn assumed(sts: &Running) -> usize {
    sts.sts.requests().iter().filter(|request| request.action == "AssumeRole").count()
}

/// A home with a profile `work` whose process counts its runs.
struct Home(tempfile::TempDir);

impl Home {
    fn new(expiration: &str) -> Self {
        let home = Self(tempfile::tempdir().expect("a folder"));
        let keys = format!(
            r#"{{"Version":1,"AccessKeyId":"ASIAPROCESSEXAMPLE01","SecretAccessKey":"s","SessionToken":"t","Expiration":"{expiration}"}}"#
        );
        let give = home.0.path().join("give");
        let runs = home.0.path().join("runs");
        program(&give, &format!("#!/bin/sh\necho x >> {}\necho '{keys}'\n", runs.display()));
        fs::create_dir(home.0.path().join(".aws")).expect("a folder");
        let profile = format!("[profile work]\ncredential_process = {}\n", give.display());
        fs::write(home.0.path().join(".aws/config"), profile).expect("a file");
        home
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.0.path().join("runs")).unwrap_or_default().lines().count()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = terminal(&BOB, self.0.path());
        environment.retain(|(name, _)| !name.contains("KEY"));
        environment
    }

    async fn token(&self, more: &[&str]) -> String {
        self.token_for(CLUSTER, more).await
    }

    async fn token_for(&self, cluster: &str, more: &[&str]) -> String {
        let arguments = [&["token", "--profile", "work", "-i", cluster], more].concat();
        let made = tests::herald::run(&arguments, self.environment()).await.expect("herald runs");
        made.success().and_then(|made| made.token()).expect("a token")
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let folder = fs::read_dir(self.0.path().join(".kube/cache/herald"));
        folder.map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_else(|_| Vec::new())
    }
}

const FAR: &str = "2100-01-01T00:00:00Z";

#[tokio::test]
async fn a_process_is_run_once() {
    let home = Home::new(FAR);
    for _ in 0..2 {
        home.token(&[]).await;
    }
    assert_eq!((home.runs(), home.files().len()), (2, 0), "nothing is kept unless it is asked for");
    let first = home.token(&["--cache"]).await;
    assert_eq!(home.token(&["--cache"]).await, first, "the same token");
    home.token_for("staging.example.com", &["--cache"]).await;
    assert_eq!((home.runs(), home.files().len()), (3, 3), "a session for all clusters, a token for each");
    home.token(&["--cache=false"]).await;
    assert_eq!(home.runs(), 4);
    fs::remove_dir_all(home.0.path().join(".kube")).expect("it was kept there");
    home.token(&["--cache=false"]).await;
    assert_eq!((home.runs(), home.files().len()), (5, 0), "and nothing is kept");
}

#[tokio::test]
async fn spoilt_files_are_mended() {
    let home = Home::new(FAR);
    home.token(&["--cache"]).await;
    for file in home.files() {
        fs::write(file, "{").expect("a file");
    }
    let again = home.token(&["--cache"]).await;
    assert_eq!(home.runs(), 2);
    assert_eq!(home.token(&["--cache"]).await, again);
    assert_eq!(home.runs(), 2);
}

#[tokio::test]
async fn fifty_at_once() {
    let home = Home::new(FAR);
    let environment = home.environment();
    let mut running = JoinSet::new();
    for _ in 0..50 {
        let environment = environment.clone();
        running.spawn(async move { herald_token(&["--profile", "work", "--cache"], &environment).await });
    }
    let made = running.join_all().await.into_iter();
    let tokens: Vec<_> = made.map(|made| made.success().and_then(|made| made.token()).expect("a token")).collect();
    assert!(tokens.iter().all(|token| token.starts_with("k8s-aws-v1.")));
    assert_eq!(home.files().len(), 2, "and no half-written file: {:?}", home.files());
    let runs = home.runs();
    assert!(tokens.contains(&home.token(&["--cache"]).await), "one of theirs");
    assert_eq!(home.runs(), runs);
}

#[tokio::test]
async fn no_place_for_a_cache_is_no_failure() {
    let home = tempfile::tempdir().expect("a folder");
    // Not even root can make a folder there.
    for folder in [Some("/proc/nobody"), None] {
        let mut environment = terminal(&BOB, home.path());
        environment.retain(|(name, _)| name != "HOME");
        environment.extend(folder.map(|folder| ("HOME".to_owned(), folder.to_owned())));
        let made = herald_token(&["--cache"], &environment).await.success().expect("a token");
        assert_eq!(made.stderr, "");
    }
}

#[tokio::test]
async fn a_role_is_assumed_once() {
    let (sts, home) = (sts().await, tempfile::tempdir().expect("a folder"));
    let mut environment = at_work(&sts, home.path());
    environment.extend(terminal(&BOB, home.path()));
    let token = async |cluster: &str, more: &[&str]| {
        let arguments = [&["token", "-i", cluster, "-r", keys::DEPLOYER_ROLE], more].concat();
        tests::herald::run(&arguments, environment.clone()).await.expect("herald runs").success().expect("a token");
    };
    token(CLUSTER, &["-s", "me", "--cache"]).await;
    token(CLUSTER, &["-s", "me", "--cache"]).await;
    token("staging.example.com", &["-s", "me", "--cache"]).await;
    token(CLUSTER, &["-s", "me", "--cache", "--region", "eu-west-1"]).await;
    token(CLUSTER, &["-s", "me", "--cache", "--region", "eu-west-2"]).await;
    token(CLUSTER, &["-s", "me", "--cache", "--region", ""]).await;
    token("production.example.com", &["-s", "me", "--cache", "--region", " "]).await;
    assert_eq!(assumed(&sts), 2, "once, and once with a region of the command line");
    token(CLUSTER, &["-s", "you", "--cache"]).await;
    assert_eq!(assumed(&sts), 3, "another name is another session");
    token(CLUSTER, &["-s", "me"]).await;
    assert_eq!(assumed(&sts), 4, "without the switch, nothing kept is used");
}

/// A home where bob's role asks for a code.
fn guarded(home: &Path) {
    fs::create_dir_all(home.join(".aws")).expect("a folder");
    let (id, secret) = (BOB.access_key_id, BOB.secret_access_key);
    let base = format!("[profile base]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    let (role, device) = (keys::GUARDED_ROLE, keys::DEVICE);
    let guarded = format!("[profile guarded]\nrole_arn = {role}\nsource_profile = base\nmfa_serial = {device}\n");
    fs::write(home.join(".aws/config"), base + &guarded).expect("a file");
}

/// Runs `herald token`, with `more` behind it, for `home` in a session of its own: without any terminal, or with one at which `typed`
/// is typed. What is on the terminal is the standard output then; the answer goes to a file.
async fn run(sts: &Running, home: &Path, more: &str, typed: Option<&str>) -> (Finished, String) {
    let herald = binary().expect("herald").display();
    let answer = home.join("answer");
    let line = format!("{herald} token -i {CLUSTER} --profile guarded {more} > {} < /dev/null", answer.display());
    let mut command = match typed {
        None => Command::new("setsid"),
        Some(_) => Command::new("script"),
    };
    match typed {
        None => command.args(["--wait", "sh", "-c", &line]),
        Some(_) => command.args(["--quiet", "--return", "--command", &line, "/dev/null"]),
    };
    command.env_clear().envs(at_work(sts, home));
    let input = home.join("typed");
    fs::write(&input, typed.unwrap_or_default()).expect("a file");
    let finished = match typed {
        None => finish(command).await.expect("it runs"),
        Some(_) => {
            let stdin = Stdio::from(fs::File::open(input).expect("a file"));
            let output = command.stdin(stdin).kill_on_drop(true).output().await.expect("it runs");
            Finished {
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        }
    };
    (finished, fs::read_to_string(answer).unwrap_or_default())
}

/// `script` of util-linux makes the terminal.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_code_is_asked_for_once() {
    let (sts, home) = (sts().await, tempfile::tempdir().expect("a folder"));
    guarded(home.path());

    let (nobody, answer) = run(&sts, home.path(), "", None).await;
    assert_eq!((nobody.code, answer.as_str(), assumed(&sts)), (Some(1), "", 0));
    let words = format!("asks for a code of the MFA device {}, and nobody can be asked", keys::DEVICE);
    assert!(nobody.stderr.contains(&words), "{}", nobody.stderr);

    let (wrong, answer) = run(&sts, home.path(), "", Some("000000\n")).await;
    assert_eq!((wrong.code, answer.as_str(), assumed(&sts)), (Some(1), "", 1));
    assert!(wrong.stdout.contains("MultiFactorAuthentication failed"), "{}", wrong.stdout);

    let code = format!("{}\n", keys::DEVICE_CODE);
    let (asked, answer) = run(&sts, home.path(), "", Some(&code)).await;
    assert_eq!((asked.code, assumed(&sts)), (Some(0), 2), "{}", asked.stdout);
    assert!(asked.stdout.contains(&format!("Code of MFA device {}: ", keys::DEVICE)), "{}", asked.stdout);
    assert!(answer.starts_with(r#"{"kind":"ExecCredential""#), "only the answer: {answer}");

    let (later, answer) = run(&sts, home.path(), "", None).await;
    assert_eq!((later.code, assumed(&sts)), (Some(0), 2), "the session is kept: {}", later.stderr);
    assert!(answer.starts_with(r#"{"kind":"ExecCredential""#), "{answer}");

    let (not_used, _) = run(&sts, home.path(), "--cache=false", None).await;
    assert_eq!((not_used.code, assumed(&sts)), (Some(1), 2), "what is kept is not used: {}", not_used.stderr);
    fs::remove_dir_all(home.path().join(".kube")).expect("it was kept there");
    let (asked, _) = run(&sts, home.path(), "--cache=false", Some(&code)).await;
    assert_eq!((asked.code, assumed(&sts)), (Some(0), 3), "{}", asked.stdout);
    assert!(!home.path().join(".kube").exists(), "and nothing is kept");
}
