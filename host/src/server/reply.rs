//! Answers to the API server: the one place that turns a decision into HTTP.
//!
//! What the API server may remember is answered without an error, what it should ask again with
//! one, what it should retry soon with a status it retries (Kubernetes documentation, "Webhook
//! Token Authentication"). A policy's own words and a caller's names stay in the audit log.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    authenticator::{Class, Decision, Denial, Outcome},
    kubernetes::token_review::{Answer, ApiVersion, Kind, Status},
};

/// What an answer is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    /// A TokenReview with an error.
    Error,
    /// A TokenReview without one.
    Refused,
    /// Plain text, with `Retry-After`.
    Retry,
    /// A TokenReview with a user.
    User,
}

/// Answers with `decision` in the version asked; `audiences` are those in common.
pub(super) fn decision(decision: &Decision, version: ApiVersion, audiences: &[String]) -> Response {
    let (status, shape) = shape(decision.denial().map(|denial| denial.class));
    match (&decision.outcome, shape) {
        (Outcome::Allowed { user }, Shape::User) => review(version, Status::authenticated(user, audiences)),
        (Outcome::Denied(denial), Shape::Error) => review(version, Status::error(&public(denial, decision))),
        (Outcome::Denied(denial), Shape::Retry) => retry(status, denial, decision),
        _ => review(version, Status::refused()),
    }
}

/// Answers that the token is not for any audience of this server.
pub(super) fn refused(version: ApiVersion) -> Response {
    review(version, Status::refused())
}

/// HTTP status and shape for each class of denial; `None` is a login.
fn shape(class: Option<Class>) -> (StatusCode, Shape) {
    match class {
        None => (StatusCode::OK, Shape::User),
        Some(Class::Foreign | Class::NotAuthenticated) => (StatusCode::OK, Shape::Refused),
        Some(Class::NotAllowed) => (StatusCode::OK, Shape::Error),
        Some(Class::Unavailable) => (StatusCode::SERVICE_UNAVAILABLE, Shape::Retry),
        Some(Class::Throttled) => (StatusCode::TOO_MANY_REQUESTS, Shape::Retry),
    }
}

fn review(api_version: ApiVersion, status: Status<'_>) -> Response {
    let answer = Answer { api_version, kind: Kind::TokenReview, status };
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, &answer).expect("strings and lists are JSON");
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}

fn retry(status: StatusCode, denial: &Denial, decision: &Decision) -> Response {
    let seconds = HeaderValue::from(denial.retry_after.unwrap_or(1));
    (status, [(header::RETRY_AFTER, seconds)], public(denial, decision) + "\n").into_response()
}

/// The text for the API server's log: the stable label, what to do, and where to look it up.
fn public(denial: &Denial, decision: &Decision) -> String {
    format!("{}: {} (decision {})", denial.reason, sentence(denial), decision.decision_id)
}

fn sentence(denial: &Denial) -> &'static str {
    match (denial.class, denial.reason) {
        (Class::Throttled, _) => "too many logins for now, try again",
        (Class::Unavailable, _) => "the login cannot be checked for now, try again",
        (_, "not_mapped") => "no mapping names this caller",
        (_, "policy_denied") => "a policy refused this caller",
        (_, reason) if reason.starts_with("guard_") => "the name given to this caller breaks a rule of the cluster",
        (_, reason) if reason.starts_with("policy_") => "a policy failed",
        _ => "this caller is not let in",
    }
}

#[cfg(test)]
mod tests;
