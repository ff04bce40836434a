//! TokenReviews as kube-apiserver v0.37 posts them, and what comes back.

use anyhow::Context as _;
use http::HeaderMap;
use serde_json::{Value, json};

/// The version of a TokenReview.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Version {
    /// `authentication.k8s.io/v1`.
    #[default]
    V1,
    /// `authentication.k8s.io/v1beta1`, the API server's default.
    V1beta1,
}

/// An answer of the webhook.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

/// What every API server asks for: its own issuer.
const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

// === impl Version ===

impl Version {
    /// The whole name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "authentication.k8s.io/v1",
            Self::V1beta1 => "authentication.k8s.io/v1beta1",
        }
    }

    /// The body that the API server sends.
    #[must_use]
    pub fn body(self, token: &str) -> String {
        let (name, token, audience) = (self.name(), json!(token), json!([AUDIENCE]));
        format!(
            r#"{{"kind":"TokenReview","apiVersion":"{name}","metadata":{{}},"spec":{{"token":{token},"audiences":{audience}}},"status":{{"user":{{}}}}}}"#
        ) + "\n"
    }
}

/// Posts one TokenReview to the webhook at `url`.
pub(super) async fn post(client: &reqwest::Client, url: &str, version: Version, token: &str) -> anyhow::Result<Answer> {
    let request = client
        .post(format!("{url}?timeout=30s"))
        .header("accept", "application/json, */*")
        .header("content-type", "application/json")
        .header("user-agent", "Go-http-client/2.0")
        .body(version.body(token));
    Answer::of(request).await
}

// === impl Answer ===

impl Answer {
    /// Sends any request and reads its answer whole.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn of(request: reqwest::RequestBuilder) -> anyhow::Result<Self> {
        let response = request.send().await.context("no answer")?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.context("the answer broke off")?;
        Ok(Self { status, headers, text })
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The username, if the caller was let in. Reads the answer as the API server does.
    #[must_use]
    pub fn username(&self) -> Option<String> {
        let status = &self.json()["status"];
        let allowed = (200..300).contains(&self.status) && status["authenticated"] == true;
        allowed.then(|| status["user"]["username"].as_str().unwrap_or_default().to_owned())
    }

    /// The groups of the caller that was let in.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        let groups = &self.json()["status"]["user"]["groups"];
        let names = groups.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    }

    /// Whether this is the plain refusal that the API server may remember.
    #[must_use]
    pub fn is_plain_refusal(&self) -> bool {
        let status = &self.json()["status"];
        self.status == 200 && status["authenticated"] == false && status["error"].is_null() && status["user"].is_null()
    }

    /// The reason label in front of `status.error`, or of the text of an answer to be retried.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let json = self.json();
        let error = json["status"]["error"].as_str();
        let text = error.or_else(|| json.is_null().then_some(self.text.as_str()))?;
        let label = text.split(':').next()?;
        let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        (!label.is_empty() && label.chars().all(is_label)).then(|| label.to_owned())
    }

    /// The decision id that a refusal names.
    #[must_use]
    pub fn decision_id(&self) -> Option<String> {
        let (_, rest) = self.text.split_once("(decision ")?;
        rest.split_once(')').map(|(id, _)| id.to_owned())
    }

    /// `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.headers.get("retry-after")?.to_str().ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, text: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), text: text.to_owned() }
    }

    #[test]
    fn the_body_is_the_api_servers() {
        let body = Version::V1beta1.body("k8s-aws-v1.x\"y");
        assert!(body.ends_with("}\n"));
        let json: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(json["apiVersion"], "authentication.k8s.io/v1beta1");
        assert_eq!(json["spec"]["token"], "k8s-aws-v1.x\"y");
        assert_eq!(json["metadata"], json!({}));
    }

    #[test]
    fn answers_are_read_as_the_api_server_reads_them() {
        let allowed = answer(200, r#"{"status":{"authenticated":true,"user":{"username":"a","groups":["g","h"]}}}"#);
        assert_eq!(
            (allowed.username().as_deref(), allowed.groups()),
            (Some("a"), vec!["g".to_owned(), "h".to_owned()])
        );
        assert_eq!(answer(503, &allowed.text).username(), None, "only a good status counts");
        let refused = answer(200, r#"{"status":{"authenticated":false}}"#);
        assert!(refused.is_plain_refusal() && refused.username().is_none());
        let error = answer(200, r#"{"status":{"authenticated":false,"error":"not_mapped: no (decision 01-a)"}}"#);
        assert!(!error.is_plain_refusal());
        assert_eq!((error.reason().as_deref(), error.decision_id().as_deref()), (Some("not_mapped"), Some("01-a")));
        assert_eq!(answer(503, "sts_unavailable: later (decision x)\n").reason().as_deref(), Some("sts_unavailable"));
        assert_eq!(answer(404, "Not found").reason(), None);
    }
}
