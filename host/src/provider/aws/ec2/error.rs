//! Why there is no name: whose fault it is, and whether asking again can help.

use crate::provider::aws::service::{CallError, Failure};

/// Why a look-up gave no name. Every one of them refuses the login.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Ec2Error {
    /// The caller's fault: the session is not called as EC2 calls those of instances.
    #[error("the caller's session is not named after an EC2 instance (`i-` and 8 or 17 hexadecimal digits)")]
    NotAnInstance,
    /// The caller's fault, or a wrong region: there is no such instance.
    #[error(
        "EC2 knows no instance of that id in {region}: another region or account is asked if it is set (`server.ec2`)"
    )]
    NotFound {
        /// The region that was asked.
        region: String,
    },
    /// The caller's fault: the instance is somebody else's.
    #[error("the instance is of another account than the caller's role")]
    OtherAccount,
    /// The operator's fault: Herald itself has no credentials to ask EC2 with, or may not assume the role.
    #[error("no credentials to ask EC2 with: {0}")]
    Credentials(String),
    /// The operator's fault: there is no endpoint to ask.
    #[error("no EC2 endpoint to ask: {0}")]
    Endpoint(String),
    /// The operator's fault: EC2 refuses Herald's own request.
    #[error("EC2 refuses to tell: {code} (HTTP {status}); Herald's credentials need ec2:DescribeInstances")]
    Refused {
        /// HTTP status code.
        status: u16,
        /// EC2's error code; at most 64 letters, digits and dots.
        code: String,
    },
    /// EC2 is throttling. Worth a retry.
    #[error("EC2 is throttling")]
    Throttled,
    /// Nobody's fault: EC2 is out of reach or failing. Worth a retry.
    #[error("EC2 is unavailable: {cause}")]
    Unavailable {
        /// What happened, as a stable label.
        cause: &'static str,
    },
    /// Nobody's fault that is known: what came back is no description of instances.
    #[error("EC2 gave an answer that cannot be read: {0}")]
    Unintelligible(&'static str),
    /// Our own limit is reached. Worth a retry.
    #[error("too many instances are looked up at once")]
    Overloaded,
    /// It took too long, our own pace towards EC2 included. Worth a retry.
    #[error("EC2 was not asked, or did not answer, in time")]
    Timeout,
}

// === impl Ec2Error ===

impl Ec2Error {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAnInstance => "node_not_an_instance",
            Self::NotFound { .. } => "node_not_found",
            Self::OtherAccount => "node_other_account",
            Self::Credentials(_) => "ec2_credentials",
            Self::Endpoint(_) => "ec2_endpoint",
            Self::Refused { .. } => "ec2_refused",
            Self::Throttled => "ec2_throttled",
            Self::Unavailable { .. } => "ec2_unavailable",
            Self::Unintelligible(_) => "ec2_unintelligible",
            Self::Overloaded => "ec2_overloaded",
            Self::Timeout => "ec2_timeout",
        }
    }

    /// Whether asking again later can help: it says nothing about the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::NotAnInstance | Self::NotFound { .. } | Self::OtherAccount)
    }
}

impl Failure for Ec2Error {
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

impl From<CallError> for Ec2Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Credentials(why) => Self::Credentials(why),
            CallError::Endpoint(why) => Self::Endpoint(why),
            CallError::Unavailable(cause) => Self::Unavailable { cause },
        }
    }
}
