//! Requests that get no decision: what is wrong with them, in HTTP's words.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// Why a request is turned away. Only [`Self::AuditUnavailable`], [`Self::BodyBudget`] and [`Self::Busy`] are ours, and
/// worth a retry; the others are the peer's.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Rejection {
    /// The login was decided, but could not be written down.
    #[error("audit_unavailable: the login could not be recorded, so it is not answered")]
    AuditUnavailable,
    /// Too much of bodies is here that are not whole.
    #[error("busy: too many bodies arrive at once")]
    BodyBudget,
    /// The body broke off.
    #[error("the body ended early")]
    BrokenBody,
    /// Too many reviews are under way.
    #[error("busy: too many logins at once")]
    Busy,
    /// Not what TokenReviews are sent as.
    #[error("the content type must be application/json")]
    MediaType,
    /// Not POST.
    #[error("TokenReviews are sent with POST")]
    Method,
    /// JSON, but another thing, or not JSON at all. Says where, and quotes nothing: it may be a token.
    #[error(
        "not a TokenReview of authentication.k8s.io/v1 or v1beta1 with spec.token: {what} at line {line}, column {column}"
    )]
    NotATokenReview {
        /// What kind of mistake it is.
        what: &'static str,
        /// Line, from 1; 0 if unknown.
        line: usize,
        /// Column, from 1; 0 if unknown.
        column: usize,
    },
    /// Nothing lives under this path.
    #[error("not found")]
    NotFound,
    /// The body took too long.
    #[error("the body took too long to arrive")]
    SlowBody,
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
}

// === impl Rejection ===

impl Rejection {
    /// The stable label in metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::AuditUnavailable => "audit_unavailable",
            Self::BodyBudget => "body_budget",
            Self::BrokenBody => "broken_body",
            Self::Busy => "busy",
            Self::MediaType => "media_type",
            Self::Method => "method",
            Self::NotATokenReview { .. } => "not_a_token_review",
            Self::NotFound => "not_found",
            Self::SlowBody => "slow_body",
            Self::TooLarge(_) => "too_large",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::AuditUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BrokenBody | Self::NotATokenReview { .. } => StatusCode::BAD_REQUEST,
            Self::BodyBudget | Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl From<serde_json::Error> for Rejection {
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of the wrong kind",
            serde_json::error::Category::Eof => "the JSON breaks off",
            serde_json::error::Category::Io | serde_json::error::Category::Syntax => "this is not JSON",
        };
        Self::NotATokenReview { what, line: error.line(), column: error.column() }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        match self {
            Self::AuditUnavailable | Self::BodyBudget | Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            _ => {}
        }
        response
    }
}
