//! Why the API server cannot be asked, in words that say each thing once and hold no credential.

use std::error::Error;

use kube::config::{InClusterError, KubeconfigError};

use crate::MISTAKE;

/// Why the API server cannot be asked at the moment, or what it answers instead. The cluster's or the operator's to
/// mend; whoever follows objects tries again for ever.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// This is no pod, and no kubeconfig is given.
    #[error("not in a pod, or without a service account: set server.kubeconfig or server.master")]
    InCluster(#[source] InClusterError),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] KubeconfigError),
    /// `server.master` is no URL.
    #[error("server.master is no URL")]
    Master(#[source] http::uri::InvalidUri),
    /// Herald's own mistake: making a client panicked.
    #[error("no client could be made for the API server: {}", MISTAKE)]
    NotMade,
    /// Herald's own mistake: the objects are here, and taking them in panicked.
    #[error("its objects were read, and taking them in failed: {}", MISTAKE)]
    NotTaken,
    /// The API server does not answer, or not with the objects.
    #[error("{}", words(.0))]
    Request(Box<kube::Error>),
    /// No answer in time.
    #[error("the API server does not answer")]
    Timeout,
}

/// Longest message of an API server that an error repeats, in characters.
const MAX_MESSAGE: usize = 300;

// === impl ApiError ===

impl ApiError {
    /// The HTTP status of the API server's answer, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Request(error) => match **error {
                kube::Error::Api(ref status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InCluster(_) => "kubernetes_in_cluster",
            Self::Kubeconfig(_) => "kubernetes_kubeconfig",
            Self::Master(_) => "kubernetes_master",
            Self::Request(error) => match **error {
                kube::Error::Api(ref status) if matches!(status.code, 401 | 403) => "kubernetes_forbidden",
                _ => "kubernetes_request",
            },
            Self::NotMade => "kubernetes_not_made",
            Self::NotTaken => "kubernetes_not_taken",
            Self::Timeout => "kubernetes_timeout",
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        Self::Request(Box::new(error))
    }
}

/// kube's own texts repeat themselves, and one of them repeats the output of a credential command.
fn words(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        kube::Error::Auth(_) => "the kubeconfig's credentials cannot be had".to_owned(),
        error => {
            let mut cause: &dyn Error = error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            format!("the API server cannot be asked: {cause}")
        }
    };
    text.chars().take(MAX_MESSAGE).collect()
}
