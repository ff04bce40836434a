//! What scenarios share: the cluster, its mappings, and short words for common steps.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tests::{
    herald::{self, Finished, Server, Setup},
    now,
    sts::{Behaviour, Fault, Options, Person, Running},
    tokens::Draft,
};

/// The cluster's id.
pub(crate) const CLUSTER: &str = "prod.example.com";

/// Longest wait for what must happen by itself: much longer than it takes, as other tests want the processors too.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// The mappings of most scenarios: bob by his user, alice's and the deployers' roles with the session's name,
/// and one role of the derived callers.
pub(crate) const MAPPINGS: &str = r#"
  mapUsers:
  - userARN: arn:aws:iam::123456789012:user/bob
    username: bob
    groups: [operators, on-call]
  mapRoles:
  - roleARN: arn:aws:iam::123456789012:role/Developers
    username: "dev:{{SessionName}}"
    groups: [developers]
  - roleARN: arn:aws:iam::123456789012:role/Deployer
    username: "deploy:{{SessionName}}"
    groups: [deployers]
  - roleARN: arn:aws:iam::123456789012:role/platform/eu/Admins
    username: "platform:{{SessionName}}"
    groups: [platform]
  - roleARN: arn:aws:iam::111122223333:role/bench-role-000000
    username: "bench-role-000000:{{SessionName}}"
    groups: [bench]
"#;

/// A key under `server` for scenarios that hold memory to a budget: each thread has some of its own, and without this
/// there are as many as the machine's processors call for.
pub(crate) const ONE_WORKER: &str = "  workers: 1";

/// A configuration with [`MAPPINGS`] and more keys under `server`, each line indented by two spaces. Calls of STS have all the
/// time there is, unless `more` has an `sts` of its own.
pub(crate) fn config(more: &str) -> String {
    format!("clusterID: {CLUSTER}\nserver:{MAPPINGS}{more}\n{}\n", patience(more))
}

/// Limits of calls of STS that no machine is too slow for, for a server with the keys `more`.
pub(crate) fn patience(more: &str) -> &'static str {
    if more.contains("sts:") { "" } else { "  sts: {timeout: 30s, connectTimeout: 30s}" }
}

/// A dev STS that behaves.
pub(crate) async fn sts() -> Running {
    Running::start(Options::default()).await.expect("a dev STS")
}

/// A dev STS, and a server with [`MAPPINGS`] and `more` under `server`.
pub(crate) async fn start(more: &str) -> (Running, Server) {
    let sts = sts().await;
    let server = start_beside(&sts, &config(more)).await;
    (sts, server)
}

/// A server with any configuration.
pub(crate) async fn start_beside(sts: &Running, config: &str) -> Server {
    setup(sts, config).start().await.expect("a server")
}

/// A server that is not started yet.
pub(crate) fn setup(sts: &Running, config: &str) -> Setup {
    Setup::new(config).expect("a folder").with_sts(sts)
}

/// A good token of `person`; every call gives another one, as SigV4 has a grain of a second.
pub(crate) fn fresh(person: &Person) -> String {
    draft(person).token()
}

/// A good token of `person` before it is signed; every call gives another one. Seconds are counted back from a moment
/// that moves on by as many as are counted: from the present, two calls a second apart would give the same token, and
/// from one moment for all tests, the last of them would have old tokens. Who has been round once has another `X-Amz-Expires`.
pub(crate) fn draft(person: &Person) -> Draft {
    const COUNTED: u64 = 300;
    static FIRST: OnceLock<SystemTime> = OnceLock::new();
    static EARLIER: AtomicU64 = AtomicU64::new(0);
    let first = *FIRST.get_or_init(now);
    let since = now().duration_since(first).unwrap_or_default().as_secs();
    let moment = first + Duration::from_secs(since / COUNTED * COUNTED);
    let earlier = EARLIER.fetch_add(1, Relaxed);
    let expires = Some((60 + earlier / COUNTED % COUNTED).to_string());
    Draft { expires, ..Draft::new(person, CLUSTER, moment - Duration::from_secs(earlier % COUNTED)) }
}

/// Turns the knobs of `sts` for one login of `person`, then turns them back.
pub(crate) async fn login_with(
    sts: &Running,
    server: &Server,
    knobs: impl Into<Behaviour>,
    person: &Person,
) -> herald::Answer {
    sts.sts.set(knobs);
    let answer = server.review(&fresh(person)).await.expect("an answer");
    sts.sts.set(Fault::None);
    answer
}

/// The environment of a person at a terminal, with no metadata service and an empty home.
pub(crate) fn terminal(person: &Person, home: &std::path::Path) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> =
        person.environment().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let others = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", "us-east-1"),
        ("HOME", home.to_str().expect("UTF-8")),
        ("PATH", &path),
    ];
    environment.extend(others.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment
}

/// Runs `herald token -i CLUSTER` and more.
pub(crate) async fn herald_token(more: &[&str], environment: &[(String, String)]) -> Finished {
    let arguments = [&["token", "-i", CLUSTER], more].concat();
    let environment = environment.iter().map(|(name, value)| (name, value));
    herald::run(&arguments, environment).await.expect("herald runs")
}

/// Waits for `done`, at most [`SOON`].
pub(crate) async fn until(done: impl AsyncFn() -> bool) {
    until_within(SOON, done).await;
}

/// Waits for `done`, at most `limit`.
pub(crate) async fn until_within(limit: Duration, done: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(limit, async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("soon");
}

/// Waits until a load has had more than `count` answers: how fast they come is the machine's matter.
pub(crate) async fn until_asked(asked: &AtomicUsize, count: usize) {
    until_within(2 * SOON, async || asked.load(Relaxed) > count).await;
}

/// The count of decisions with a reason.
pub(crate) async fn decisions(server: &Server, outcome: &str, reason: &str) -> f64 {
    let series = format!("herald_decisions_total{{provider=\"aws\",outcome=\"{outcome}\",reason=\"{reason}\"}}");
    server.metric(&series).await.expect("metrics").unwrap_or_default()
}
