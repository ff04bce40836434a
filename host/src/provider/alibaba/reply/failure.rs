//! Error answers of STS: whose move it is (Security Token Service API Reference, "Error codes"; Alibaba Cloud OpenAPI,
//! "Common error codes").
//!
//! The error code is read from its own field, never searched for in the text: a message may quote anything.

use serde::Deserialize;

use crate::provider::{StsReply, VerifyError};

/// Longest error body looked at, in bytes.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// Longest error code passed on.
const MAX_CODE: usize = 64;
/// The word, alone or before a dot, of codes that mean "later": `Throttling`, `Throttling.User`, `Throttling.Api`.
const THROTTLING: &str = "Throttling";
/// Codes that mean that something broke on the other side, whatever the status.
const BROKEN: [&str; 3] = ["InternalError", "ServiceUnavailable", "ServiceTimeout"];

/// What an answer with a status other than 200 means. Never a caller.
pub(super) fn read(reply: &StsReply) -> VerifyError {
    let status = reply.status;
    let code = code(reply);
    let first = code.as_deref().and_then(|code| code.split('.').next()).unwrap_or_default();
    if status == 429 || (status >= 400 && first == THROTTLING) {
        return VerifyError::Throttled { retry_after: reply.retry_after };
    }
    if status == 408 || (status >= 400 && BROKEN.contains(&first)) {
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
struct ErrorBody {
    code: String,
}

/// The error code, if the body has one in the place for it.
fn code(reply: &StsReply) -> Option<String> {
    let body = reply.body.get(..reply.body.len().min(MAX_ERROR_BYTES))?;
    let ErrorBody { code } = serde_json::from_slice(body).ok()?;
    let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (plain && (1..=MAX_CODE).contains(&code.len())).then_some(code)
}
