//! Error answers of STS: whose move it is (AWS STS API Reference, "Common Errors").
//!
//! The error code is read from its own field, never searched for in the text: a message may quote
//! anything. JSON is what we ask for; XML is what STS sends where it does not honour `Accept`.

use serde::Deserialize;

use crate::provider::{StsReply, VerifyError, aws::service::xml};

/// Longest error body looked at, in bytes.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// Codes that mean "later", as the AWS SDKs read them (AWS SDKs and Tools Reference Guide, "Retry behavior").
const THROTTLING: [&str; 14] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// Codes that mean that STS had no time for the request, whatever the status.
const TRANSIENT: [&str; 2] = ["RequestTimeout", "RequestTimeoutException"];

/// What an answer with a status other than 200 means. Never a caller.
pub(super) fn read(reply: &StsReply) -> VerifyError {
    let status = reply.status;
    let code = code(reply);
    let is_one = |codes: &[&str]| code.as_deref().is_some_and(|code| codes.contains(&code));
    if status == 429 || (status >= 400 && is_one(&THROTTLING)) {
        return VerifyError::Throttled { retry_after: reply.retry_after };
    }
    if status == 408 || is_one(&TRANSIENT) {
        return VerifyError::Unavailable { cause: "server_error" };
    }
    match status {
        300..=399 => VerifyError::Unavailable { cause: "redirect" },
        400..=499 => code.map_or_else(|| without_code(status), |code| VerifyError::Refused { status, code }),
        500..=599 => VerifyError::Unavailable { cause: "server_error" },
        _ => VerifyError::Unintelligible("the HTTP status is none that STS gives"),
    }
}

/// A refusal that is not in STS's words may be that of a proxy or firewall on the way, and says nothing about the
/// caller; but what is too large (RFC 9110, RFC 6585) is so however often it is sent.
fn without_code(status: u16) -> VerifyError {
    match status {
        413 | 414 | 431 => VerifyError::Refused { status, code: "Unknown".to_owned() },
        _ => VerifyError::Unintelligible("the refusal has no error code: something between may have refused"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse {
    error: ErrorBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
}

/// The error code, if the body has one in the place for it.
fn code(reply: &StsReply) -> Option<String> {
    let body = std::str::from_utf8(reply.body.get(..reply.body.len().min(MAX_ERROR_BYTES))?).ok()?;
    match body.trim_start().as_bytes().first()? {
        b'{' => xml::as_told(serde_json::from_str::<ErrorResponse>(body).ok()?.error.code),
        _ => xml::error_code(body),
    }
}
