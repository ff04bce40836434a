//! Errors of STS of Alibaba Cloud: the codes and statuses of the real service (Security Token Service API Reference,
//! "Error codes"; Alibaba Cloud OpenAPI, "Common error codes").

/// Why a request got no answer. The text is the `Message` a caller reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The form of the signature is wrong.
    #[error("The request signature does not conform to Alibaba Cloud standards.")]
    IncompleteSignature,
    /// Something broke inside.
    #[error("The request processing has failed due to some unknown error.")]
    InternalError,
    /// The key is turned off.
    #[error("The Access Key is disabled.")]
    KeyInactive,
    /// No such key.
    #[error("Specified access key is not found.")]
    KeyNotFound,
    /// No such action.
    #[error("Specified api is not found, please check your url and method.")]
    InvalidAction,
    /// A parameter's value breaks its rule.
    #[error("The parameter {0} does not conform to the rule.")]
    InvalidParameter(&'static str),
    /// No such version.
    #[error("Specified parameter Version is not valid.")]
    InvalidVersion,
    /// A temporary key without its token.
    #[error("SecurityToken is mandatory for this action.")]
    MissingSecurityToken,
    /// A parameter is not there.
    #[error("The input parameter {0} that is mandatory for processing this request is not supplied.")]
    MissingParameter(&'static str),
    /// The caller may not do this.
    #[error("You are not authorized to do this action. You should be authorized by RAM.")]
    NoPermission,
    /// No such role.
    #[error("The specified Role not exists.")]
    NoRole,
    /// A nonce that was used before.
    #[error("Specified signature nonce was used already.")]
    NonceUsed,
    /// The signature differs.
    #[error("Specified signature is not matched with our calculation.")]
    SignatureDoesNotMatch,
    /// The service is down.
    #[error("The request has failed due to a temporary failure of the server.")]
    ServiceUnavailable,
    /// Too many requests.
    #[error("Request was denied due to user flow control.")]
    Throttling,
    /// Signed too long ago, or in the future.
    #[error("Specified time stamp or date value is expired.")]
    TimeExpired,
    /// A temporary key after its end.
    #[error("Specified SecurityToken is expired.")]
    TokenExpired,
    /// A token of another key.
    #[error("Specified SecurityToken mismatch with the AccessKey.")]
    TokenMismatch,
}

// === impl Error ===

impl Error {
    /// The `Code` in the answer, and the HTTP status.
    fn facts(self) -> (&'static str, u16) {
        match self {
            Self::IncompleteSignature => ("IncompleteSignature", 400),
            Self::InternalError => ("InternalError", 500),
            Self::KeyInactive => ("InvalidAccessKeyId.Inactive", 400),
            Self::KeyNotFound => ("InvalidAccessKeyId.NotFound", 404),
            Self::InvalidAction => ("InvalidAction.NotFound", 404),
            Self::InvalidParameter(_) => ("InvalidParameter", 400),
            Self::InvalidVersion => ("InvalidVersion", 400),
            Self::MissingSecurityToken => ("MissingSecurityToken", 400),
            Self::MissingParameter(_) => ("MissingParameter", 400),
            Self::NoPermission => ("NoPermission", 403),
            Self::NoRole => ("EntityNotExist.Role", 404),
            Self::NonceUsed => ("SignatureNonceUsed", 400),
            Self::SignatureDoesNotMatch => ("SignatureDoesNotMatch", 400),
            Self::ServiceUnavailable => ("ServiceUnavailable", 503),
            Self::Throttling => ("Throttling.User", 400),
            Self::TimeExpired => ("InvalidTimeStamp.Expired", 400),
            Self::TokenExpired => ("InvalidSecurityToken.Expired", 400),
            Self::TokenMismatch => ("InvalidSecurityToken.MismatchWithAccessKey", 400),
        }
    }

    /// The `Code` in the answer.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.facts().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.facts().1
    }

    /// The whole answer.
    pub(in crate::sts) fn body(self, host: &str, request_id: &str) -> String {
        let code = self.code();
        let recommend = format!("https://api.aliyun.com/troubleshoot?q={code}&product=Sts");
        serde_json::json!({
            "RequestId": request_id, "HostId": host, "Code": code, "Message": self.to_string(),
            "Recommend": recommend,
        })
        .to_string()
    }
}
