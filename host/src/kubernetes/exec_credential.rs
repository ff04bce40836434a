//! `client.authentication.k8s.io` ExecCredential, v1, v1beta1 and v1alpha1 (Kubernetes, "Client
//! Authentication").
//!
//! kubectl says in `KUBERNETES_EXEC_INFO` which version its kubeconfig asks for and takes no other answer.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// The environment variable with what kubectl tells its plugin.
pub const EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";

/// The versions a plugin may be asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum ApiVersion {
    /// `client.authentication.k8s.io/v1`.
    #[serde(rename = "client.authentication.k8s.io/v1")]
    V1,
    /// `client.authentication.k8s.io/v1beta1`: the answer to those who ask for nothing.
    #[default]
    #[serde(rename = "client.authentication.k8s.io/v1beta1")]
    V1beta1,
    /// `client.authentication.k8s.io/v1alpha1`, which clients older than 1.24 ask for.
    #[serde(rename = "client.authentication.k8s.io/v1alpha1")]
    V1alpha1,
}

/// `KUBERNETES_EXEC_INFO` cannot be answered: the kubeconfig and this plugin do not agree.
#[derive(Debug, thiserror::Error)]
#[error("KUBERNETES_EXEC_INFO does not ask for an ExecCredential of version v1, v1beta1 or v1alpha1")]
pub struct InvalidExecInfo(#[source] serde_json::Error);

/// What kubectl is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecCredential<'a> {
    kind: Kind,
    api_version: ApiVersion,
    spec: Spec,
    status: Status<'a>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
enum Kind {
    #[default]
    ExecCredential,
}

#[derive(Debug, Serialize)]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    interactive: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    expiration_timestamp: String,
    token: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecInfo {
    api_version: ApiVersion,
    #[serde(default)]
    #[expect(dead_code, reason = "read to refuse another kind")]
    kind: Kind,
}

// === impl ApiVersion ===

impl ApiVersion {
    /// The version that the value of [`EXEC_INFO`] asks for; v1beta1 if there is none.
    ///
    /// # Errors
    ///
    /// [`InvalidExecInfo`], when it asks for something that no plugin can answer.
    pub fn requested(exec_info: Option<&str>) -> Result<Self, InvalidExecInfo> {
        match exec_info {
            None | Some("") => Ok(Self::default()),
            Some(json) => serde_json::from_str(json).map(|info: ExecInfo| info.api_version).map_err(InvalidExecInfo),
        }
    }
}

// === impl ExecCredential ===

impl<'a> ExecCredential<'a> {
    /// `token`, to be used until `expires_at`.
    #[must_use]
    pub fn new(api_version: ApiVersion, token: &'a str, expires_at: SystemTime) -> Self {
        let expiration_timestamp = humantime::format_rfc3339_seconds(expires_at).to_string();
        Self {
            kind: Kind::ExecCredential,
            api_version,
            spec: Spec { interactive: Some(false) },
            status: Status { expiration_timestamp, token },
        }
    }

    /// This, with `spec: {}` as the AWS CLI writes it.
    #[must_use]
    pub fn with_empty_spec(mut self) -> Self {
        self.spec.interactive = None;
        self
    }
}

impl std::fmt::Debug for Status<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Status(until {}, token of {} bytes, hidden)", self.expiration_timestamp, self.token.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;

    #[track_caller]
    fn check(exec_info: Option<&str>, expected: &expect_test::Expect) {
        let end = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_999);
        let answer = ApiVersion::requested(exec_info)
            .map(|version| serde_json::to_string(&ExecCredential::new(version, "k8s-aws-v1.x", end)).expect("data"));
        expected.assert_eq(&answer.expect("answerable"));
    }

    #[test]
    fn answers_in_the_version_asked() {
        let as_kubectl_does = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://x"},"interactive":true}}"#;
        check(
            Some(as_kubectl_does),
            &expect![[
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false},"status":{"expirationTimestamp":"2026-01-02T03:04:05Z","token":"k8s-aws-v1.x"}}"#
            ]],
        );
        let v1beta1 = expect![[
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false},"status":{"expirationTimestamp":"2026-01-02T03:04:05Z","token":"k8s-aws-v1.x"}}"#
        ]];
        check(None, &v1beta1);
        check(Some(""), &v1beta1);
        check(Some(r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#), &v1beta1);
        check(
            Some(r#"{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential"}"#),
            &expect![[
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1","spec":{"interactive":false},"status":{"expirationTimestamp":"2026-01-02T03:04:05Z","token":"k8s-aws-v1.x"}}"#
            ]],
        );
    }

    #[test]
    fn refuses_what_it_cannot_answer() {
        #[track_caller]
        fn check(exec_info: &str, why: &str) {
            let error = ApiVersion::requested(Some(exec_info)).expect_err("not answerable");
            let source = std::error::Error::source(&error).expect("why").to_string();
            assert!(source.contains(why), "{exec_info}: {source}");
        }
        check(r#"{"apiVersion":"foo/bar","kind":"ExecCredential"}"#, "unknown variant `foo/bar`");
        check(r#"{"kind":"ExecCredential"}"#, "missing field `apiVersion`");
        check(r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"Pod"}"#, "unknown variant `Pod`");
        check(r#"{"apiVersion":"client.authentication.k8s.io/v1"} x"#, "trailing characters");
        check("not json", "expected ident");
        check(" ", "EOF while parsing");
    }

    #[test]
    fn an_empty_spec() {
        let answer = ExecCredential::new(ApiVersion::V1, "x", SystemTime::UNIX_EPOCH).with_empty_spec();
        let json = serde_json::to_string(&answer).expect("data");
        assert!(json.contains(r#""spec":{},"status""#), "{json}");
    }

    #[test]
    fn debug_hides_the_token() {
        let answer = ExecCredential::new(ApiVersion::V1, "k8s-aws-v1.secret", SystemTime::UNIX_EPOCH);
        assert!(!format!("{answer:?}").contains("secret"));
    }
}
