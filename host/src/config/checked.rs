//! Checked: a file as `herald check-config` sees it, with all there is to say about it.

use std::{path::Path, time::SystemTime};

use super::{
    Config, ConfigError,
    build::Shared,
    entry::UserIds,
    error::{Position, Problem},
    finding::{CheckId, Finding, Findings, Severity},
    manifest::{self, OtherMap},
    read_text,
    remark::{Census, LeftOut},
    sources::dynamic_file,
    together::Origin,
};
use crate::{
    provider::Cloud,
    server::{self, certificate::trust},
};

/// A file as far as it can be read, and everything there is to say about it.
#[derive(Debug)]
pub struct Checked {
    /// What can be read of it. Not to be put in force if a finding refuses it.
    pub config: Config,
    /// All findings, by line.
    pub findings: Vec<Finding>,
    /// The first finding that refuses the file.
    pub(super) refusal: Option<Finding>,
    /// Where each of `server.policies` stands; none if they cannot be read.
    pub policies_at: Vec<Position>,
    /// No part of it is unknown because it could not be read.
    pub(super) readable: bool,
    /// Entries that are left out for what they say.
    pub left_out: Vec<LeftOut>,
    /// What its entries are.
    pub(super) origin: Origin,
    /// Where the texts stand that they are in, if lines are those of the texts.
    pub(super) outside: Option<Position>,
}

/// A file of any kind, and everything there is to say about it.
#[derive(Debug, Default)]
pub struct CheckedFile {
    /// Its text; empty if it cannot be read.
    pub text: String,
    /// All findings, by place.
    pub findings: Vec<Finding>,
    /// The configurations in it, and the manifests' mappings as if they were one.
    pub parts: Vec<Checked>,
    /// It holds mappings of Kubernetes objects.
    pub is_manifest: bool,
    /// Its ConfigMaps that hold none.
    pub(super) config_maps: Vec<OtherMap>,
}

// === impl CheckedFile ===

impl CheckedFile {
    /// Reads the file at `path`, whatever it is. Looks at no file that it names.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::read_for(Cloud::Aws, path)
    }

    /// The same, for a program whose tokens are of cloud `usual` where a configuration names none.
    #[must_use]
    pub fn read_for(usual: Cloud, path: &Path) -> Self {
        Self::read_as(path, |text| Self::parse_for(usual, path, text))
    }

    /// Reads the file of DynamicFile at `path`, whose entries match by unique id if `by_user_id`.
    #[must_use]
    pub fn read_dynamic_file(path: &Path, by_user_id: bool) -> Self {
        Self::read_as(path, |text| {
            let checked = dynamic_file::check(&text, UserIds::of(by_user_id));
            Self::of(text, checked)
        })
    }

    fn read_as(path: &Path, parse: impl FnOnce(String) -> Self) -> Self {
        match read_text(path) {
            Ok(text) => parse(text),
            Err(error) => {
                let what = match error {
                    ConfigError::Unreadable { cause, .. } => format!("cannot be read: {cause}"),
                    error => error.to_string(),
                };
                Self::unread(what, Severity::Error)
            }
        }
    }

    /// What cannot be read, with the reason. Nothing is known of what is in it.
    #[must_use]
    pub fn unread(what: String, severity: Severity) -> Self {
        let problem = Problem::new(TOP, what).id(CheckId::Unreadable);
        let finding = Finding { refuses: severity == Severity::Error, severity, ..Finding::error(problem) };
        let unread =
            Checked { readable: false, ..Checked::new(Config::default(), Findings::default(), Census::default()) };
        Self { findings: vec![finding], parts: vec![unread], ..Self::default() }
    }

    /// Reads `text` as what stands in `path`.
    #[must_use]
    pub fn parse(path: &Path, text: String) -> Self {
        Self::parse_for(Cloud::Aws, path, text)
    }

    /// The same, as [`read_for`](Self::read_for).
    #[must_use]
    pub fn parse_for(usual: Cloud, path: &Path, text: String) -> Self {
        manifest::check(usual, path, text)
    }

    /// Why it is not known whether further entries stand in it, a line each.
    pub fn unread_parts(&self) -> impl Iterator<Item = String> {
        let hides = self.findings.iter().filter(|finding| finding.hides_entries());
        hides.map(|finding| if finding.id == CheckId::Unreadable { finding.text() } else { finding.to_string() })
    }

    /// A file that is one part, read from `text`.
    pub(super) fn of(text: String, part: Checked) -> Self {
        Self { findings: part.findings.clone(), parts: vec![part], text, ..Self::default() }
    }

    /// Loads the policies that its configuration names, with what `shared` makes for them, unless it is refused anyway or
    /// stands in a manifest, whose paths are those of a container. Blocks.
    pub fn try_policies(&mut self, shared: impl Fn(&Config) -> Result<Shared, ConfigError>) {
        let [part] = self.parts.as_slice() else { return };
        if self.is_manifest || part.refusal.is_some() || part.config.policies.is_empty() {
            return;
        }
        for (index, error) in part.config.try_policies(shared) {
            let (at, path, what) = match error {
                ConfigError::Invalid { at, path, what, .. } => (Some(at), Some(path), what),
                ConfigError::Build { what, .. } | ConfigError::Policy { what, .. } => (None, None, what),
                error => (None, None, error.to_string()),
            };
            let of_policy = index.and_then(|index| part.policies_at.get(index)).copied();
            let at = at.or(of_policy).unwrap_or(TOP);
            let problem = Problem::new(at, what).id(CheckId::Policy);
            let problem = match index {
                Some(index) => problem.within(index, at).under("policies", at).under("server", at),
                None => problem,
            };
            let finding = Finding::error(problem);
            let path = path.unwrap_or_else(|| finding.path.clone());
            self.findings.push(Finding { refuses: true, severity: Severity::Error, path, ..finding });
        }
        self.findings.sort_by_key(|finding| finding.at);
    }
}

impl CheckedFile {
    /// Whether an API server that was started with the webhook kubeconfig of its configuration would trust the
    /// certificate in its state directory at `now`, if both are on this machine. `place` puts over the configuration
    /// what the server's command line says. Blocks.
    pub fn try_webhook(&mut self, now: SystemTime, place: impl Fn(&mut server::Config)) {
        let [part] = self.parts.as_slice() else { return };
        if self.is_manifest || part.origin != Origin::Configuration || part.refusal.is_some() {
            return;
        }
        let mut server = part.config.server.clone();
        place(&mut server);
        let Some(distrust) = trust::of_config(&server, now) else { return };
        let what = format!("{}: {distrust}", server.generate_kubeconfig.display());
        let problem = Problem::new(TOP, what).id(CheckId::WebhookTrust).under("generateKubeconfig", TOP);
        let finding = Finding::error(problem.under("server", TOP));
        self.findings.push(Finding { severity: Severity::Warning, ..finding });
    }
}

const TOP: Position = Position { line: 1, column: 1 };

// === impl Checked ===

impl Checked {
    pub(super) fn new(config: Config, findings: Findings, census: Census) -> Self {
        let refusal = findings.refusal().cloned();
        let (readable, left_out) = (refusal.is_none(), census.left_out);
        Self {
            config,
            findings: findings.finish(),
            refusal,
            policies_at: Vec::new(),
            readable,
            left_out,
            origin: Origin::default(),
            outside: None,
        }
    }
}
