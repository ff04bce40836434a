//! The machine in trouble: no room where the audit log is, no file descriptors left.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{net::TcpStream, process::Command};

use super::{Bench, FAULT, Plan, output, procfs, run};

/// Connections that the server cannot take.
const TOO_MANY: usize = 64;
/// Descriptors that it has beyond those in use.
const SPARE: u64 = 4;

impl Bench<'_> {
    /// Nothing can be written: lines wait, and once the queue is full nobody is let in.
    pub(super) async fn full_disk(&mut self) -> anyhow::Result<()> {
        output::progress("the disk of the audit log is full");
        let audit = self.place.audit();
        // Every write to it fails as one to a full disk does (full(4)).
        fs::remove_file(&audit)?;
        symlink("/dev/full", &audit)?;
        self.open_log_anew()?;
        let plan = Plan { duration: FAULT, ..self.good(32) };
        let found = run::run(self.world, self.herald, &plan).await?;
        self.strangers += found.report.verdicts.wrong_identity as f64;
        self.answered("a full disk", &found.report);
        fs::remove_file(&audit)?;
        self.open_log_anew()?;
        self.afterwards("a full disk").await
    }

    /// More connections come than there are descriptors, logins among them.
    pub(super) async fn no_descriptors(&mut self) -> anyhow::Result<()> {
        output::progress("no file descriptors are left");
        let used = procfs::sample(self.herald.pid).context("it runs")?.descriptors;
        let before = self.limit(None).await?;
        self.limit(Some(&(used + SPARE).to_string())).await?;
        let idle = join_all((0..TOO_MANY).map(|_| TcpStream::connect(self.herald.address))).await;
        let plan = Plan { duration: FAULT, ..self.good(8) };
        let found = run::run(self.world, self.herald, &plan).await?;
        self.strangers += found.report.verdicts.wrong_identity as f64;
        drop(idle);
        self.limit(Some(&before)).await?;
        self.afterwards("no file descriptors").await
    }

    fn open_log_anew(&self) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.herald.pid.try_into()?), Signal::SIGHUP)?)
    }

    /// Its soft limit of descriptors, which becomes `soft` if there is one (prlimit(1)).
    async fn limit(&self, soft: Option<&str>) -> anyhow::Result<String> {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &self.herald.pid.to_string()]);
        match soft {
            Some(soft) => command.arg(format!("--nofile={soft}:")),
            None => command.args(["--nofile", "--noheadings", "--raw", "--output", "SOFT"]),
        };
        let output = command.output().await.context("prlimit")?;
        ensure!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
