//! Unmodified kubectl with one kubeconfig and a home of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tests::{
    herald::{Finished, finish},
    tools::program,
};
use tokio::process::Command;

use crate::world::until;

/// Somebody's kubectl.
#[derive(Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: Arc<tempfile::TempDir>,
    environment: Vec<(String, String)>,
}

// === impl Kubectl ===

impl Kubectl {
    /// With a kubeconfig, or one in its home that is not there yet.
    pub(crate) fn new(program: PathBuf, kubeconfig: Option<PathBuf>) -> Self {
        let home = tempfile::Builder::new().prefix("home-").tempdir().expect("a folder");
        let environment = vec![("HOME".to_owned(), home.path().display().to_string())];
        let path = std::env::var("PATH").unwrap_or_default();
        let kubeconfig = kubeconfig.unwrap_or_else(|| home.path().join("config"));
        Self { program, kubeconfig, home: home.into(), environment }.env("PATH", &path)
    }

    /// With one more environment variable, or another value of it.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without an environment variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self
    }

    /// With another kubeconfig.
    pub(crate) fn with_kubeconfig(mut self, text: &str) -> Self {
        self.kubeconfig = self.home().join("other.kubeconfig");
        std::fs::write(&self.kubeconfig, text).expect("a file");
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// `kubectl`, to be given more arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--kubeconfig").arg(&self.kubeconfig).current_dir(self.home());
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command();
        command.args(arguments);
        finish(command).await.expect("kubectl runs")
    }

    /// What a command that goes well prints.
    pub(crate) async fn get(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments).await.success();
        finished.unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error:#}")).stdout
    }

    /// What a command with `-o json` prints.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.get(&[arguments, &["-o", "json"]].concat()).await).expect("JSON")
    }

    /// Applies a manifest.
    pub(crate) async fn apply(&self, manifest: &str) {
        let file = tempfile::NamedTempFile::new_in(self.home()).expect("a file");
        std::fs::write(file.path(), manifest).expect("written");
        self.get(&["apply", "-f", file.path().to_str().expect("UTF-8")]).await;
    }

    /// Edits an object as with an editor: by a sed script.
    pub(crate) async fn edit(&self, object: &[&str], script: &str) {
        let editor = self.home().join("editor");
        program(&editor, &format!("#!/bin/sh\nexec sed -i '{script}' \"$1\"\n"));
        let editor = editor.display().to_string();
        self.clone().env("KUBE_EDITOR", &editor).get(&[&["edit"], object].concat()).await;
    }

    /// Who the API server says this is, as `kubectl auth whoami` tells, or all that it says instead.
    pub(crate) async fn whoami(&self) -> Result<Value, Finished> {
        let finished = self.run(&["auth", "whoami", "-o", "json"]).await;
        if finished.code != Some(0) {
            return Err(finished);
        }
        let review: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        Ok(review["status"]["userInfo"].clone())
    }

    /// The username; nothing when the API server does not let this one in.
    pub(crate) async fn name(&self) -> Option<String> {
        match self.whoami().await {
            Ok(user) => Some(user["username"].as_str().expect("a name").to_owned()),
            Err(finished) => {
                assert!(is_unauthorized(&finished), "{finished:?}");
                None
            }
        }
    }

    /// Waits until this is who the API server says.
    pub(crate) async fn becomes(&self, name: Option<&str>) {
        until(async || self.name().await.as_deref() == name).await;
    }
}

/// Whether kubectl was told that nobody knows it: HTTP 401.
pub(crate) fn is_unauthorized(finished: &Finished) -> bool {
    let told = ["You must be logged in to the server", "the server has asked for the client to provide credentials"];
    finished.code == Some(1) && told.iter().any(|words| finished.stderr.contains(words))
}

/// Whether kubectl was told that it may not: HTTP 403.
pub(crate) fn is_forbidden(finished: &Finished) -> bool {
    finished.code == Some(1) && finished.stderr.contains(" is forbidden: User ")
}
