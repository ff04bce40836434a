//! Why the API server cannot be asked, in words that say each thing once and hold no credential.

use std::error::Error;

use kube::{
    client::AuthError,
    config::{InClusterError, KubeconfigError},
};

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
    /// The kubeconfig does not read as one. The parser's own words repeat the lines around the place, tokens among them.
    #[error("the kubeconfig cannot be used: it does not read as one{0}")]
    KubeconfigSyntax(String),
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
    /// A list goes on behind as many objects as are read: what was read of it is not all.
    #[error("there are more objects than are read: more than {0}")]
    TooMany(usize),
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

    /// Whether the API server has refused the request, so that nothing is changed by it. What it did not answer, or began and did
    /// not finish, it may have done; so may it where a proxy on the way did not wait for it (408).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status) && status != 408)
    }

    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InCluster(_) => "kubernetes_in_cluster",
            Self::Kubeconfig(_) | Self::KubeconfigSyntax(_) => "kubernetes_kubeconfig",
            Self::Master(_) => "kubernetes_master",
            Self::Request(error) => match **error {
                kube::Error::Api(ref status) if matches!(status.code, 401 | 403) => "kubernetes_forbidden",
                _ => "kubernetes_request",
            },
            Self::NotMade => "kubernetes_not_made",
            Self::NotTaken => "kubernetes_not_taken",
            Self::Timeout => "kubernetes_timeout",
            Self::TooMany(_) => "kubernetes_too_many",
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        Self::Request(Box::new(error))
    }
}

impl From<KubeconfigError> for ApiError {
    fn from(error: KubeconfigError) -> Self {
        match error {
            KubeconfigError::Parse(error) => {
                let place = error.location().map(|at| format!(", line {} column {}", at.line(), at.column()));
                Self::KubeconfigSyntax(place.unwrap_or_default())
            }
            error => Self::Kubeconfig(error),
        }
    }
}

/// kube's own texts repeat themselves.
fn words(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        // Something else may stand there, such as a web server.
        kube::Error::SerdeError(why) => format!("the API server's answer cannot be read: {why}"),
        error => {
            let mut cause: &(dyn Error + 'static) = error;
            loop {
                // Where a client in use needs new credentials, that they cannot be had is deep in another error.
                if let Some(error) = cause.downcast_ref::<AuthError>() {
                    break credentials(error);
                }
                match cause.source() {
                    Some(inner) => cause = inner,
                    None => break format!("the API server cannot be asked: {cause}"),
                }
            }
        }
    };
    text.chars().take(MAX_MESSAGE).collect()
}

/// Why there are no credentials. kube's own texts repeat a credential command with its variables, and its output.
fn credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!("the kubeconfig's credential command failed: {}", out.status),
        AuthError::AuthExecStart(why) => format!("the kubeconfig's credential command cannot be run: {why}"),
        AuthError::ReadTokenFile(why, path) => format!("the token in {} cannot be read: {why}", path.display()),
        _ => "the kubeconfig's credentials cannot be had".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        os::unix::process::ExitStatusExt as _,
        process::{ExitStatus, Output},
    };

    use super::*;

    #[test]
    fn what_was_not_refused_may_have_been_done() {
        let answer = |code: u16| {
            let status = serde_json::from_value(serde_json::json!({ "code": code })).expect("a status");
            ApiError::from(kube::Error::Api(status))
        };
        for (error, is_refusal) in [
            (answer(403), true),
            (answer(409), true),
            (answer(429), true),
            (answer(408), false),
            (answer(500), false),
            (answer(504), false),
            (ApiError::Timeout, false),
            (kube::Error::Service(io::Error::from(io::ErrorKind::ConnectionReset).into()).into(), false),
        ] {
            assert_eq!(error.is_refusal(), is_refusal, "{error}");
        }
    }

    /// Whoever reads that nobody can be asked looks at the network.
    #[test]
    fn an_answer_that_is_none_is_told_as_that() {
        let why = serde_json::from_str::<serde_json::Value>("<html>").expect_err("no JSON");
        let told = ApiError::from(kube::Error::SerdeError(why)).to_string();
        assert_eq!(told, "the API server's answer cannot be read: expected value at line 1 column 1");
    }

    #[test]
    fn a_credential_command_is_not_repeated_whenever_it_fails() {
        #[track_caller]
        fn check(error: fn() -> AuthError, expected: &str) {
            for error in [kube::Error::Auth(error()), kube::Error::Service(error().into())] {
                assert_eq!(ApiError::from(error).to_string(), expected);
            }
        }
        let failed = || {
            let out = Output { status: ExitStatus::from_raw(3 << 8), stdout: b"token".into(), stderr: b"word".into() };
            AuthError::AuthExecRun { cmd: "SECRET=word aws".to_owned(), out: Box::new(out) }
        };
        check(failed, "the kubeconfig's credential command failed: exit status: 3");
        let missing = || AuthError::AuthExecStart(io::ErrorKind::NotFound.into());
        check(missing, "the kubeconfig's credential command cannot be run: entity not found");
        let unread = || AuthError::ReadTokenFile(io::ErrorKind::NotFound.into(), "/token".into());
        check(unread, "the token in /token cannot be read: entity not found");
        check(|| AuthError::AuthExec("word".to_owned()), "the kubeconfig's credentials cannot be had");
    }
}
