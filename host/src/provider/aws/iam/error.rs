//! Why there are no tags: whose fault it is, and whether asking again can help.

use crate::provider::aws::service::{CallError, Failure};

/// Why a look-up gave no tags. None of them is an answer without tags.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IamError {
    /// The caller is neither a role's session nor a user of this partition of AWS.
    #[error("the caller is no role or user of AWS")]
    NoPrincipal,
    /// There is no role or user of that name in the account that was asked.
    #[error("IAM knows no role or user of that name")]
    NotFound,
    /// The caller is of an account that neither Herald's credentials nor a role are of, so IAM cannot tell of him.
    #[error("IAM tells nothing of the caller's account: neither Herald's credentials nor a role are of it")]
    OtherAccount,
    /// There is one, and it is another one than the caller: of another account, or made again.
    #[error("the role or user of that name has another id than the caller")]
    OtherPrincipal,
    /// The operator's fault: Herald itself has no credentials to ask IAM with, or may not assume the role.
    #[error("no credentials to ask IAM with: {0}")]
    Credentials(String),
    /// The operator's fault: there is no endpoint to ask.
    #[error("no IAM endpoint to ask: {0}")]
    Endpoint(String),
    /// The operator's fault: IAM refuses Herald's own request.
    #[error("IAM refuses to tell: {code} (HTTP {status}); Herald's credentials need iam:GetRole and iam:GetUser")]
    Refused {
        /// HTTP status code.
        status: u16,
        /// IAM's error code; at most 64 letters, digits and dots.
        code: String,
    },
    /// IAM is throttling. Worth a retry.
    #[error("IAM is throttling")]
    Throttled,
    /// Nobody's fault: IAM is out of reach or failing. Worth a retry.
    #[error("IAM is unavailable: {cause}")]
    Unavailable {
        /// What happened, as a stable label.
        cause: &'static str,
    },
    /// Nobody's fault that is known: what came back is no description of a role or user.
    #[error("IAM gave an answer that cannot be read: {0}")]
    Unintelligible(&'static str),
    /// Our own limit is reached. Worth a retry.
    #[error("the tags of too many callers are looked up at once")]
    Overloaded,
    /// It took too long, our own pace towards IAM included. Worth a retry.
    #[error("IAM was not asked, or did not answer, in time")]
    Timeout,
}

// === impl IamError ===

impl IamError {
    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoPrincipal => "tags_no_principal",
            Self::NotFound => "tags_not_found",
            Self::OtherAccount => "tags_other_account",
            Self::OtherPrincipal => "tags_other_principal",
            Self::Credentials(_) => "iam_credentials",
            Self::Endpoint(_) => "iam_endpoint",
            Self::Refused { .. } => "iam_refused",
            Self::Throttled => "iam_throttled",
            Self::Unavailable { .. } => "iam_unavailable",
            Self::Unintelligible(_) => "iam_unintelligible",
            Self::Overloaded => "iam_overloaded",
            Self::Timeout => "iam_timeout",
        }
    }

    /// Whether asking again later can help: it says nothing about the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::NoPrincipal | Self::NotFound | Self::OtherAccount | Self::OtherPrincipal)
    }
}

impl Failure for IamError {
    fn is_retryable(&self) -> bool {
        self.is_retryable()
    }

    fn timeout() -> Self {
        Self::Timeout
    }

    fn given_up() -> Self {
        Self::Unavailable { cause: "given_up" }
    }
}

impl From<CallError> for IamError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Credentials(why) => Self::Credentials(why),
            CallError::Endpoint(why) => Self::Endpoint(why),
            CallError::Unavailable(cause) => Self::Unavailable { cause },
        }
    }
}
