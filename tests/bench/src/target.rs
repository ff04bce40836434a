//! Targets: the webhooks under test, how each is started, and when it is ready.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    load::client::status_of,
    procfs,
    traffic::{Cloud, Naming},
};

pub(crate) mod config;

use config::{Mappings, Policies};

/// One webhook to measure.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// The floor that parses the TokenReview and answers a fixed identity.
    FloorEcho,
    /// The floor with one STS call for each login.
    FloorSts,
    /// The floor that keeps answers by the token's SHA-256.
    FloorCached,
    /// Herald with static mappings.
    Herald,
    /// The same for callers of Alibaba Cloud.
    HeraldAlibaba,
    /// Herald with the policy `session-groups` in front of the static mappings.
    HeraldPolicy,
    /// Herald with ten policies around the static mappings: four that know nobody, and six that break the rules.
    HeraldTenPolicies,
}

/// Where a target runs and what it may use.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its program.
    pub(crate) binary: PathBuf,
    /// A program that takes its command line as the last arguments and becomes it, such as unshare(1), and the arguments
    /// in front of those; none: it is started by itself.
    pub(crate) wrapper: Vec<String>,
    /// Its state folder. A second start in the same folder finds what the first one left.
    pub(crate) dir: PathBuf,
    /// Its mapping table.
    pub(crate) mappings: Mappings,
    /// The component of `session-groups`, for targets with policies.
    pub(crate) policy: PathBuf,
    /// The component of `hostile`, for [`Target::HeraldTenPolicies`].
    pub(crate) hostile: PathBuf,
    /// The production settings that lead its STS calls to its dev STS.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// CPUs it may use; none means all.
    pub(crate) cpus: Vec<usize>,
}

/// A target that runs and is ready. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    /// Which one.
    pub(crate) target: Target,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
    /// How its start went.
    pub(crate) start: Start,
    child: Child,
}

/// How one start went.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Start {
    /// From spawn to the first 200 on the ready path, in milliseconds.
    pub(crate) ready_ms: f64,
    /// CPU time used by then, in milliseconds; 10 ms steps.
    pub(crate) cpu_ms: f64,
    /// Half a second after it was ready.
    pub(crate) rest: procfs::Sample,
}

// === impl Target ===

impl Target {
    /// The floor and Herald, each as a login needs it.
    pub(crate) const PAIR: [Self; 2] = [Self::FloorSts, Self::Herald];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FloorEcho => "floor-echo",
            Self::FloorSts => "floor-sts",
            Self::FloorCached => "floor-cached",
            Self::Herald => "herald",
            Self::HeraldAlibaba => "herald-alibaba",
            Self::HeraldPolicy => "herald-policy",
            Self::HeraldTenPolicies => "herald-ten-policies",
        }
    }

    /// How it names callers.
    pub(crate) fn naming(self) -> Naming {
        if self == Self::HeraldPolicy { Naming::Policy } else { Naming::Mapping }
    }

    /// Whose callers it takes.
    pub(crate) fn cloud(self) -> Cloud {
        if self == Self::HeraldAlibaba { Cloud::Alibaba } else { Cloud::Aws }
    }

    /// Whether this is the product and not a floor.
    pub(crate) fn is_herald(self) -> bool {
        matches!(self, Self::Herald | Self::HeraldAlibaba | Self::HeraldPolicy | Self::HeraldTenPolicies)
    }

    /// The path that answers 200 once it is ready.
    fn ready_path(self) -> &'static str {
        if self.is_herald() { "/readyz" } else { "/healthz" }
    }

    fn arguments(self, place: &Place, port: u16) -> anyhow::Result<Vec<String>> {
        let port = port.to_string();
        let words = match self {
            Self::FloorEcho => vec!["--mode", "echo", "--port", &port],
            Self::FloorSts => vec!["--mode", "sts", "--port", &port],
            Self::FloorCached => vec!["--mode", "cached", "--port", &port],
            Self::Herald | Self::HeraldAlibaba | Self::HeraldPolicy | Self::HeraldTenPolicies => {
                return self.herald_arguments(place, &port);
            }
        };
        Ok(words.into_iter().map(str::to_owned).collect())
    }

    fn herald_arguments(self, place: &Place, port: &str) -> anyhow::Result<Vec<String>> {
        let file = |name: &str| place.dir.join(name).display().to_string();
        let policies = match self {
            Self::HeraldPolicy => Policies::One(&place.policy),
            Self::HeraldTenPolicies => Policies::Ten { good: &place.policy, hostile: &place.hostile },
            _ => Policies::None,
        };
        // Not beside the configuration, whose folder Herald watches for changes.
        let audit = place.dir.join("audit");
        fs::create_dir_all(&audit)?;
        fs::write(
            file("config.yaml"),
            config::herald(self.cloud(), &place.mappings, policies, &audit.join("audit.jsonl")),
        )?;
        let (config, state, kubeconfig) = (file("config.yaml"), file("state"), file("webhook.kubeconfig"));
        let words = ["server", "--config", &config, "--state-dir", &state, "--generate-kubeconfig", &kubeconfig];
        Ok(words.into_iter().chain(["--port", port]).map(str::to_owned).collect())
    }

    /// Starts it and waits until it is ready, then half a second more for its memory at rest.
    ///
    /// # Errors
    ///
    /// When it does not start, ends, or is not ready within a minute; its log is named.
    pub(crate) async fn start(self, place: &Place) -> anyhow::Result<Running> {
        fs::create_dir_all(&place.dir)?;
        let port = free_port().await?;
        let mut words = place.wrapper.iter().map(OsStr::new).chain([place.binary.as_os_str()]);
        let mut command = Command::new(words.next().context("no program")?);
        command.args(words).args(self.arguments(place, port)?).env_clear().kill_on_drop(true);
        command.env("HOME", &place.dir).envs(place.environment.iter().map(|(name, value)| (name, value)));
        let log = place.dir.join("log");
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);

        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.name()))?;
        let pid = child.id().context("it has just been started")?;
        procfs::pin(pid, &place.cpus)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while !is_ready(address, self.ready_path()).await {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended: {status}\n{}", self.name(), tail(&log));
            }
            if began.elapsed() > START_LIMIT {
                bail!("{} is not ready within {START_LIMIT:?}\n{}", self.name(), tail(&log));
            }
            sleep(READY_PERIOD).await;
        }
        let ready_ms = began.elapsed().as_secs_f64() * 1000.0;
        let cpu_ms = procfs::cpu_ms(pid).unwrap_or(0.0);
        sleep(REST).await;
        let start = Start { ready_ms, cpu_ms, rest: procfs::sample(pid).unwrap_or_default() };
        Ok(Running { target: self, address, pid, start, child })
    }
}

async fn is_ready(address: SocketAddr, path: &str) -> bool {
    matches!(timeout(Duration::from_secs(2), status_of(address, path)).await, Ok(Ok(200)))
}

async fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port())
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

// === impl Running ===

impl Running {
    /// Asks it to end, as the kubelet would, and waits; kills it after two seconds.
    pub(crate) async fn stop(mut self) {
        if let Ok(pid) = self.pid.try_into() {
            // A process that has ended already needs no signal.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if timeout(Duration::from_secs(2), self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Path of the TokenReview endpoint.
pub(crate) const ROUTE: &str = "/authenticate";
/// Longest wait for a start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting target is asked whether it is ready.
const READY_PERIOD: Duration = Duration::from_millis(1);
/// From ready to the reading of memory at rest.
const REST: Duration = Duration::from_millis(500);
