//! Tags: what a policy is granted to know of the role or user behind a caller, looked up in IAM.

use std::{sync::Arc, time::Duration};

use tests::{
    herald::{Answer, Server, Setup},
    iam::{Fault, Iam},
    now, policies,
    sts::{
        BOB, Keys, Options, Running,
        alibaba::LIN,
        keys::{Identity, Key, Role},
    },
    tokens::{self, Draft, alibaba},
};

use crate::support::{CLUSTER, config, fresh, setup, until};

/// The account of Herald itself.
const ACCOUNT: &str = "123456789012";
/// Another one.
const OTHER: &str = "210987654321";
/// A role that Herald may assume to ask IAM of the other account.
const READER: &str = "arn:aws:iam::210987654321:role/Reader";
/// Grants the policy its callers' tags.
const GRANT: &str = "    cloud: [caller-tags]\n";
/// More calls than a test makes.
const FAST: &str = "  iam: {qps: 1000, burst: 1000}\n";

/// A cloud with roles and users.
struct World {
    sts: Running,
    iam: Iam,
}

impl World {
    async fn start() -> Self {
        let mut keys = Keys::people().with_derived(tokens::derived_key);
        for account in [ACCOUNT, OTHER] {
            for number in 0..20 {
                keys.add(session(account, number, "alice"));
            }
        }
        (0..20).for_each(|number| keys.add(session(ACCOUNT, 0, &format!("s{number}"))));
        [user(), root(), federated()].into_iter().for_each(|key| keys.add(key));
        keys.add_role(Role::trusting(BOB.arn, READER, "AROAREADERREADEREXAM"));
        let sts = Running::start(Options { keys, ..Options::default() }).await.expect("a dev STS");
        let iam = Iam::start(&sts.sts).await.expect("a dev IAM");
        Self { sts, iam }
    }

    /// Makes the role with that number, with such a name for who assumes it.
    fn add_role(&self, account: &str, number: u64, username: &str) {
        let arn = format!("arn:aws:iam::{account}:role/team/{}", role(number));
        self.iam.add(&arn, &id(account, number), &[("username", username), ("groups", "dev on-call"), ("a&b", "<é>")]);
    }

    /// A server that asks the policy `tags`, and IAM by bob's keys.
    fn setup(&self, cloud: &str, more: &str) -> Setup {
        let component = policies::build("tags").expect("a policy");
        let policy = format!(
            "{more}  backendMode: [Policy/tags, MountedFile]\n  policies:\n  - name: tags\n    kind: map\n    component: {}\n{cloud}    \
             limits: {{timeout: 5s}}",
            component.display()
        );
        let setup = setup(&self.sts, &config(&policy)).env("AWS_ENDPOINT_URL_IAM", &self.iam.url());
        setup.env("AWS_REGION", "eu-west-1").env("AWS_EC2_METADATA_DISABLED", "true")
    }

    async fn server(&self, cloud: &str, more: &str) -> Server {
        let environment = BOB.environment();
        let setup = self.setup(cloud, more);
        let setup = environment.into_iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        setup.start().await.expect("a server")
    }
}

/// A role's name.
fn role(number: u64) -> String {
    format!("Role-{number}")
}

/// Its unique id.
fn id(account: &str, number: u64) -> String {
    format!("AROA{account}{number:04}")
}

/// A key for a session of it.
fn session(account: &str, number: u64, name: &str) -> Key {
    let role = role(number);
    key(
        account,
        &format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
        &format!("{}:{name}", id(account, number)),
    )
}

fn user() -> Key {
    key(ACCOUNT, &format!("arn:aws:iam::{ACCOUNT}:user/people/eve"), "AIDAEVEEVEEVEEXAMPLE")
}

fn root() -> Key {
    key(ACCOUNT, &format!("arn:aws:iam::{ACCOUNT}:root"), ACCOUNT)
}

fn federated() -> Key {
    key(ACCOUNT, &format!("arn:aws:sts::{ACCOUNT}:federated-user/eve"), &format!("{ACCOUNT}:eve"))
}

fn key(account: &str, arn: &str, user_id: &str) -> Key {
    let digest = tests::sigv4::sha256_hex(format!("{arn}{user_id}").as_bytes());
    Key {
        id: format!("ASIA{}", &digest.to_ascii_uppercase()[..16]),
        secret: digest[..40].to_owned(),
        session_token: Some(format!("IQoJb3JpZ2lu/{digest}==")),
        identity: Identity { account: account.to_owned(), arn: arn.to_owned(), user_id: user_id.to_owned() },
        expires_at: None,
    }
}

/// A login by `key`, signed so many seconds ago.
async fn login(server: &Server, key: &Key, ago: u64) -> Answer {
    let token = Draft::of_key(key, CLUSTER, now() - Duration::from_secs(ago)).token();
    server.review(&token).await.expect("an answer")
}

/// Waits until a counter of IAM is at `expected`: metrics are made anew once in a while.
async fn counted(server: &Server, labels: &str, expected: f64) {
    let series = format!("herald_iam_{labels}");
    until(async || server.metric(&series).await.expect("metrics") == Some(expected)).await;
}

#[tokio::test]
async fn a_policy_names_callers_by_the_tags_of_their_role_or_user() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 1, "team-db");
    world.iam.add(&format!("arn:aws:iam::{ACCOUNT}:role/{}", role(2)), &id(ACCOUNT, 2), &[]);
    world.iam.add(&format!("arn:aws:iam::{ACCOUNT}:user/people/eve"), "AIDAEVEEVEEVEEXAMPLE", &[("username", "eve")]);
    let server = world.server(GRANT, "").await;
    assert_eq!(world.iam.stats().calls, 0, "nobody has logged in");
    let answer = login(&server, &session(ACCOUNT, 1, "alice"), 0).await;
    assert_eq!(answer.username().as_deref(), Some("team-db"), "{}", answer.text);
    assert_eq!(answer.groups(), ["dev", "on-call"]);
    let answer = login(&server, &user(), 0).await;
    assert_eq!(answer.username().as_deref(), Some("eve"), "{}", answer.text);
    let answer = login(&server, &session(ACCOUNT, 2, "alice"), 0).await;
    assert_eq!(answer.reason().as_deref(), Some("not_mapped"), "no tags are an answer: {}", answer.text);
    let asked: Vec<(String, String)> = [("GetRole", "Role-1"), ("GetUser", "eve"), ("GetRole", "Role-2")]
        .map(|(action, name)| (action.to_owned(), name.to_owned()))
        .into();
    assert_eq!(world.iam.stats().asked, asked);

    // What is known is not asked again: the tags are the role's, whatever its sessions are called.
    world.add_role(ACCOUNT, 1, "renamed");
    for ago in [60, 120] {
        let answer = login(&server, &session(ACCOUNT, 1, "alice"), ago).await;
        assert_eq!(answer.username().as_deref(), Some("team-db"), "{}", answer.text);
    }
    let stats = world.iam.stats();
    assert_eq!((stats.calls, stats.refused), (3, 0), "{stats:?}");
    assert!(stats.callers.contains(BOB.arn) && stats.callers.len() == 1, "by Herald's own keys: {stats:?}");
    counted(&server, "requests_total{result=\"ok\"}", 3.0).await;
    counted(&server, "look_ups_total{source=\"iam\",result=\"ok\"}", 3.0).await;
    counted(&server, "look_ups_total{source=\"cache\",result=\"ok\"}", 2.0).await;
}

#[tokio::test]
async fn somebody_else_of_the_same_name_gives_a_caller_nothing() {
    let world = World::start().await;
    // Herald's keys see this one, whoever asks for a role of that name.
    world.add_role(ACCOUNT, 1, "admin");
    // Deleted, and made again by whoever may make roles.
    world.iam.add(
        &format!("arn:aws:iam::{ACCOUNT}:role/{}", role(2)),
        "AROAMADEAGAINEXAMPLE",
        &[("username", "admin")],
    );
    let server = world.server(GRANT, "").await;
    let table = [
        (session(OTHER, 1, "alice"), true),
        (session(ACCOUNT, 2, "alice"), true),
        (session(ACCOUNT, 3, "alice"), true),
        (user(), true),
        (root(), false),
        (federated(), false),
    ];
    for (key, asks) in table {
        let (arn, calls) = (&key.identity.arn, world.iam.stats().calls);
        for ago in [0, 60] {
            let answer = login(&server, &key, ago).await;
            assert_eq!((answer.status, answer.username()), (200, None), "{arn}: {}", answer.text);
            assert_eq!(answer.reason().as_deref(), Some("policy_denied"), "{arn}: {}", answer.text);
        }
        assert_eq!(world.iam.stats().calls - calls, u64::from(asks), "{arn}: IAM's word is kept for a minute");
    }
    for (reason, sources, count) in [
        ("tags_other_principal", ["iam", "cache"].as_slice(), 2.0),
        ("tags_not_found", &["iam", "cache"], 2.0),
        ("tags_no_principal", &["none"], 4.0),
    ] {
        for source in sources {
            counted(&server, &format!("look_ups_total{{source=\"{source}\",result=\"{reason}\"}}"), count).await;
        }
    }
    let answer = login(&server, &session(ACCOUNT, 1, "alice"), 0).await;
    assert_eq!(answer.username().as_deref(), Some("admin"), "{}", answer.text);
    // Now it is known whose Herald's keys are, and that they tell nothing of other accounts.
    let calls = world.iam.stats().calls;
    let answer = login(&server, &session(OTHER, 4, "alice"), 0).await;
    assert_eq!(answer.reason().as_deref(), Some("policy_denied"), "{}", answer.text);
    assert_eq!(world.iam.stats().calls, calls);
    counted(&server, "look_ups_total{source=\"none\",result=\"tags_other_account\"}", 1.0).await;
}

#[tokio::test]
async fn tags_of_another_account_are_looked_up_by_a_role() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 1, "ours");
    world.add_role(OTHER, 1, "theirs");
    let server = world.server(GRANT, &format!("  ec2: {{roles: ['{READER}']}}\n")).await;
    for (account, username) in [(ACCOUNT, "ours"), (OTHER, "theirs")] {
        let answer = login(&server, &session(account, 1, "alice"), 0).await;
        assert_eq!(answer.username().as_deref(), Some(username), "{}", answer.text);
    }
    let callers = world.iam.stats().callers;
    assert!(callers.iter().any(|arn| arn.contains(":assumed-role/Reader/herald-")), "{callers:?}");
}

#[tokio::test]
async fn trouble_with_iam_lets_nobody_in_and_touches_nobody_else() {
    let world = World::start().await;
    (0..20).for_each(|number| world.add_role(ACCOUNT, number, &format!("team-{number}")));
    let server = world.server(GRANT, FAST).await;
    assert!(login(&server, &session(ACCOUNT, 0, "alice"), 0).await.username().is_some());
    let faults = [
        Fault::Denied,
        Fault::E500,
        Fault::Garbage,
        Fault::Hang,
        Fault::Huge,
        Fault::Redirect,
        Fault::Reset,
        Fault::Throttle,
    ];
    for (number, fault) in (1..).zip(faults) {
        world.iam.set(fault, Duration::ZERO);
        let answer = login(&server, &session(ACCOUNT, number, "alice"), 0).await;
        assert_eq!((answer.status, answer.username()), (503, None), "{fault:?}: {}", answer.text);
        assert_eq!(answer.reason().as_deref(), Some("policy_unavailable"), "{fault:?}: {}", answer.text);
        assert!(answer.retry_after().is_some(), "{fault:?}: {:?}", answer.headers);
        let known = login(&server, &session(ACCOUNT, 0, "alice"), number).await;
        assert_eq!(known.username().as_deref(), Some("team-0"), "{fault:?}: {}", known.text);
        world.iam.set(Fault::None, Duration::ZERO);
        let healed = login(&server, &session(ACCOUNT, number, "alice"), 1).await;
        assert_eq!(healed.username(), Some(format!("team-{number}")), "after {fault:?}: {}", healed.text);
    }
    for (reason, count) in
        [("iam_refused", 1.0), ("iam_throttled", 1.0), ("iam_unavailable", 5.0), ("iam_unintelligible", 1.0)]
    {
        counted(&server, &format!("requests_total{{result=\"{reason}\"}}"), count).await;
    }
    until(async || server.stderr.text().contains("tags of callers cannot be looked up: ")).await;
}

#[tokio::test]
async fn without_credentials_nobody_has_tags() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 1, "team-db");
    let server = world.setup(GRANT, "").start().await.expect("a server");
    let answer = login(&server, &session(ACCOUNT, 1, "alice"), 0).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("policy_unavailable")), "{}", answer.text);
    assert_eq!(world.iam.stats().calls, 0);
    counted(&server, "look_ups_total{source=\"iam\",result=\"iam_credentials\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_one_role_share_a_look_up() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 0, "team-0");
    world.iam.set(Fault::None, Duration::from_secs(1));
    let server = Arc::new(world.server("    cloud: [caller-tags, caller-instance]\n", "").await);
    let logins: Vec<_> = (0..20)
        .map(|number| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { login(&server, &session(ACCOUNT, 0, &format!("s{number}")), 0).await })
        })
        .collect();
    for task in logins {
        let answer = task.await.expect("no panic");
        assert_eq!(answer.username().as_deref(), Some("team-0"), "{}", answer.text);
    }
    assert_eq!(world.iam.stats().calls, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iam_that_hangs_holds_up_no_other_login() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 0, "team-0");
    let server = Arc::new(world.server(GRANT, "").await);
    assert!(login(&server, &session(ACCOUNT, 0, "alice"), 0).await.username().is_some());
    world.iam.set(Fault::Hang, Duration::ZERO);
    // On a busy machine five seconds may be over before they have their answers. Whoever is held up is so each time.
    for number in 1..=10 {
        let calls = world.iam.stats().calls;
        let waiting = tokio::spawn({
            let server = Arc::clone(&server);
            async move { login(&server, &session(ACCOUNT, number, "alice"), 0).await }
        });
        until(async || world.iam.stats().calls > calls).await;
        let known = login(&server, &session(ACCOUNT, 0, "alice"), number).await;
        assert_eq!(known.username().as_deref(), Some("team-0"), "{}", known.text);
        let without = login(&server, &root(), number).await;
        assert_eq!(without.reason().as_deref(), Some("policy_denied"), "who has no tags: {}", without.text);
        let still_waits = !waiting.is_finished();
        let answer = waiting.await.expect("no panic");
        assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("policy_unavailable")), "{}", answer.text);
        if still_waits {
            return;
        }
    }
    panic!("they have waited for somebody else's tags each time");
}

#[tokio::test]
async fn a_policy_in_shadow_mode_is_told_them_too() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 1, "team-db");
    let server = world.server(&format!("{GRANT}    mode: shadow\n"), "").await;
    let answer = login(&server, &session(ACCOUNT, 1, "alice"), 0).await;
    assert_eq!((answer.username(), answer.reason().as_deref()), (None, Some("not_mapped")), "{}", answer.text);
    let shadow = || server.audit().into_iter().find(|line| line["event"] == "shadow");
    until(async || shadow().is_some()).await;
    let line = shadow().expect("there is one");
    assert_eq!((&line["verdict"], &line["letsIn"]), (&"allow".into(), &"team-db".into()), "{line}");
    assert_eq!(world.iam.stats().calls, 1);
}

#[tokio::test]
async fn what_is_not_granted_is_not_looked_up() {
    let world = World::start().await;
    world.add_role(ACCOUNT, 1, "team-db");
    let server = world.server("    cloud: [caller-instance]\n", "").await;
    let answer = login(&server, &session(ACCOUNT, 1, "alice"), 0).await;
    assert_eq!((answer.username(), answer.reason().as_deref()), (None, Some("policy_broken")), "{}", answer.text);
    assert_eq!(world.iam.stats().calls, 0);

    let finished = world.setup("", "").run().await.expect("it ends");
    assert_ne!(finished.code, Some(0));
    let granted = "imports herald:policy/cloud@0.1.0, which it is not granted: grant it with `cloud: [caller-tags]`";
    assert!(finished.stderr.contains(granted), "{}", finished.stderr);
}

#[tokio::test]
async fn callers_of_another_cloud_have_none() {
    let world = World::start().await;
    let server = world.server(GRANT, "  providers: [aws, alibaba]\n  alibaba: {region: cn-hangzhou}\n").await;
    let token = alibaba::Draft::new(&LIN, CLUSTER, now() - Duration::from_secs(1)).token();
    let answer = server.review(&token).await.expect("an answer");
    assert_eq!((answer.username(), answer.reason().as_deref()), (None, Some("policy_denied")), "{}", answer.text);
    assert_eq!(world.iam.stats().calls, 0);
    let bob = server.review(&fresh(&BOB)).await.expect("an answer");
    assert_eq!(bob.reason().as_deref(), Some("policy_denied"), "IAM knows no bob: {}", bob.text);
    assert_eq!(world.iam.stats().asked, [("GetUser".to_owned(), "bob".to_owned())]);
}
