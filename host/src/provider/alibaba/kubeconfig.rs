//! The kubeconfig of a cluster of Container Service for Kubernetes (Container Service API Reference,
//! "DescribeClusterUserKubeconfig"). Where the API server is, and whom it is known by, is all that is used of it.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::{
    acs3,
    credentials::{
        Credentials,
        fetch::{Api, error_code, signed},
    },
    endpoint::Host,
};
use crate::provider::{ClusterId, http::Client};

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// The answer has another shape.
    #[error("{0} gives no kubeconfig")]
    Answer(Host),
    /// The caller may not, or there is no such cluster.
    #[error("{host} refuses: {code} (the permission is cs:DescribeClusterUserKubeconfig)")]
    Refused {
        /// Who was asked.
        host: Host,
        /// The code of the answer, at most 64 letters and digits.
        code: String,
    },
    /// The machine is out of file descriptors or the like.
    #[error("the asynchronous runtime could not start")]
    Runtime(#[source] std::io::Error),
    /// No answer.
    #[error("{host} cannot be asked")]
    Send {
        /// Who was to be asked.
        host: Host,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

const VERSION: &str = "2015-12-15";
const ACTION: &str = "DescribeClusterUserKubeconfig";
/// For the whole answer.
const LIMIT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Answer {
    config: String,
}

/// Asks `host` for the kubeconfig of `cluster_id`, blocking the thread. `private`: with the API server's address inside
/// the VPC.
///
/// # Errors
///
/// [`KubeconfigError`].
pub fn fetch(
    credentials: &Credentials,
    host: &Host,
    cluster_id: &ClusterId,
    private: bool,
    now: SystemTime,
) -> Result<String, KubeconfigError> {
    let path = format!("/k8s/{}/user_config", acs3::segment(cluster_id.as_str()));
    let api = Api { host, action: ACTION, version: VERSION };
    let parameters: &[(&str, &str)] = if private { &[("PrivateIpAddress", "true")] } else { &[] };
    let failed = |source| KubeconfigError::Send { host: host.clone(), source };
    let request = signed(&api, ("GET", &path), parameters, credentials, now).body(String::new());
    let request = request.map_err(|error| failed(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let sent = runtime.map_err(KubeconfigError::Runtime)?.block_on(Client::new().send(request, LIMIT));
    let (status, body) = sent.map_err(|error| failed(error.into()))?;
    read(host, status, &body)
}

/// The kubeconfig in what `host` answered.
///
/// # Errors
///
/// [`KubeconfigError`].
pub fn read(host: &Host, status: u16, body: &[u8]) -> Result<String, KubeconfigError> {
    if status == 200 {
        let answer = serde_json::from_slice::<Answer>(body);
        return answer.map(|answer| answer.config).map_err(|_| KubeconfigError::Answer(host.clone()));
    }
    let code = error_code(body).unwrap_or_else(|| format!("HTTP {status}"));
    Err(KubeconfigError::Refused { host: host.clone(), code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_by_their_codes() {
        #[track_caller]
        fn check(status: u16, body: &str, code: &str) {
            let host = "cs.aliyuncs.com".parse().expect("a host");
            let error = read(&host, status, body.as_bytes()).expect_err("a refusal").to_string();
            assert!(error.starts_with(&format!("cs.aliyuncs.com refuses: {code} (")), "{error}");
        }
        check(404, r#"{"code":"ErrorClusterNotFound","message":"no","requestId":"R"}"#, "ErrorClusterNotFound");
        check(404, r#"{"Code":"InvalidAccessKeyId.NotFound","Message":"no"}"#, "InvalidAccessKeyId.NotFound");
        check(403, "<html>", "HTTP 403");
    }
}
