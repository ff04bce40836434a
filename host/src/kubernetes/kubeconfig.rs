//! The webhook kubeconfig: where the API server finds the webhook (Kubernetes documentation,
//! "Webhook Token Authentication"). People's kubeconfigs are [`client`]'s.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

pub mod client;

/// Name of the context, and of what `current-context` says.
const CONTEXT: &str = "webhook";
/// Name of the one user.
const USER: &str = "apiserver";

/// A kubeconfig that names one cluster, one user and one context.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kubeconfig {
    /// Always `v1`.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// Always `Config`.
    pub kind: String,
    /// The webhook.
    pub clusters: Vec<Named<ClusterEntry>>,
    /// The API server as its client.
    pub users: Vec<Named<UserEntry>>,
    /// Binds the two.
    pub contexts: Vec<Named<ContextEntry>>,
    /// The context to use.
    pub current_context: String,
}

/// An entry with its name beside it, as kubeconfigs write lists.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Named<T> {
    /// The entry's name.
    pub name: String,
    /// The entry.
    #[serde(flatten)]
    pub entry: T,
}

/// An entry of `clusters`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClusterEntry {
    /// The cluster: here, the webhook.
    pub cluster: Cluster,
}

/// Where a webhook is and how to know it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    /// Base64 of the PEM certificate that the server is known by.
    pub certificate_authority_data: String,
    /// URL of the webhook.
    pub server: String,
}

/// An entry of `users`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UserEntry {
    /// What the API server shows the webhook.
    pub user: User,
}

/// A client certificate, or nothing: most webhooks ask for none.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// PEM file on the API server's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// PEM file of the key to it, there as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
}

/// An entry of `contexts`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ContextEntry {
    /// The context.
    pub context: Context,
}

/// Names of a cluster and of a user.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Context {
    /// Name of an entry of `clusters`.
    pub cluster: String,
    /// Name of an entry of `users`.
    pub user: String,
}

// === impl Kubeconfig ===

impl Kubeconfig {
    /// The kubeconfig for `--authentication-token-webhook-config-file`: `cluster` names the webhook
    /// at `server`, known by `certificate_pem`.
    #[must_use]
    pub fn webhook(cluster: &str, server: String, certificate_pem: &str) -> Self {
        let webhook = Cluster { certificate_authority_data: STANDARD.encode(certificate_pem), server };
        let context = Context { cluster: cluster.to_owned(), user: USER.to_owned() };
        Self {
            api_version: "v1".to_owned(),
            kind: "Config".to_owned(),
            clusters: vec![Named { name: cluster.to_owned(), entry: ClusterEntry { cluster: webhook } }],
            users: vec![Named { name: USER.to_owned(), entry: UserEntry { user: User::default() } }],
            contexts: vec![Named { name: CONTEXT.to_owned(), entry: ContextEntry { context } }],
            current_context: CONTEXT.to_owned(),
        }
    }

    /// The same for an API server that shows `certificate`, both files on its machine.
    #[must_use]
    pub fn by(mut self, certificate: &Path, key: &Path) -> Self {
        let user = User { client_certificate: Some(certificate.to_owned()), client_key: Some(key.to_owned()) };
        self.users = vec![Named { name: USER.to_owned(), entry: UserEntry { user } }];
        self
    }

    /// As YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("plain strings in plain structs are YAML")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn golden() {
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        let config = Kubeconfig::webhook("herald", "https://[::1]:21362/authenticate".to_owned(), pem);
        let yaml = config.to_yaml();
        expect![[r#"
            apiVersion: v1
            kind: Config
            clusters:
            - name: herald
              cluster:
                certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
                server: https://[::1]:21362/authenticate
            users:
            - name: apiserver
              user: {}
            contexts:
            - name: webhook
              context:
                cluster: herald
                user: apiserver
            current-context: webhook
        "#]].assert_eq(&yaml);
        assert_eq!(serde_saphyr::from_str::<Kubeconfig>(&yaml).unwrap(), config);

        let config = config.by(Path::new("/pki/client.crt"), Path::new("/pki/client.key"));
        let yaml = config.to_yaml();
        let user =
            "- name: apiserver\n  user:\n    client-certificate: /pki/client.crt\n    client-key: /pki/client.key\n";
        assert!(yaml.contains(user), "{yaml}");
        assert_eq!(serde_saphyr::from_str::<Kubeconfig>(&yaml).unwrap(), config);
    }
}
