//! Cloud providers: what a token asks its cloud, and what the cloud's answer says about the caller.
//!
//! A provider is pure. It reads a token into a typed [`StsCall`] ([`Provider::inspect`]) and an
//! [`StsReply`] into a [`Caller`] ([`Provider::interpret`]); [`crate::sts`] alone talks to the network.
//! Every error denies.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{HeaderName, HeaderValue, Method};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use crate::{caller::Caller, token::BearerToken};

pub mod alibaba;
pub mod aws;
mod cluster_id;
mod http;
mod members;
pub mod validity;

pub use cluster_id::{ClusterId, InvalidClusterId};

/// A cloud whose tokens can be taken and made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// `alibaba`: Alibaba Cloud.
    Alibaba,
    /// `aws`: Amazon Web Services.
    Aws,
}

/// Not the name of a cloud.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no such provider: must be aws or alibaba")]
pub struct InvalidCloud;

/// One cloud's way to prove who is calling.
pub trait Provider: Send + Sync {
    /// `aws` or `alibaba`: the name in configuration, logs, metrics and the policy contract.
    fn name(&self) -> &'static str;

    /// What this provider's tokens start with, e.g. `k8s-aws-v1.`, those included that it reads only to say why they
    /// are no longer taken.
    fn prefixes(&self) -> &'static [&'static str];

    /// Whether `token` is this provider's to judge.
    fn claims(&self, token: &BearerToken) -> bool {
        self.prefixes().iter().any(|prefix| token.expose().starts_with(prefix))
    }

    /// The names of the checks that [`inspect`](Self::inspect) makes before that of the clock, in order.
    fn checks(&self) -> &'static [&'static str];

    /// Reads `token` strictly and rebuilds, from typed fields in canonical order, the one request
    /// that STS is to be asked. Pure: no network, no clock but `now`, microseconds.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Malformed`], [`VerifyError::Expired`] or [`VerifyError::NotYetValid`].
    fn inspect(&self, token: &BearerToken, now: SystemTime) -> Result<StsCall, VerifyError>;

    /// Reads what STS answered to `call`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Refused`] or [`VerifyError::Throttled`] when STS said so, and
    /// [`VerifyError::Unintelligible`] when its answer names no caller.
    fn interpret(&self, call: &StsCall, reply: &StsReply) -> Result<Caller, VerifyError>;
}

/// A fresh token, made by a client.
#[derive(Debug)]
pub struct Token {
    /// The token.
    pub token: BearerToken,
    /// When its owner should ask for another one.
    pub expires_at: SystemTime,
}

/// The request that proves a caller, rebuilt from a token's typed fields.
pub struct StsCall {
    /// Host to ask: from the provider's table or the operator's configuration.
    pub host: String,
    /// Region of that host, for metrics; empty for a global endpoint.
    pub region: String,
    /// The method that was signed.
    pub method: Method,
    /// Path and query in canonical order. Holds the signature.
    pub path_and_query: SecretText,
    /// Headers that were signed and those that fix the shape of the answer; `host` is not among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The key that signed.
    pub access_key_id: String,
    /// When the request was signed.
    pub signed_at: SystemTime,
    /// When it is no longer accepted: by the cloud, or by `server.sts.maxTokenAge` earlier.
    pub expires_at: SystemTime,
}

/// Text that holds a signature: wiped when dropped, never printed.
#[derive(Clone, Default)]
pub struct SecretText(zeroize::Zeroizing<String>);

/// What STS answered, at most as many bytes as the executor's cap.
pub struct StsReply {
    /// HTTP status code.
    pub status: u16,
    /// The `Content-Type` header, if it was text.
    pub content_type: Option<String>,
    /// How long the server asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: Bytes,
}

/// Why a token did not become a [`Caller`]. Every one of them denies.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The caller's fault: signed too long ago. Definite.
    #[error("the token has expired: it was signed {}", humantime::format_rfc3339_seconds(*signed_at))]
    Expired {
        /// When it was signed.
        signed_at: SystemTime,
    },
    /// Not a token of any provider here; somebody else's bearer token. Never logged.
    #[error("not a token of a configured provider")]
    Foreign,
    /// The caller's fault: the bytes are not a presigned request this cluster accepts. Definite;
    /// STS was not asked.
    #[error("malformed token: {source}")]
    Malformed {
        /// The failed check's stable label.
        reason: &'static str,
        /// Which of the provider's [`checks`](Provider::checks) it is.
        check: &'static str,
        /// The failed check. Its text holds no part of the token that could be secret.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The caller's fault: dated further in the future than clocks differ. Definite.
    #[error(
        "the token is dated in the future: check the clocks of the machine that made it and of the one that checks it"
    )]
    NotYetValid,
    /// Our own limit towards STS is reached. Worth a retry.
    #[error("too many logins at once: {limit}")]
    Overloaded {
        /// The limit's name, e.g. `sts_in_flight`.
        limit: &'static str,
    },
    /// STS refused the request: wrong key, cluster id or clock on the caller's side, a session that has ended, or a nonce that it
    /// knows. Definite.
    #[error("STS refused the token: {code} (HTTP {status}); {}", why_refused(code))]
    Refused {
        /// HTTP status code.
        status: u16,
        /// The cloud's error code, e.g. `SignatureDoesNotMatch`; at most 64 letters and digits.
        code: String,
    },
    /// STS is throttling. Worth a retry after the given time.
    #[error("STS is throttling")]
    Throttled {
        /// How long STS asked to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// Nobody's fault: STS is out of reach, too slow or failing. Worth a retry.
    #[error("STS is unavailable: {cause}")]
    Unavailable {
        /// What happened, as a stable label: `breaker_open`, `connect`, `dns`, `protocol`, `redirect`,
        /// `request`, `reset`, `server_error`, `timeout`, `tls`, `too_large`.
        cause: &'static str,
    },
    /// Nobody's fault that is known: STS answered something that names no caller. Says nothing about the caller, so
    /// it is not remembered; and worth an alert: this may not be STS.
    #[error("STS gave an answer that names no caller: {0}")]
    Unintelligible(&'static str),
}

/// Who has to do something about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The caller: another try with the same token cannot work.
    Caller,
    /// Nobody for long: another try may work.
    Retry,
}

/// What makes STS refuse with `code`.
fn why_refused(code: &str) -> &'static str {
    match code {
        // AWS STS API Reference, "GetCallerIdentity".
        "AccessDenied" => {
            "nobody needs a permission for this, so a policy on the way denies it, as that of a VPC endpoint"
        }
        "ExpiredToken" | "ExpiredTokenException" | "InvalidSecurityToken.Expired" => {
            "the session of the key that signed it has ended: whoever made it has to sign in again"
        }
        "SignatureNonceUsed" => "it takes an x-acs-signature-nonce once: a token without one can be used until it ends",
        _ => "a wrong cluster id, key or clock on the caller's side does this",
    }
}

// === impl Cloud ===

impl Cloud {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Aws, Self::Alibaba];

    /// The name in configuration, logs, metrics and the policy contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alibaba => alibaba::NAME,
            Self::Aws => aws::NAME,
        }
    }
}

impl FromStr for Cloud {
    type Err = InvalidCloud;

    fn from_str(text: &str) -> Result<Self, InvalidCloud> {
        [Self::Alibaba, Self::Aws].into_iter().find(|cloud| cloud.name() == text).ok_or(InvalidCloud)
    }
}

// === impl VerifyError ===

impl VerifyError {
    /// The stable label for metrics, logs and `TokenReview.status.error`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Foreign => "foreign",
            Self::Malformed { reason, .. } => reason,
            Self::NotYetValid => "not_yet_valid",
            Self::Overloaded { .. } => "overloaded",
            Self::Refused { .. } => "sts_refused",
            Self::Throttled { .. } => "sts_throttled",
            Self::Unavailable { .. } => "sts_unavailable",
            Self::Unintelligible(_) => "sts_unintelligible",
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Expired { .. }
            | Self::Foreign
            | Self::Malformed { .. }
            | Self::NotYetValid
            | Self::Refused { .. } => Blame::Caller,
            Self::Overloaded { .. } | Self::Throttled { .. } | Self::Unavailable { .. } | Self::Unintelligible(_) => {
                Blame::Retry
            }
        }
    }
}

// === impl SecretText ===

impl SecretText {
    /// Takes `text` over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }

    /// The secret itself: for the one request it was made for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({} bytes, hidden)", self.0.len())
    }
}

impl fmt::Debug for StsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StsCall")
            .field("host", &self.host)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

// === impl StsReply ===

impl StsReply {
    /// Whether it calls itself `application/json`, in UTF-8 if it says more.
    #[must_use]
    pub fn is_json(&self) -> bool {
        let (media, parameter) = self.content_type.as_deref().map_or(("", None), |text| match text.split_once(';') {
            Some((media, parameter)) => (media.trim_end(), Some(parameter.trim())),
            None => (text, None),
        });
        media.eq_ignore_ascii_case("application/json")
            && parameter.is_none_or(|text| {
                text.eq_ignore_ascii_case("charset=utf-8") || text.eq_ignore_ascii_case("charset=\"utf-8\"")
            })
    }
}

impl fmt::Debug for StsReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StsReply(HTTP {}, {} bytes)", self.status, self.body.len())
    }
}
