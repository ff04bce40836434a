//! What the cluster has to say about a decision: bindings of RBAC, and entries of live sources that nearly match.
//!
//! Failure rule: a cluster that cannot be asked is told as that, and the rest of the answer stands.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::time::timeout;

use super::{Command, Explanation, caller_of, cluster};
use crate::{
    caller::Caller,
    cli::verify::Plain,
    config::{CheckedFile, Config, Source, live_manifest},
    kubernetes::{
        Client, UserInfo,
        rbac::{self, Binding, MASTERS, NODES},
        watch::{Access, ApiError},
    },
    provider::Cloud,
};

/// What RBAC has for the user of a decision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rbac {
    /// The bindings that name the user or a group of it.
    bindings: Vec<Binding>,
    /// What is true besides, or why nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Whether the cluster could be asked.
    known: bool,
}

/// Longest wait for everything that the cluster is asked.
const ANSWERS: Duration = Duration::from_secs(10);
/// Most bindings that are shown to people.
const MAX_SHOWN: usize = 50;

// === impl Command ===

impl Command {
    /// Adds what the cluster knows, as far as it is asked for.
    pub(super) fn ask_cluster(
        &self,
        config: &Config,
        explanation: &mut Explanation,
        now: SystemTime,
    ) -> anyhow::Result<()> {
        let Some(record) = &explanation.record else { return Ok(()) };
        let asked = self.rbac || self.cluster.is_named();
        let own = config.kubernetes == Access::default() && !self.is_in_a_pod();
        let user = record["user"].as_object().filter(|_| asked);
        let user: Option<UserInfo> = user.and_then(|user| serde_json::from_value(user.clone().into()).ok());
        let unmapped = record["reason"] == "not_mapped"
            && (asked || !own)
            && config.sources.iter().any(|source| object_of(source, config.clouds()).is_some());
        let caller = caller_of(record).filter(|_| unmapped);
        if user.is_none() && caller.is_none() {
            return Ok(());
        }
        let access = if own { self.cluster.access() } else { config.kubernetes.clone() };
        cluster::run(async {
            let client = match Client::new(&access).await {
                Ok(client) => client,
                Err(error) => {
                    explanation.rbac = user.map(|_| Rbac::unknown(&error));
                    if let Some(caller) = caller {
                        explanation.look_through_cluster(Err(error), config, &caller, now);
                    }
                    return Ok(());
                }
            };
            if let Some(user) = user {
                explanation.rbac = Some(match timeout(ANSWERS, rbac::bindings(&client, &user)).await {
                    Ok(Ok(bindings)) => Rbac::of(bindings, &user),
                    Ok(Err(error)) => Rbac::unknown(&error),
                    Err(_) => Rbac::unknown(&ApiError::Timeout),
                });
            }
            if let Some(caller) = caller {
                let found = timeout(ANSWERS, live_manifest::checked(&client)).await.map_err(|_| ApiError::Timeout);
                explanation.look_through_cluster(found, config, &caller, now);
            }
            Ok(())
        })
    }

    /// The pod's own account is meant where there is no other.
    fn is_in_a_pod(&self) -> bool {
        !self.cluster.is_named() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    }
}

// === impl Explanation ===

impl Explanation {
    /// Looks for entries that nearly name `caller` in what was `found` in the cluster, as far as `config` asks it.
    fn look_through_cluster(
        &mut self,
        found: Result<Vec<(String, CheckedFile)>, ApiError>,
        config: &Config,
        caller: &Caller,
        now: SystemTime,
    ) {
        let asked: Vec<_> = config.sources.iter().filter_map(|source| object_of(source, config.clouds())).collect();
        match found {
            Ok(files) => {
                for (name, file) in files {
                    if asked.iter().any(|object| name.ends_with(object)) {
                        self.look_through(&name, &file, caller, now);
                    }
                }
            }
            Err(error) => self.unread.push(format!("the cluster's mappings: {}", causes(&error))),
        }
        self.advise_unmapped(caller);
    }
}

/// How the name of what a source reads in the cluster ends, where tokens of `clouds` are accepted.
fn object_of(source: &Source, clouds: &[Cloud]) -> Option<&'static str> {
    match source.read_as(clouds) {
        Source::AckConfigMap => Some("/alibabacloud-auth"),
        Source::Crd => Some("iamidentitymappings.iamauthenticator.k8s.aws"),
        Source::EksConfigMap => Some("/aws-auth"),
        Source::RamIdentityMapping => Some("ramidentitymappings.ramauthenticator.k8s.alibabacloud"),
        Source::DynamicFile | Source::MountedFile | Source::Policy(_) => None,
    }
}

// === impl Rbac ===

impl Rbac {
    fn of(bindings: Vec<Binding>, user: &UserInfo) -> Self {
        let mut notes = Vec::new();
        let is_in = |group: &str| user.groups.iter().any(|other| other == group);
        if is_in(MASTERS) {
            notes.push(format!("the group {MASTERS} may do everything, whatever bindings say"));
        }
        if is_in(NODES) {
            notes.push(format!("the Node authorizer judges the group {NODES}, beside RBAC"));
        }
        if bindings.is_empty() && notes.is_empty() {
            notes.push("no binding names this user or its groups: authenticated, but RBAC will answer 403".to_owned());
        }
        Self { bindings, notes, known: true }
    }

    fn unknown(error: &dyn std::error::Error) -> Self {
        Self { bindings: Vec::new(), notes: vec![format!("not known: {}", causes(error))], known: false }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "rbac")?;
        for binding in self.bindings.iter().take(MAX_SHOWN) {
            let Binding { kind, namespace, name, role_kind, role, subject } = binding;
            let place = namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
            let line = format!("{kind} {place}{name}: {role_kind} {role}, by {subject}");
            writeln!(out, "  {}", Plain(&line))?;
        }
        if self.bindings.len() > MAX_SHOWN {
            writeln!(out, "  and {} more", self.bindings.len() - MAX_SHOWN)?;
        }
        for note in &self.notes {
            writeln!(out, "  {}", Plain(note))?;
        }
        Ok(())
    }
}

/// An error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config::Severity, mapping::rule::tests::caller};

    /// Who reads that an entry is to be added believes that there is none.
    #[test]
    fn what_could_not_be_looked_through_is_told() {
        #[track_caller]
        fn check(found: Result<Vec<(String, CheckedFile)>, ApiError>, unread: &[&str]) {
            let config = Config { sources: vec![Source::EksConfigMap], ..Config::default() };
            let caller = caller("arn:aws:sts::123456789012:assumed-role/Dev/alice");
            let mut explanation = Explanation::default();
            explanation.look_through_cluster(found, &config, &caller, SystemTime::UNIX_EPOCH);
            assert_eq!(explanation.unread, unread);
            let fix = explanation.fix.clone().expect("there is no near miss");
            assert_eq!(fix.starts_with("add an entry"), unread.is_empty(), "{fix}");
            assert_eq!(explanation.json()["notRead"].as_array().map_or(0, Vec::len), unread.len());
        }
        let aws_auth = || "kube-system/configmaps/aws-auth".to_owned();
        let text = |roles: &str| {
            let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\ndata:\n";
            CheckedFile::parse(Path::new("aws-auth"), format!("{head}  mapRoles: |\n    {roles}\n"))
        };
        let unread = |what: &str| CheckedFile::unread(format!("cannot be read: {what}"), Severity::Warning);
        check(Ok(Vec::new()), &[]);
        check(Ok(vec![(aws_auth(), text("[]"))]), &[]);
        check(Ok(vec![(aws_auth(), text("- {rolearn: x, username: a}"))]), &[]);
        check(Ok(vec![("iamidentitymappings.iamauthenticator.k8s.aws".to_owned(), unread("nobody asks it"))]), &[]);
        check(Err(ApiError::Timeout), &["the cluster's mappings: the API server does not answer"]);
        let forbidden = "kube-system/configmaps/aws-auth: cannot be read: 403";
        check(Ok(vec![(aws_auth(), unread("403"))]), &[forbidden]);
        let broken = "kube-system/configmaps/aws-auth: line 6: the whole list is left out: expected a list, found text \
                      (data.mapRoles)";
        check(Ok(vec![(aws_auth(), text("nonsense"))]), &[broken]);
    }

    #[test]
    fn crd_is_looked_for_where_the_server_reads_it() {
        let (iam, ram) =
            ("iamidentitymappings.iamauthenticator.k8s.aws", "ramidentitymappings.ramauthenticator.k8s.alibabacloud");
        let rows: [(&[Cloud], _); 3] =
            [(&[Cloud::Aws], iam), (&[Cloud::Aws, Cloud::Alibaba], iam), (&[Cloud::Alibaba], ram)];
        for (clouds, expected) in rows {
            assert_eq!(object_of(&Source::Crd, clouds), Some(expected), "{clouds:?}");
        }
    }
}
