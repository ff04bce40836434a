//! What is measured of policies, by language: ready-made ones with settings, and what `herald policy new` writes.
//!
//! The host's criterion bench includes this file, so that both measure the same; it uses nothing of this crate.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// The caller's account; he is a session `alice` of the role [`ROLE`].
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ROLE: &str = "Admin";

/// The caller's ARN.
pub(crate) fn arn() -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/alice")
}

/// A policy with settings that name the caller, and what is hoped of it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) project: Project,
    pub(crate) settings: Value,
    /// Of one decision, the 50th percentile, in microseconds.
    pub(crate) decision: f64,
    /// Of the component's file, in kilobytes.
    pub(crate) size: Option<f64>,
}

/// Where a policy comes from.
pub(crate) enum Project {
    /// It is one of this repository's.
    ReadyMade(&'static str),
    /// `herald policy new` writes it; `tools` is where the language's own are installed.
    New { language: Language, tools: PathBuf },
}

/// A language that is not Rust.
#[derive(Clone, Copy)]
pub(crate) enum Language {
    Go,
    JavaScript,
    Python,
}

/// All of them, those in languages for which there are no `tools` left out.
pub(crate) fn subjects(tools: impl Fn(Language) -> Option<PathBuf>) -> Vec<Subject> {
    let rule = |role: &str| json!({"match": {"accounts": [ACCOUNT], "role": role}, "username": "{{SessionName}}", "groups": ["admins"]});
    // The caller's rule is the last.
    let roles: Vec<Value> = (0..4999).map(|n| rule(&format!("Role{n}"))).chain([rule(ROLE)]).collect();
    let expressions = json!({"rules": [
        {"match": format!("caller.accountId != '{ACCOUNT}'"), "deny": "'an account of strangers'"},
        {"match": "caller.name.matches('^ci-[a-z]+$')", "username": "'ci:' + caller.name", "groups": "['ci']"},
        {"match": format!("caller.name == '{ROLE}' && caller.sessionName.startsWith('a')"),
         "username": "'person:' + caller.sessionName.split('@')[0].lowerAscii()", "groups": "['dev'] + (now > 0 ? [] : ['oncall'])"},
    ]});
    let ready_made = |name, policy, settings, decision, size| {
        let project = Project::ReadyMade(policy);
        Subject { name, project, settings, decision, size }
    };
    let new = |name, language, decision| {
        let project = Project::New { language, tools: tools(language)? };
        let settings =
            json!({"account": ACCOUNT, "role": ROLE, "username": "dev:{{SessionName}}", "groups": ["developers"]});
        Some(Subject { name, project, settings, decision, size: None })
    };
    // One and a half times what a trial had measured.
    let new = [
        new("JavaScript policy", Language::JavaScript, 915.0),
        new("Python policy", Language::Python, 1950.0),
        new("Go policy", Language::Go, 346.0),
    ];
    let mut subjects = vec![
        ready_made("Rust policy", "session-groups", json!({"rules": [rule(ROLE)]}), 50.0, Some(100.0)),
        ready_made("Rust policy with 5,000 roles", "session-groups", json!({"rules": roles}), 60.0, None),
        ready_made("CEL policy", "expression", expressions, 200.0, Some(2000.0)),
    ];
    subjects.extend(new.into_iter().flatten());
    subjects
}

// === impl Project ===

impl Project {
    /// The project's folder; one that is new is made in `scratch`, by the command `herald policy`, with what it finds beside
    /// itself once it is installed.
    pub(crate) fn folder(&self, repository: &Path, scratch: &Path, mut herald: Command) -> anyhow::Result<PathBuf> {
        let (language, tools) = match self {
            Self::ReadyMade(name) => return Ok(repository.join("policies").join(name)),
            Self::New { language, tools } => (*language, tools),
        };
        let (name, sdk, installed) = match language {
            Language::Go => ("go", repository.join("sdk/go"), None),
            Language::JavaScript => ("js", tools.clone(), Some("node_modules/herald-policy")),
            Language::Python => ("python", repository.join("sdk/python"), Some(".venv")),
        };
        let project = scratch.join(format!("contractors-{name}"));
        herald.args(["new", "--lang", name]).arg(&project).arg("--sdk").arg(sdk);
        let status = herald.stdin(Stdio::null()).stdout(Stdio::null()).status().context("herald policy new")?;
        ensure!(status.success(), "herald policy new: {status}");
        if let Some(place) = installed {
            let link = project.join(place);
            fs::create_dir_all(link.parent().context("it has one")?)?;
            symlink(tools, link)?;
        }
        Ok(project)
    }
}
