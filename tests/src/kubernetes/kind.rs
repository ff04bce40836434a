//! The kinds that the fake knows, and where they stand in URLs.

use std::collections::BTreeSet;

use super::Key;

/// A kind of object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// RBAC without a namespace.
    ClusterRoleBinding,
    /// `aws-auth` and its namesakes.
    ConfigMap,
    /// What `kubectl describe` and `kubectl get events` show.
    Event,
    /// `IAMIdentityMapping`.
    Identity,
    /// Who leads.
    Lease,
    /// `PolicyTable`.
    PolicyTable,
    /// `RAMIdentityMapping`.
    RamIdentity,
    /// RBAC in a namespace.
    RoleBinding,
}

const ALL: [Kind; 8] = [
    Kind::ClusterRoleBinding,
    Kind::ConfigMap,
    Kind::Event,
    Kind::Identity,
    Kind::Lease,
    Kind::PolicyTable,
    Kind::RamIdentity,
    Kind::RoleBinding,
];
/// The namespace of what has one and is not told another.
const NAMESPACE: &str = "kube-system";

// === impl Kind ===

impl Kind {
    /// Kind, `apiVersion` and name in URLs.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        const RBAC: &str = "rbac.authorization.k8s.io/v1";
        match self {
            Self::ClusterRoleBinding => ("ClusterRoleBinding", RBAC, "clusterrolebindings"),
            Self::ConfigMap => ("ConfigMap", "v1", "configmaps"),
            Self::Event => ("Event", "v1", "events"),
            Self::Identity => ("IAMIdentityMapping", "iamauthenticator.k8s.aws/v1alpha1", "iamidentitymappings"),
            Self::Lease => ("Lease", "coordination.k8s.io/v1", "leases"),
            Self::PolicyTable => ("PolicyTable", "herald.dev/v1alpha1", "policytables"),
            Self::RamIdentity => {
                ("RAMIdentityMapping", "ramauthenticator.k8s.alibabacloud/v1alpha1", "ramidentitymappings")
            }
            Self::RoleBinding => ("RoleBinding", RBAC, "rolebindings"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.words().0
    }

    pub(super) fn api_version(self) -> &'static str {
        self.words().1
    }

    pub(super) fn plural(self) -> &'static str {
        self.words().2
    }

    /// The groups of those that `are` there.
    pub(super) fn groups(are: impl Fn(Self) -> bool) -> BTreeSet<&'static str> {
        let versions = ALL.into_iter().filter(|kind| are(*kind)).map(Self::api_version);
        versions.filter_map(|version| Some(version.split_once('/')?.0)).collect()
    }

    pub(super) fn is_namespaced(self) -> bool {
        !matches!(self, Self::ClusterRoleBinding | Self::Identity | Self::PolicyTable | Self::RamIdentity)
    }

    /// Whether `status` is written by itself.
    pub(super) fn has_status(self) -> bool {
        matches!(self, Self::Identity | Self::RamIdentity)
    }

    pub(super) fn key(self, name: &str) -> Key {
        let namespace = if self.is_namespaced() { NAMESPACE } else { "" };
        (self, namespace.to_owned(), name.to_owned())
    }

    /// The kind and namespace that a path starts with, and the rest of it.
    pub(super) fn of(path: &str) -> Option<(Self, Option<String>, &str)> {
        ALL.into_iter().find_map(|kind| {
            let (_, version, plural) = kind.words();
            let root = if version == "v1" { "/api/v1/".to_owned() } else { format!("/apis/{version}/") };
            let rest = path.strip_prefix(&root)?;
            let (namespace, rest) = match rest.strip_prefix("namespaces/") {
                Some(rest) => rest.split_once('/').map(|(namespace, rest)| (Some(namespace.to_owned()), rest))?,
                None => (None, rest),
            };
            if namespace.is_some() != kind.is_namespaced() && (namespace.is_some() || rest != plural) {
                return None;
            }
            let rest = rest.strip_prefix(plural)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((kind, namespace, rest))
        })
    }
}
