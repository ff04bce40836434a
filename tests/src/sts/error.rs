//! Errors the dev STS answers with: the codes, statuses and words of the real service (AWS Security
//! Token Service API Reference, "Common Errors"; "Troubleshooting Signature Version 4").

/// Why a request got no answer. The text is the `Message` a caller reads.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StsError {
    /// The principal may not do this.
    #[error("{0}")]
    AccessDenied(String),
    /// A temporary key after its end.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The form of the signature, not its value, is wrong.
    #[error("{0}")]
    IncompleteSignature(String),
    /// Something broke inside.
    #[error("The request processing has failed because of an unknown error, exception or failure.")]
    InternalFailure,
    /// No such action in this version.
    #[error("Could not find operation {action} for version {version}")]
    InvalidAction {
        /// The action asked for.
        action: String,
        /// The version asked for.
        version: String,
    },
    /// No such key, or a session token that does not belong to it.
    #[error("The security token included in the request is invalid.")]
    InvalidClientTokenId,
    /// The query has a syntax error, or one parameter twice.
    #[error("The query string contains a syntax error: {0}")]
    MalformedQueryString(String),
    /// No `Action`.
    #[error("The request is missing an action or a required parameter.")]
    MissingAction,
    /// Neither an `Authorization` header nor a presigned query.
    #[error("Request is missing Authentication Token")]
    MissingAuthenticationToken,
    /// The service is down.
    #[error("The request has failed due to a temporary failure of the server.")]
    ServiceUnavailable,
    /// The signature is wrong, too old or too new, or of another scope.
    #[error("{0}")]
    SignatureDoesNotMatch(String),
    /// Too many requests.
    #[error("Rate exceeded")]
    Throttling,
    /// A parameter's value breaks its constraint.
    #[error("{0}")]
    ValidationError(String),
}

/// What a signature that differs is told, whatever the cause.
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

// === impl StsError ===

impl StsError {
    /// The recomputed signature differs.
    #[must_use]
    pub fn mismatch() -> Self {
        Self::SignatureDoesNotMatch(MISMATCH.to_owned())
    }

    /// The `Code` in the answer.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AccessDenied(_) => "AccessDenied",
            Self::ExpiredToken => "ExpiredToken",
            Self::IncompleteSignature(_) => "IncompleteSignature",
            Self::InternalFailure => "InternalFailure",
            Self::InvalidAction { .. } => "InvalidAction",
            Self::InvalidClientTokenId => "InvalidClientTokenId",
            Self::MalformedQueryString(_) => "MalformedQueryString",
            Self::MissingAction => "MissingAction",
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::SignatureDoesNotMatch(_) => "SignatureDoesNotMatch",
            Self::Throttling => "Throttling",
            Self::ValidationError(_) => "ValidationError",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::AccessDenied(_)
            | Self::ExpiredToken
            | Self::InvalidClientTokenId
            | Self::MissingAuthenticationToken
            | Self::SignatureDoesNotMatch(_) => 403,
            Self::IncompleteSignature(_)
            | Self::InvalidAction { .. }
            | Self::MissingAction
            | Self::Throttling
            | Self::ValidationError(_) => 400,
            Self::MalformedQueryString(_) => 404,
            Self::InternalFailure => 500,
            Self::ServiceUnavailable => 503,
        }
    }

    /// `Sender` for the caller's mistakes, `Receiver` for the service's.
    #[must_use]
    pub fn fault(&self) -> &'static str {
        if self.status() < 500 { "Sender" } else { "Receiver" }
    }
}
