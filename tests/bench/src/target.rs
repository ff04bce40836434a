//! Targets: the webhooks under test, how each is started, and when it is ready.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
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
mod place;

use config::{Config, HOSTILE, Mappings, Policies};
pub(crate) use place::{LOADED, Place, replace};

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
    /// Herald with the policy `session-groups` in front of the static mappings, and behind it one that never comes to an end, which
    /// is asked about attackers alone.
    HeraldAttacked,
    /// Herald with the policy `expression` in front of the static mappings.
    HeraldExpression,
    /// Herald with static mappings, and the limits towards STS that it has by itself.
    HeraldLimited,
    /// Herald with the policy `session-groups` in front of the static mappings.
    HeraldPolicy,
    /// Herald with static mappings, and a policy in shadow mode that never comes to an end.
    HeraldShadow,
    /// Herald with static mappings, and the policy `account-tiers` behind them, which has a table in a file.
    HeraldTable,
    /// Herald with ten policies around the static mappings: six ready-made ones, and four that break the rules.
    HeraldTenPolicies,
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
            Self::HeraldAttacked => "herald-attacked",
            Self::HeraldExpression => "herald-expression",
            Self::HeraldLimited => "herald-limited",
            Self::HeraldPolicy => "herald-policy",
            Self::HeraldShadow => "herald-shadow",
            Self::HeraldTable => "herald-table",
            Self::HeraldTenPolicies => "herald-ten-policies",
        }
    }

    /// How it names callers.
    pub(crate) fn naming(self) -> Naming {
        let by_policy = matches!(self, Self::HeraldAttacked | Self::HeraldExpression | Self::HeraldPolicy);
        if by_policy { Naming::Policy } else { Naming::Mapping }
    }

    /// Whose callers it takes.
    pub(crate) fn cloud(self) -> Cloud {
        if self == Self::HeraldAlibaba { Cloud::Alibaba } else { Cloud::Aws }
    }

    /// Whether this is the product and not a floor.
    pub(crate) fn is_herald(self) -> bool {
        !matches!(self, Self::FloorEcho | Self::FloorSts | Self::FloorCached)
    }

    /// Its policies, as they are at first.
    pub(crate) fn policies(self) -> Policies {
        match self {
            Self::HeraldAttacked => Policies::Attacked,
            Self::HeraldExpression => Policies::Expression { edition: 0 },
            Self::HeraldPolicy => Policies::One { edition: 0 },
            Self::HeraldShadow => Policies::Shadow,
            Self::HeraldTable => Policies::Table,
            Self::HeraldTenPolicies => Policies::Ten { hostile: HOSTILE[0] },
            _ => Policies::None,
        }
    }

    /// Its configuration with these mappings and policies.
    pub(crate) fn config(self, place: &Place, mappings: Mappings, policies: Policies) -> String {
        let limited = self == Self::HeraldLimited;
        Config { cloud: self.cloud(), limited, mappings, policies, components: &place.policies, audit: &place.audit() }
            .text()
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
            _ => return self.herald_arguments(place, &port),
        };
        Ok(words.into_iter().map(str::to_owned).collect())
    }

    fn herald_arguments(self, place: &Place, port: &str) -> anyhow::Result<Vec<String>> {
        let file = |name: &str| place.dir.join(name).display().to_string();
        let audit = place.audit();
        fs::create_dir_all(audit.parent().context("a file has a folder")?)?;
        fs::write(place.config(), self.config(place, place.mappings, self.policies()))?;
        for (name, text) in [(config::ACCOUNTS, &*config::accounts(0)), (config::GRANTS, "{}\n")] {
            fs::write(place.dir.join(name), text)?;
        }
        let (config, state, kubeconfig) =
            (file("config.yaml"), file("state"), place.kubeconfig().display().to_string());
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
        let rest = procfs::sample(pid);
        let rest = rest.with_context(|| format!("{} ended once it was ready\n{}", self.name(), tail(&log)))?;
        let start = Start { ready_ms, cpu_ms, rest };
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
