//! How kubectl and kubelets run the plugin, and how often.

use tests::{
    herald::finish,
    sts::{BOB, EVE, keys},
};
use tokio::{process::Command, task::JoinSet};

use crate::{
    kubectl::{Kubectl, is_unauthorized},
    world::{CLUSTER, World, person, runs},
};

/// STS's word counts for as long as any machine takes over a test, and not for a minute alone; nor is a machine too slow for it.
const REMEMBERING: &str = "  sts: {timeout: 30s, connectTimeout: 30s, verifiedCache: {ttl: 15m}}";

fn asked(world: &World, action: &str) -> usize {
    world.sts.sts.requests().iter().filter(|request| request.action == action).count()
}

/// No home, no terminal, no stdin, nothing in the environment: all that the plugin needs is in the kubeconfig.
#[tokio::test]
async fn as_a_kubelet_runs_it() {
    let Some(world) = World::start("  mapAccounts: ['123456789012']").await else { return };
    let kubectl = world.admin();
    let token_file = kubectl.home().join("web-identity");
    std::fs::write(&token_file, keys::WEB_IDENTITY).expect("written");
    let variables = [
        ("AWS_ROLE_ARN", keys::POD_ROLE.to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.display().to_string()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL_STS", world.sts.endpoint()),
        ("AWS_CA_BUNDLE", world.sts.ca_file().display().to_string()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
    let kubeconfig = world.kubeconfig(&serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": tests::herald::binary().expect("herald"),
        "args": ["token", "-i", CLUSTER], "env": variables, "interactiveMode": "Never",
    }));
    let kubectl = kubectl.with_kubeconfig(&kubeconfig);
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(world.cluster.program("kubectl")).arg("--kubeconfig").arg(kubectl.kubeconfig());
    command.args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).env_clear().current_dir("/");
    let finished = finish(command).await.expect("kubectl runs").success().expect("a name");
    assert_eq!(finished.stdout, keys::POD_ROLE);
    assert_eq!(asked(&world, "AssumeRoleWithWebIdentity"), 1);
}

/// Bob, who logs in by a role, with a cache.
async fn deployer() -> Option<(World, Kubectl)> {
    let role = format!("{REMEMBERING}\n  mapRoles:\n  - {{roleARN: '{}', username: deployer}}", keys::DEPLOYER_ROLE);
    let world = World::start(&role).await?;
    let bob = person(&world.cluster, &BOB.key(), &["--role-arn", keys::DEPLOYER_ROLE, "--cache"]).await;
    let bob = world.at_sts(bob);
    Some((world, bob))
}

/// All of them log in.
async fn fifty_at_once(bob: &Kubectl) {
    let mut all: JoinSet<Option<String>> = (0..50)
        .map(|_| {
            let bob = bob.clone();
            async move { bob.name().await }
        })
        .collect();
    while let Some(name) = all.join_next().await {
        assert_eq!(name.expect("kubectl runs").as_deref(), Some("deployer"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_share_one_token() {
    let Some((world, bob)) = deployer().await else { return };
    assert_eq!(bob.name().await.as_deref(), Some("deployer"));
    fifty_at_once(&bob).await;
    assert_eq!(runs(&bob), 51);
    assert_eq!((asked(&world, "AssumeRole"), asked(&world, "GetCallerIdentity")), (1, 1));
}

/// The cache has no locks, so each of those that find nothing asks for itself; none is in another one's way, and what is
/// left is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_before_anything_is_kept_all_log_in() {
    let Some((world, bob)) = deployer().await else { return };
    fifty_at_once(&bob).await;
    assert_eq!(runs(&bob), 50);
    let calls = || (asked(&world, "AssumeRole"), asked(&world, "GetCallerIdentity"));
    let (sessions, tokens) = calls();
    assert!((1..=50).contains(&sessions) && (1..=50).contains(&tokens), "{sessions} sessions, {tokens} tokens");
    assert_eq!(bob.name().await.as_deref(), Some("deployer"));
    assert_eq!(calls().0, sessions, "what was kept last is good");
    assert!(calls().1 <= tokens + 1);
}

/// client-go runs the plugin again on each 401. What is refused costs STS one call all the same.
#[tokio::test]
async fn whoever_is_refused_asks_a_few_times() {
    let Some(world) = World::start(&format!("{REMEMBERING}\n  backendMode: [MountedFile]")).await else { return };
    let eve = person(&world.cluster, &EVE.key(), &["--cache"]).await;
    for (arguments, most) in [(&["auth", "whoami"][..], 2), (&["get", "configmaps"], 6)] {
        let before = runs(&eve);
        assert!(is_unauthorized(&eve.run(arguments).await));
        let count = runs(&eve) - before;
        assert!((1..=most).contains(&count), "{arguments:?}: {count}");
    }
    assert_eq!(asked(&world, "GetCallerIdentity"), 1, "one token, vouched for once");
}

/// `kuberc` of kubectl 1.35 and later: the list of programs that a kubeconfig may run.
#[tokio::test]
async fn kubectls_list_of_allowed_plugins_may_name_it() {
    let Some(world) = World::start("  mapAccounts: ['123456789012']").await else { return };
    let bob = world.person(&BOB.key()).await;
    let allowed = tests::herald::repository().join("examples/kubeconfig/kuberc.yaml");
    let kuberc = |file: &std::path::Path| bob.clone().env("KUBERC", file.to_str().expect("UTF-8"));
    assert_eq!(kuberc(&allowed).name().await.as_deref(), Some(BOB.arn));
    let text = std::fs::read_to_string(&allowed).expect("an example");
    let others = bob.home().join("kuberc");
    std::fs::write(&others, text.replace("command: herald", "command: other")).expect("a file");
    let before = runs(&bob);
    let refused = kuberc(&others).run(&["auth", "whoami"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("allowlist"), "{refused:?}");
    assert_eq!(runs(&bob), before, "it is not run");
}
