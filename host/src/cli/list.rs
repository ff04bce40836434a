//! `herald list`: what the aws-auth ConfigMap of a cluster, or a file, maps, in the order in which it is asked.

use std::{io::Write, path::PathBuf, process::ExitCode};

use serde::Serialize;

use super::{called, cluster::Cluster, verify::Plain};
use crate::{
    cli::aws_auth::{CLUSTER_OPTIONS, Target},
    config::{Finding, edit::Listed},
};

/// List what the aws-auth ConfigMap of a cluster, or a file, maps, in the order in which it is asked.
///
/// Entries for roles come before entries for users, and accounts last: the first that names a caller counts.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    cluster: Cluster,
    /// List what a file maps, and no cluster: the manifest of an aws-auth ConfigMap, or a configuration of Herald's.
    #[arg(long, value_name = "FILE", conflicts_with_all = CLUSTER_OPTIONS)]
    file: Option<PathBuf>,
    /// Namespace of the ConfigMap.
    #[arg(long, default_value = "kube-system")]
    namespace: String,
    /// Name of the ConfigMap.
    #[arg(long, default_value = called::config_map())]
    name: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What `herald list` prints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    exists: bool,
    entries: Vec<Listed>,
    errors: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  herald list
  herald list --context prod -o json
  herald list --file aws-auth.yaml";

// === impl Command ===

impl Command {
    /// Writes every entry to `out`. Ends with 1 if a list cannot be read.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Self { cluster, file, namespace, name, .. } = self.clone();
        let target = Target { cluster, file, namespace, name, dry_run: true, prompt: None };
        let map = target.look()?;
        let exists = map.is_some();
        let (entries, unread) = map.unwrap_or_default().listed();
        let errors: Vec<String> = unread.iter().map(Finding::to_string).collect();
        let code = if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        let of_cluster = |text: &String| Some(text.clone()).filter(|_| self.file.is_none());
        let (namespace, name) = (of_cluster(&self.namespace), of_cluster(&self.name));
        let report = Report { file: self.file.clone(), namespace, name, exists, entries, errors };
        match self.output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, &report)?;
                writeln!(out)?;
            }
            Output::Text => report.write(&target.title(), out)?,
        }
        Ok(code)
    }
}

// === impl Report ===

impl Report {
    fn write(&self, title: &str, out: &mut impl Write) -> std::io::Result<()> {
        if !self.exists {
            writeln!(out, "{title}: is not there, and maps nobody")?;
        } else if self.entries.is_empty() && self.errors.is_empty() {
            writeln!(out, "{title}: maps nobody")?;
        }
        for entry in &self.entries {
            let Listed { list, line, principal, username, groups, not_after, left_out, .. } = entry;
            writeln!(out, "{list}, line {line}: {}", Plain(principal))?;
            if let Some(why) = left_out {
                writeln!(out, "  left out: {}", Plain(why))?;
                continue;
            }
            writeln!(out, "  username  {}", Plain(username))?;
            if !groups.is_empty() {
                writeln!(out, "  groups    {}", Plain(&groups.join(", ")))?;
            }
            if let Some(end) = not_after {
                writeln!(out, "  until     {end}")?;
            }
        }
        for error in &self.errors {
            writeln!(out, "error: {}", Plain(error))?;
        }
        Ok(())
    }
}
