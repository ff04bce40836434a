//! Nodes: the instance that a kubelet's session is named after, looked up in EC2.

use std::time::Duration;

use expect_test::expect;
use tests::{
    ec2::{Behaviour, Ec2, Fault},
    herald::{self, Answer, Server, Setup},
    sts::{
        BOB, Keys, Options, Running,
        keys::{Identity, Key, Role},
    },
    tokens::{self, Draft},
};

use crate::support::{CLUSTER, config, fresh, setup, until};

/// The account of nodes, and of Herald itself.
const ACCOUNT: &str = "123456789012";
/// An account with nodes of its own.
const OTHER: &str = "210987654321";
/// The nodes' role in either.
const NODES: &str = r#"
  - roleARN: arn:aws:iam::123456789012:role/Nodes
    username: "system:node:{{EC2PrivateDNSName}}"
    groups: ["system:bootstrappers", "system:nodes"]
  - roleARN: arn:aws:iam::210987654321:role/Nodes
    username: "system:node:{{EC2PrivateDNSName}}"
    groups: ["system:nodes"]"#;
/// For how long EC2's word counts about an instance that it does not know, or not yet by a good name.
const MISSING: Duration = Duration::from_secs(5);
/// A role that Herald may assume to see the instances of the other account.
const READER: &str = "arn:aws:iam::210987654321:role/NodeReader";

/// A cloud with instances.
struct World {
    sts: Running,
    ec2: Ec2,
}

impl World {
    async fn start() -> Self {
        let mut keys = Keys::people().with_derived(tokens::derived_key);
        for account in [ACCOUNT, OTHER] {
            for number in 0..200 {
                keys.add(key(account, &id(number)));
            }
        }
        for session in ["alice", "i-0123456789ABCDEF0", "i-12345"] {
            keys.add(key(ACCOUNT, session));
        }
        keys.add_role(Role::trusting(BOB.arn, READER, "AROANODEREADEREXAMPL"));
        let sts = Running::start(Options { keys, ..Options::default() }).await.expect("a dev STS");
        let ec2 = Ec2::start(&sts.sts).await.expect("a dev EC2");
        Self { sts, ec2 }
    }

    /// A server that asks EC2 by bob's keys.
    fn setup(&self, more: &str) -> Setup {
        let with_nodes = format!("{NODES}{}{more}", if more.is_empty() { "" } else { "\n" });
        let text = config(with_nodes.trim_start_matches('\n'));
        let setup = setup(&self.sts, &text).env("AWS_ENDPOINT_URL_EC2", &self.ec2.url());
        let environment = BOB.environment();
        environment.into_iter().fold(setup, |setup, (name, value)| setup.env(name, value))
    }

    async fn server(&self, more: &str) -> Server {
        let setup = self.setup(more).env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        setup.start().await.expect("a server")
    }
}

/// The id of an instance.
fn id(number: u64) -> String {
    format!("i-{number:017x}")
}

/// Its private DNS name.
fn name(number: u64) -> String {
    format!("ip-10-0-{}-{}.ec2.internal", number / 256, number % 256)
}

/// A key for a session of the nodes' role.
fn key(account: &str, session: &str) -> Key {
    let digest = tests::sigv4::sha256_hex(format!("{account}{session}").as_bytes());
    Key {
        id: format!("ASIA{}", &digest.to_ascii_uppercase()[..16]),
        secret: digest[..40].to_owned(),
        session_token: Some(format!("IQoJb3JpZ2lu/{digest}==")),
        identity: Identity {
            account: account.to_owned(),
            arn: format!("arn:aws:sts::{account}:assumed-role/Nodes/{session}"),
            user_id: format!("AROANODESEXAMPLE0001:{session}"),
        },
        expires_at: None,
    }
}

/// A login of a session of the nodes' role, signed so many seconds ago.
async fn login(server: &Server, account: &str, session: &str, ago: u64) -> Answer {
    let at = tests::now() - Duration::from_secs(ago);
    let token = Draft::of_key(&key(account, session), CLUSTER, at).token();
    server.review(&token).await.expect("an answer")
}

/// The newest audit line about a node, once there are so many.
async fn last_of_nodes(server: &Server, count: usize) -> serde_json::Value {
    let lines = || {
        let all = server.audit().into_iter();
        all.filter(|line| line["caller"]["name"] == "Nodes").collect::<Vec<_>>()
    };
    until(async || lines().len() >= count).await;
    lines().pop().expect("there are some")
}

#[tokio::test]
async fn a_node_is_let_in_under_its_own_name() {
    let world = World::start().await;
    world.ec2.add(&id(1), ACCOUNT, &name(1));
    let server = world.server("").await;
    server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(world.ec2.stats().calls, 0, "whoever is no node has nobody asked");
    let answer = login(&server, ACCOUNT, &id(1), 0).await;
    assert_eq!(answer.username().as_deref(), Some("system:node:ip-10-0-0-1.ec2.internal"), "{}", answer.text);
    assert_eq!(answer.groups(), ["system:bootstrappers", "system:nodes"]);
    let line = last_of_nodes(&server, 1).await;
    assert_eq!(line["stages"][0]["node"]["name"], "ip-10-0-0-1.ec2.internal", "{line}");
    assert_eq!(line["stages"][0]["node"]["source"], "ec2", "{line}");

    let again = login(&server, ACCOUNT, &id(1), 60).await;
    assert_eq!(again.username(), answer.username());
    let line = last_of_nodes(&server, 2).await;
    assert_eq!(line["stages"][0]["node"]["source"], "cache", "{line}");
    let stats = world.ec2.stats();
    assert_eq!((stats.calls, stats.refused), (1, 0), "the name is known: {stats:?}");
    assert!(stats.callers.contains(BOB.arn), "by Herald's own keys: {stats:?}");
    let counted = server.metric("herald_ec2_requests_total{result=\"ok\"}").await.expect("metrics");
    assert_eq!(counted, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_at_once_take_few_calls() {
    let world = World::start().await;
    for number in 0..200 {
        world.ec2.add(&id(number), ACCOUNT, &name(number));
    }
    world.ec2.set(Behaviour { delay: Duration::from_millis(300), page: 30, ..Behaviour::default() });
    let server = std::sync::Arc::new(world.server("  ec2DescribeInstancesQps: 1000").await);
    let began = std::time::Instant::now();
    let logins: Vec<_> = (0..400)
        .map(|turn| {
            let server = std::sync::Arc::clone(&server);
            tokio::spawn(async move { login(&server, ACCOUNT, &id(turn % 200), turn / 200).await })
        })
        .collect();
    for (turn, task) in (0..400).zip(logins) {
        let answer = task.await.expect("no panic");
        let expected = format!("system:node:{}", name(turn % 200));
        assert_eq!(answer.username(), Some(expected), "{}", answer.text);
    }
    let batches = server.metric("herald_ec2_requests_total{result=\"ok\"}").await.expect("metrics").unwrap_or_default();
    let stats = world.ec2.stats();
    // While one is under way, the next waits for company for a fifth of a second. A busy machine brings them in over a longer
    // time. Some are answered in pages.
    let most = 20.0 + began.elapsed().as_secs_f64() * 6.0;
    assert!((2.0..=most).contains(&batches), "{batches} of {most} {stats:?}");
    assert!(stats.largest <= 100, "{stats:?}");
    let asked = server.metric("herald_ec2_instances_total").await.expect("metrics");
    assert_eq!(asked, Some(200.0), "each was asked for once: {stats:?}");
}

#[tokio::test]
async fn whoever_is_no_instance_of_his_account_is_refused() {
    let world = World::start().await;
    world.ec2.add(&id(2), ACCOUNT, "");
    world.ec2.add(&id(3), OTHER, &name(3));
    world.ec2.add(&id(4), ACCOUNT, "{{AccountID}}");
    world.ec2.add(&id(5), ACCOUNT, "Ip-10-0-0-5.ec2.internal");
    world.ec2.add(&id(6), ACCOUNT, "a b");
    let server = world.server("").await;
    let table = [
        (id(1), "node_not_found", true),
        (id(2), "node_without_name", true),
        (id(3), "node_not_found", true),
        (id(4), "node_name_invalid", true),
        (id(5), "node_name_invalid", true),
        (id(6), "node_name_invalid", true),
        ("alice".to_owned(), "node_not_an_instance", false),
        ("i-0123456789ABCDEF0".to_owned(), "node_not_an_instance", false),
        ("i-12345".to_owned(), "node_not_an_instance", false),
    ];
    for (session, reason, asks) in table {
        let (before, began) = (world.ec2.stats().calls, std::time::Instant::now());
        let answer = login(&server, ACCOUNT, &session, 0).await;
        assert_eq!((answer.status, answer.username()), (200, None), "{session}: {}", answer.text);
        assert_eq!(answer.reason().as_deref(), Some(reason), "{session}: {}", answer.text);
        let again = login(&server, ACCOUNT, &session, 1).await;
        assert_eq!(again.reason().as_deref(), Some(reason), "{session}: {}", again.text);
        let calls = world.ec2.stats().calls - before;
        // A busy machine may take longer over both than it is kept.
        let is_over = asks && calls == 2 && began.elapsed() > MISSING;
        assert!(is_over || calls == u64::from(asks), "{session}: EC2's word is kept for a moment: {calls} calls");
    }
    // Asked for by the other account's own node, whom Herald's keys cannot see either.
    let answer = login(&server, OTHER, &id(3), 0).await;
    assert_eq!(answer.reason().as_deref(), Some("node_not_found"), "{}", answer.text);
    world.ec2.add(&id(7), ACCOUNT, &name(7));
    let answer = login(&server, OTHER, &id(7), 0).await;
    assert_eq!(answer.reason().as_deref(), Some("node_other_account"), "{}", answer.text);
}

#[tokio::test]
async fn an_instance_that_comes_up_is_let_in_soon() {
    let world = World::start().await;
    world.ec2.add(&id(1), ACCOUNT, "");
    let server = world.server("").await;
    assert_eq!(login(&server, ACCOUNT, &id(1), 0).await.reason().as_deref(), Some("node_without_name"));
    world.ec2.add(&id(1), ACCOUNT, &name(1));
    until(async || login(&server, ACCOUNT, &id(1), 0).await.username().is_some()).await;
}

#[tokio::test]
async fn trouble_with_ec2_is_told_and_touches_nobody_else() {
    let world = World::start().await;
    for number in 0..20 {
        world.ec2.add(&id(number), ACCOUNT, &name(number));
    }
    let server = world.server("  ec2DescribeInstancesQps: 100").await;
    assert!(login(&server, ACCOUNT, &id(0), 0).await.username().is_some());
    let table = [
        (Fault::Denied, "ec2_refused"),
        (Fault::E500, "ec2_unavailable"),
        (Fault::Garbage, "ec2_unintelligible"),
        (Fault::Huge, "ec2_unavailable"),
        (Fault::Redirect, "ec2_unavailable"),
        (Fault::Reset, "ec2_unavailable"),
        (Fault::Throttle, "ec2_throttled"),
    ];
    for (number, (fault, reason)) in (1..).zip(table) {
        world.ec2.set(Behaviour { fault, ..Behaviour::default() });
        let answer = login(&server, ACCOUNT, &id(number), 0).await;
        assert_eq!((answer.status, answer.username()), (503, None), "{fault:?}: {}", answer.text);
        assert_eq!(answer.reason().as_deref(), Some(reason), "{fault:?}: {}", answer.text);
        assert!(answer.retry_after().is_some(), "{fault:?}: {:?}", answer.headers);
        let known = login(&server, ACCOUNT, &id(0), number).await;
        assert!(known.username().is_some(), "{fault:?}: a name that is known goes on: {}", known.text);
        let other = server.review(&fresh(&BOB)).await.expect("an answer");
        assert_eq!(other.username().as_deref(), Some("bob"), "{fault:?}: {}", other.text);
        world.ec2.set(Behaviour::default());
        let healed = login(&server, ACCOUNT, &id(number), 1).await;
        assert!(healed.username().is_some(), "after {fault:?}: {}", healed.text);
    }
    until(async || server.stderr.text().contains("nodes cannot be looked up: ")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ec2_that_hangs_holds_up_no_other_login() {
    let world = World::start().await;
    world.ec2.set(Behaviour { fault: Fault::Hang, ..Behaviour::default() });
    let server = std::sync::Arc::new(world.server("").await);
    // On a busy machine five seconds may be over before bob has his answer. Whoever is held up by the node is so each time.
    for number in 1..=10 {
        let calls = world.ec2.stats().calls;
        let node = tokio::spawn({
            let server = std::sync::Arc::clone(&server);
            async move { login(&server, ACCOUNT, &id(number), 0).await }
        });
        until(async || world.ec2.stats().calls > calls).await;
        let answer = server.review(&fresh(&BOB)).await.expect("an answer");
        assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
        let still_waits = !node.is_finished();
        let answer = node.await.expect("no panic");
        assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("ec2_unavailable")), "{}", answer.text);
        if still_waits {
            return;
        }
    }
    panic!("bob has waited for a node each time");
}

#[tokio::test]
async fn nodes_of_another_account_are_looked_up_by_a_role() {
    let world = World::start().await;
    world.ec2.add(&id(1), ACCOUNT, &name(1));
    world.ec2.add(&id(2), OTHER, &name(2));
    let more = format!("  ec2: {{roles: ['{READER}']}}\n  sourceARN: arn:aws:eks:us-east-1:{ACCOUNT}:cluster/prod");
    let server = world.server(&more).await;
    for (account, number) in [(ACCOUNT, 1), (OTHER, 2)] {
        let answer = login(&server, account, &id(number), 0).await;
        assert_eq!(answer.username(), Some(format!("system:node:{}", name(number))), "{}", answer.text);
    }
    let callers = world.ec2.stats().callers;
    assert!(callers.iter().any(|arn| arn.contains(":assumed-role/NodeReader/herald-")), "{callers:?}");
    let assumed = world.sts.sts.requests().into_iter().filter(|request| request.action == "AssumeRole");
    let assumed: Vec<_> = assumed.collect();
    assert_eq!(assumed.len(), 1, "once, and only for the account that has a role");
    assert!(assumed[0].headers.iter().any(|name| name == "x-amz-source-arn"), "{:?}", assumed[0].headers);
    assert!(assumed[0].headers.iter().any(|name| name == "x-amz-source-account"), "{:?}", assumed[0].headers);
}

#[tokio::test]
async fn the_role_of_existing_files_is_for_every_account() {
    let world = World::start().await;
    world.ec2.add(&id(2), OTHER, &name(2));
    let server = world.server(&format!("  ec2DescribeInstancesRoleARN: {READER}")).await;
    let answer = login(&server, OTHER, &id(2), 0).await;
    assert_eq!(answer.username(), Some(format!("system:node:{}", name(2))), "{}", answer.text);
    let denied = login(&server, ACCOUNT, &id(1), 0).await;
    assert_eq!(denied.reason().as_deref(), Some("node_not_found"), "{}", denied.text);
}

#[tokio::test]
async fn without_credentials_only_nodes_are_refused() {
    let world = World::start().await;
    let text = config(NODES.trim_start_matches('\n'));
    let setup = setup(&world.sts, &text).env("AWS_ENDPOINT_URL_EC2", &world.ec2.url());
    let server = setup.env("AWS_EC2_METADATA_DISABLED", "true").start().await.expect("a server");
    let answer = login(&server, ACCOUNT, &id(1), 0).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("ec2_credentials")), "{}", answer.text);
    let other = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(other.username().as_deref(), Some("bob"), "{}", other.text);
}

/// It is run once, and nobody but nodes waits for it.
#[tokio::test]
async fn a_credential_process_without_end_takes_nothing_but_the_names_of_nodes() {
    let world = World::start().await;
    let text = config(NODES.trim_start_matches('\n'));
    let setup = setup(&world.sts, &text).env("AWS_ENDPOINT_URL_EC2", &world.ec2.url());
    let (runs, file) = (setup.folder().join("runs"), setup.folder().join("aws-config"));
    // Each of those who wait for it does so for four seconds.
    let program = format!("sh -c 'echo run >> {}; exec sleep 60'", runs.display());
    std::fs::write(&file, format!("[default]\ncredential_process = {program}\n")).expect("written");
    let setup = setup.env("AWS_CONFIG_FILE", file.to_str().expect("UTF-8"));
    let server = setup.env("AWS_EC2_METADATA_DISABLED", "true").start().await.expect("a server");
    for number in 1..=4 {
        let answer = login(&server, ACCOUNT, &id(number), 0).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("ec2_credentials")), "{}", answer.text);
    }
    let other = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(other.username().as_deref(), Some("bob"), "{}", other.text);
    assert_eq!(std::fs::read_to_string(runs).expect("it ran"), "run\n");
}

#[tokio::test]
async fn an_explanation_asks_ec2_only_if_it_is_told_to() {
    let world = World::start().await;
    world.ec2.add(&id(1), ACCOUNT, &name(1));
    let setup = world.setup("");
    let file = setup.folder().join("config.yaml").display().to_string();
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/Nodes/{}", id(1));
    let mut environment: Vec<(&str, String)> = world.sts.environment();
    environment.extend(BOB.environment().into_iter().map(|(name, value)| (name, value.to_owned())));
    environment.push(("AWS_ENDPOINT_URL_EC2", world.ec2.url()));
    environment.push(("AWS_REGION", "us-east-1".to_owned()));
    let explain = async |more: &[&str]| {
        let arguments = [&["explain", "--config", &file, "--arn", &arn], more].concat();
        herald::run(&arguments, environment.clone()).await.expect("herald runs")
    };
    let asked = explain(&["--ec2"]).await;
    let stages: Vec<&str> = asked
        .stdout
        .lines()
        .skip_while(|line| *line != "stages")
        .take_while(|line| !line.contains("generation"))
        .collect();
    expect![[r#"
        stages
          MountedFile    allow by the entry on line 20
            node: ip-10-0-0-1.ec2.internal (source: ec2)
        decision
          username       system:node:ip-10-0-0-1.ec2.internal
          groups         system:bootstrappers, system:nodes"#]]
    .assert_eq(&stages.join("\n"));
    assert_eq!((asked.code, world.ec2.stats().calls), (Some(0), 1), "{asked:?}");

    let silent = explain(&[]).await;
    assert_eq!((silent.code, world.ec2.stats().calls), (Some(1), 1), "{silent:?}");
    assert!(silent.stdout.contains("(node_not_looked_up)") && silent.stdout.contains("give --ec2"), "{silent:?}");
}

/// Nodes by the policy ec2-node instead of an entry.
fn by_policy(cloud: &str) -> String {
    let component = tests::policies::build("ec2-node").expect("a policy");
    format!(
        "  backendMode: [Policy/nodes, MountedFile]\n  policies:\n  - name: nodes\n    kind: map\n    component: {}\n{cloud}    ceiling: \
         {{usernames: ['system:node:{{{{EC2PrivateDNSName}}}}'], groups: ['system:bootstrappers', 'system:nodes']}}\n    \
         settings: {{nodes: [{{account: '{ACCOUNT}', role: Nodes, tags: {{cluster: prod}}}}]}}\n    limits: {{timeout: 5s}}",
        component.display()
    )
}

#[tokio::test]
async fn a_policy_knows_the_callers_own_instance() {
    let world = World::start().await;
    let cluster = [("cluster", "prod")];
    world.ec2.add_tagged(&id(1), ACCOUNT, &name(1), &cluster);
    world.ec2.add_tagged(&id(2), ACCOUNT, &name(2), &[("cluster", "test")]);
    world.ec2.add_tagged(&id(3), OTHER, &name(3), &cluster);
    world.ec2.add_tagged(&id(5), ACCOUNT, "", &cluster);
    let server = world.server(&by_policy("    cloud: [caller-instance]\n")).await;
    let answer = login(&server, ACCOUNT, &id(1), 0).await;
    assert_eq!(answer.username().as_deref(), Some("system:node:ip-10-0-0-1.ec2.internal"), "{}", answer.text);
    assert_eq!(answer.groups(), ["system:bootstrappers", "system:nodes"]);
    for (session, ago) in [(id(1), 60), (id(2), 0), (id(2), 60), (id(3), 0), ("alice".to_owned(), 0)] {
        let answer = login(&server, ACCOUNT, &session, ago).await;
        let expected = if session == id(1) { None } else { Some("policy_denied") };
        assert_eq!(answer.reason().as_deref(), expected, "{session}: {}", answer.text);
    }
    assert_eq!(world.ec2.stats().calls, 3, "what is known is not asked again, and who is no instance never");

    // It is an instance of its account, whatever it lacks.
    let answer = login(&server, ACCOUNT, &id(5), 0).await;
    assert_eq!(answer.reason().as_deref(), Some("policy_denied"), "{}", answer.text);
    let line = last_of_nodes(&server, 7).await;
    let why = format!("denied by Policy/nodes: the instance {} has no private DNS name", id(5));
    assert_eq!(line["message"], why, "{line}");
    world.ec2.add_tagged(&id(5), ACCOUNT, &name(5), &cluster);
    until(async || login(&server, ACCOUNT, &id(5), 0).await.username().is_some()).await;

    // An outage is nobody's fault: the API server is to ask again, and nodes that are known come in.
    world.ec2.set(Behaviour { fault: Fault::E500, ..Behaviour::default() });
    let answer = login(&server, ACCOUNT, &id(4), 0).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("policy_unavailable")), "{}", answer.text);
    let known = login(&server, ACCOUNT, &id(1), 120).await;
    assert_eq!(known.username().as_deref(), Some("system:node:ip-10-0-0-1.ec2.internal"), "{}", known.text);
}

#[tokio::test]
async fn a_policy_that_is_not_granted_to_know_it_does_not_load() {
    let world = World::start().await;
    let finished = world.setup(&by_policy("")).run().await.expect("it ends");
    assert_ne!(finished.code, Some(0));
    let granted =
        "imports herald:policy/cloud@0.1.0, which it is not granted: grant it with `cloud: [caller-instance]`";
    assert!(finished.stderr.contains(granted), "{}", finished.stderr);
}
