//! Refusals of a token's form: every check has its own, with its own stable label.
//!
//! No text holds a part of the token that could be secret: only names that are ours.

use std::sync::Arc;

use super::Field;
use crate::provider::{VerifyError, alibaba::Host};

/// The check that a token failed. Always the caller's fault; STS was not asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// `accept` is signed with a form that we do not read.
    #[error("accept is signed with another value than application/json, and the answer is read as JSON")]
    Accept,
    /// No key id in `Authorization`.
    #[error("authorization: the key id must be 1 to 128 letters, digits and dots")]
    AccessKeyId,
    /// `x-acs-accesskey-id` is another key than that of `Authorization`.
    #[error("x-acs-accesskey-id is not the key of authorization")]
    AccessKeyOther,
    /// Another action than `GetCallerIdentity`.
    #[error("x-acs-action must be GetCallerIdentity")]
    Action,
    /// Another algorithm.
    #[error("authorization: the algorithm must be ACS3-HMAC-SHA256")]
    Algorithm,
    /// `Authorization` is not in the form that signers write.
    #[error("authorization must be ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…")]
    Authorization,
    /// Not padded base64.
    #[error("not padded base64 after the prefix")]
    Base64,
    /// Signed for another cluster.
    #[error("signed for another cluster: the signed ACKClusterId is not this cluster's id")]
    ClusterId,
    /// The hash of a body.
    #[error("x-acs-content-sha256 must be the hash of an empty body")]
    ContentHash,
    /// `x-acs-date` is not a moment.
    #[error("x-acs-date must be written yyyy-mm-ddThh:mm:ssZ")]
    Date,
    /// A header is needed, or listed as signed, and not there.
    #[error("the header {} is missing", .0.name())]
    HeaderMissing(Field),
    /// A header comes twice, in whatever case.
    #[error("the header {} comes twice", .0.name())]
    HeaderTwice(Field),
    /// A header that such a request does not have.
    #[error("a header that a signed GetCallerIdentity request does not have")]
    HeaderUnknown,
    /// A header that must be signed is not.
    #[error("the header {} is not signed", .0.name())]
    HeaderUnsigned(Field),
    /// A header's value could change on its way.
    #[error("the header {} must be visible ASCII characters, with no more than single spaces between", .0.name())]
    HeaderValue(Field),
    /// `host` is signed, and is not where this server asks.
    #[error("host is signed, and this server asks {endpoint}: sign no host, or that one")]
    Host {
        /// Where this server asks.
        endpoint: Host,
    },
    /// Not a JSON object, or something behind it.
    #[error("not one JSON object after the prefix")]
    Json,
    /// A member is absent.
    #[error("the member {0} is missing")]
    MemberMissing(&'static str),
    /// A member comes twice.
    #[error("a member comes twice")]
    MemberTwice,
    /// A member or a value in it is of the wrong type.
    #[error("query and headers must be objects of texts, every other member a text")]
    MemberType,
    /// A member that no client writes.
    #[error("a member besides clusterId, method, path, query and headers")]
    MemberUnknown,
    /// A token of the first version.
    #[error(
        "k8s-ack-v1. tokens are signed with HMAC-SHA1 and are no longer accepted: make k8s-ack-v2. tokens, with \
         herald token, or with ack-ram-tool of August 2024 or later"
    )]
    Old,
    /// Not our prefix.
    #[error("does not start with k8s-ack-v2.")]
    Prefix,
    /// No cluster id.
    #[error("the query has no ACKClusterId: the token is for no cluster")]
    QueryMissing,
    /// The cluster id twice.
    #[error("the query has ACKClusterId twice")]
    QueryTwice,
    /// Another parameter than the cluster id.
    #[error("the query has a parameter besides ACKClusterId")]
    QueryUnknown,
    /// Signed headers out of order, or one twice.
    #[error("authorization: the signed headers must be in alphabetical order, each once")]
    SignedHeadersOrder,
    /// A header is signed that we cannot send.
    #[error("authorization: a header is signed that this server does not send")]
    SignedHeadersOther,
    /// Not a signature.
    #[error("authorization: the signature must be 64 lower-case hexadecimal digits")]
    Signature,
    /// Another method or path.
    #[error("method and path must be POST and /")]
    Target,
    /// Longer than [`super::MAX_TOKEN_BYTES`].
    #[error("longer than 8192 bytes")]
    TooLong,
    /// Another API version.
    #[error("x-acs-version must be 2015-04-01")]
    Version,
}

/// A group of checks of a token, in the order in which they are made.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TokenCheck {
    /// Prefix and length.
    Prefix,
    /// Padded base64.
    Encoding,
    /// One JSON object of the right shape.
    Json,
    /// This cluster's id is in the query, and nothing else.
    Cluster,
    /// The headers as such: each known, once, in plain characters.
    Headers,
    /// Action, version, hash of the body.
    Request,
    /// `x-acs-date`.
    Date,
    /// Algorithm, key and signature by their form.
    Authorization,
    /// All is signed that must be, and nothing that cannot be sent.
    SignedHeaders,
}

impl TokenCheck {
    /// The names of all of them in explanations, in order.
    pub const NAMES: [&str; 9] =
        ["prefix", "encoding", "json", "cluster", "headers", "request", "date", "authorization", "signed headers"];

    /// The name in explanations.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn of_missing(field: Field) -> Self {
        match field {
            Field::Action | Field::ContentSha256 | Field::Version => Self::Request,
            Field::Authorization => Self::Authorization,
            Field::Date => Self::Date,
            _ => Self::SignedHeaders,
        }
    }
}

// === impl InvalidToken ===

impl InvalidToken {
    /// The stable label for metrics and logs, and the check that found it: those before it were passed, those behind
    /// it not made.
    fn facts(&self) -> (&'static str, TokenCheck) {
        use TokenCheck::{Authorization, Cluster, Encoding, Headers, Json, Prefix, Request, SignedHeaders};
        match self {
            Self::Accept => ("accept", SignedHeaders),
            Self::AccessKeyId => ("access_key_id", Authorization),
            Self::AccessKeyOther => ("access_key_other", SignedHeaders),
            Self::Action => ("action", Request),
            Self::Algorithm => ("algorithm", Authorization),
            Self::Authorization => ("authorization", Authorization),
            Self::Base64 => ("token_base64", Encoding),
            Self::ClusterId => ("cluster_id", Cluster),
            Self::ContentHash => ("content_hash", Request),
            Self::Date => ("date", TokenCheck::Date),
            Self::HeaderMissing(field) => ("header_missing", TokenCheck::of_missing(*field)),
            Self::HeaderTwice(_) => ("header_twice", Headers),
            Self::HeaderUnknown => ("header_unknown", Headers),
            Self::HeaderUnsigned(_) => ("header_unsigned", SignedHeaders),
            Self::HeaderValue(_) => ("header_value", Headers),
            Self::Host { .. } => ("host_other", SignedHeaders),
            Self::Json => ("token_json", Json),
            Self::MemberMissing(_) => ("member_missing", Json),
            Self::MemberTwice => ("member_twice", Json),
            Self::MemberType => ("member_type", Json),
            Self::MemberUnknown => ("member_unknown", Json),
            Self::Old => ("token_v1", Prefix),
            Self::Prefix => ("token_prefix", Prefix),
            Self::QueryMissing => ("cluster_id_missing", Cluster),
            Self::QueryTwice => ("cluster_id_twice", Cluster),
            Self::QueryUnknown => ("parameter_unknown", Cluster),
            Self::SignedHeadersOrder => ("signed_headers_order", SignedHeaders),
            Self::SignedHeadersOther => ("signed_headers_other", SignedHeaders),
            Self::Signature => ("signature", Authorization),
            Self::Target => ("target", Json),
            Self::TooLong => ("token_too_long", Prefix),
            Self::Version => ("version", Request),
        }
    }

    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.facts().0
    }

    /// The check that found it.
    #[must_use]
    pub fn check(&self) -> TokenCheck {
        self.facts().1
    }
}

impl From<InvalidToken> for VerifyError {
    fn from(invalid: InvalidToken) -> Self {
        Self::Malformed { reason: invalid.reason(), check: invalid.check().name(), source: Arc::new(invalid) }
    }
}
