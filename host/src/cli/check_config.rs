//! `herald check-config`: everything that is wrong with configuration and mapping files, before they are in force.
//!
//! The findings are the server's own: the code that reads a file for it reads it here.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::{
    Globals,
    called::Name,
    cluster::{self, Cluster},
    policy,
};
use crate::{
    config::{
        CheckedFile, Finding, Severity, live_manifest,
        lockout::{self, Administrators},
        together,
    },
    provider::Cloud,
    server,
};

mod sarif;
mod text;

/// Say all that is wrong with configuration and mapping files, at once.
///
/// Files are Herald's configurations, files of DynamicFile, and manifests as `kubectl get -o yaml` prints them: aws-auth
/// ConfigMaps, IAMIdentityMappings, ConfigMaps that hold a configuration, and tables of policies. They are judged together, in the order in
/// which the configuration has its sources asked, and as they are now. Policies that a configuration names are loaded
/// too; and where the server's webhook kubeconfig and its certificate are on this machine, they are compared. With --cluster, what maps callers in a cluster is checked with them: lines are those within an object's text or
/// `spec`, and the object is named. Nothing is written, and no cloud is asked.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Command {
    /// Files to check; `-` is stdin [default: the file of --config].
    #[arg(value_name = "FILES")]
    pub files: Vec<PathBuf>,
    /// Check aws-auth, alibabacloud-auth, the IAMIdentityMappings and the RAMIdentityMappings of a cluster too. Any option that names a
    /// cluster means this as well.
    #[arg(long = "cluster")]
    pub live: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Exit with 1 for warnings too.
    #[arg(long)]
    pub deny_warnings: bool,
    /// Folder of the server's `cert.pem`, where the server's command line names it, as that of a DaemonSet does.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The webhook kubeconfig, where the server's command line names it.
    #[arg(long, value_name = "FILE")]
    pub generate_kubeconfig: Option<PathBuf>,
    /// Leave the policies alone that a configuration names.
    #[arg(long)]
    pub no_policies: bool,
    /// Group of administrators that somebody has to get; may be given more than once [default: system:masters].
    #[arg(long = "admin-group", value_name = "GROUP")]
    pub admin_groups: Vec<String>,
}

/// What `herald check-config` prints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Output {
    /// For people, with the lines that are meant.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// For code scanning: SARIF 2.1.0.
    Sarif,
}

/// A finding and its file.
#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    key: &'a str,
    check: &'a str,
    severity: Severity,
    refused: bool,
    message: &'a str,
    fix: Option<&'a str>,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Report<'a> {
    findings: Vec<Row<'a>>,
    errors: usize,
    warnings: usize,
    notes: usize,
}

/// A file by the name it has in the output.
struct Named {
    name: String,
    file: CheckedFile,
}

/// What stands for "read it from stdin".
const STDIN: &str = "-";
/// What stdin is called in the output.
const STDIN_NAME: &str = "stdin";
/// Longest text that is read from stdin, in bytes.
const MAX_STDIN: u64 = 32 << 20;
const AFTER_HELP: &str = "\
Severities:
  error    not in force: the entry is left out, or the server refuses the file
  warning  in force, and probably not what was meant
  note     worth knowing

Exit codes:
  0  no error (and no warning, with --deny-warnings)
  1  errors, or warnings with --deny-warnings
  2  the command line is wrong

Examples:
  herald check-config herald.yaml
  herald check-config --deny-warnings -o sarif herald.yaml > herald.sarif
  herald check-config --admin-group ops:admins herald.yaml aws-auth.yaml
  herald check-config --cluster herald.yaml
  herald check-config --state-dir /srv/herald --generate-kubeconfig /srv/herald/kubeconfig.yaml herald.yaml
  kubectl get configmap aws-auth -n kube-system -o yaml | herald check-config -";

// === impl Command ===

impl Command {
    /// Checks the files and writes what is found to `out`. Without files that is the one of `--config`.
    ///
    /// # Errors
    ///
    /// When there is nothing to check, no credentials for the cluster are to be had, or the output cannot be written.
    /// What cannot be read is a finding.
    pub fn run(&self, globals: &Globals, stdin: impl Read, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let files = self.read(globals, stdin)?;
        match self.output {
            Output::Json => json(&files, out)?,
            Output::Sarif => sarif::write(&files, out)?,
            Output::Text => text::write(&files, out)?,
        }
        let limit = if self.deny_warnings { Severity::Warning } else { Severity::Error };
        let bad = findings(&files).any(|(_, finding)| finding.severity >= limit);
        Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn read(&self, globals: &Globals, mut stdin: impl Read) -> anyhow::Result<Vec<Named>> {
        let default = globals.config.clone().filter(|_| self.files.is_empty());
        let paths: Vec<&PathBuf> = self.files.iter().chain(&default).collect();
        let live = self.live || self.cluster.is_named();
        ensure!(live || !paths.is_empty(), "which files? Name them, or give --config or --cluster");
        let usual = globals.name.cloud().unwrap_or(Cloud::Aws);
        let (mut names, mut files) = (Vec::new(), Vec::new());
        for path in paths {
            if path.as_os_str() == STDIN {
                let mut text = String::new();
                stdin.by_ref().take(MAX_STDIN + 1).read_to_string(&mut text).context("cannot read stdin")?;
                names.push(STDIN_NAME.to_owned());
                files.push(if text.len() as u64 > MAX_STDIN {
                    // What is behind that may hold errors too.
                    let what = format!("cannot be read: larger than {} MiB", MAX_STDIN >> 20);
                    CheckedFile::unread(what, Severity::Error)
                } else {
                    CheckedFile::parse_for(usual, Path::new(STDIN_NAME), text)
                });
            } else {
                names.push(path.display().to_string());
                files.push(CheckedFile::read_for(usual, path));
            }
        }
        if live {
            for (name, file) in cluster::run(async { Ok(live_manifest::checked(&self.cluster.client().await?).await) })?
            {
                names.push(name);
                files.push(file);
            }
            ensure!(
                !files.is_empty(),
                "the cluster has neither aws-auth nor alibabacloud-auth, and no IAMIdentityMapping or RAMIdentityMapping"
            );
        }
        together::match_as_configured(&mut files);
        if !self.no_policies {
            files.iter_mut().for_each(|file| file.try_policies(policy::shared));
        }
        let now = super::now();
        files.iter_mut().for_each(|file| file.try_webhook(now, |server| self.place(globals.name, server)));
        let nobody = lockout::check(&files, &Administrators(self.admin_groups.clone()), now);
        for (file, finding) in nobody.into_iter().chain(together::check(&files, now)) {
            files[file].findings.push(finding);
        }
        for file in &mut files {
            file.findings.sort_by_key(|finding| finding.at);
        }
        Ok(std::iter::zip(names, files).map(|(name, file)| Named { name, file }).collect())
    }

    /// Where the server looks for its files.
    fn place(&self, name: Name, server: &mut server::Config) {
        name.place(server);
        if let Some(folder) = &self.state_dir {
            server.state_dir.clone_from(folder);
        }
        if let Some(file) = &self.generate_kubeconfig {
            server.generate_kubeconfig.clone_from(file);
        }
    }
}

/// Every finding, with its file.
fn findings(files: &[Named]) -> impl Iterator<Item = (&Named, &Finding)> {
    files.iter().flat_map(|named| named.file.findings.iter().map(move |finding| (named, finding)))
}

/// How many findings there are of each severity.
fn counts(files: &[Named]) -> BTreeMap<Severity, usize> {
    let mut counts = BTreeMap::new();
    for (_, finding) in findings(files) {
        *counts.entry(finding.severity).or_default() += 1;
    }
    counts
}

fn json(files: &[Named], out: &mut impl Write) -> anyhow::Result<()> {
    let counts = counts(files);
    let count = |severity| counts.get(&severity).copied().unwrap_or_default();
    let report = Report {
        findings: findings(files).map(|(named, finding)| Row::of(named, finding)).collect(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        notes: count(Severity::Note),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    Ok(writeln!(out)?)
}

// === impl Row ===

impl<'a> Row<'a> {
    fn of(named: &'a Named, finding: &'a Finding) -> Self {
        Self {
            file: &named.name,
            line: finding.at.line,
            column: finding.at.column,
            key: &finding.path,
            check: finding.id.as_str(),
            severity: finding.severity,
            refused: finding.refuses,
            message: &finding.message,
            fix: finding.fix.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
