//! `herald list`: what the aws-auth ConfigMap of a cluster maps, in the order in which it is asked.

use std::{io::Write, process::ExitCode};

use serde::Serialize;

use super::{called, cluster::Cluster, verify::Plain};
use crate::{
    cli::aws_auth::Target,
    config::{Finding, edit::Listed},
};

/// List what the aws-auth ConfigMap of a cluster maps, in the order in which it is asked.
///
/// Entries for roles come before entries for users, and accounts last: the first that names a caller counts.
#[derive(clap::Args, Debug)]
pub struct Command {
    #[command(flatten)]
    cluster: Cluster,
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
    namespace: String,
    name: String,
    exists: bool,
    entries: Vec<Listed>,
    errors: Vec<String>,
}

// === impl Command ===

impl Command {
    /// Writes every entry to `out`. Ends with 1 if a list cannot be read.
    ///
    /// # Errors
    ///
    /// When the cluster does not let it be read.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Self { cluster, namespace, name, .. } = self;
        let (cluster, namespace, name) = (cluster.clone(), namespace.clone(), name.clone());
        let target = Target { cluster, namespace, name, dry_run: true, prompt: None };
        let map = target.look()?;
        let exists = map.is_some();
        let (entries, unread) = map.unwrap_or_default().listed();
        let errors: Vec<String> = unread.iter().map(Finding::to_string).collect();
        let code = if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        let report = Report { namespace: self.namespace.clone(), name: self.name.clone(), exists, entries, errors };
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
