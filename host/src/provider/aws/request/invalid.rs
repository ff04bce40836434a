//! Refusals of a token's form: every check has its own, with its own stable label.
//!
//! No text holds a part of the token that could be secret: only names that are ours.

use std::sync::Arc;

use super::query::Parameter;
use crate::provider::{VerifyError, aws::hosts::Partition};

/// The check that a token failed. Always the caller's fault; STS was not asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// `X-Amz-Credential` does not start with an access key id.
    #[error("X-Amz-Credential: the access key id must be 16 to 128 upper-case letters and digits")]
    AccessKeyId,
    /// Another action than `GetCallerIdentity`.
    #[error("Action must be GetCallerIdentity")]
    Action,
    /// Another algorithm than SigV4's.
    #[error("X-Amz-Algorithm must be AWS4-HMAC-SHA256")]
    Algorithm,
    /// Not unpadded base64url.
    #[error("not unpadded base64url after the prefix")]
    Base64,
    /// The credential scope is of another day than the signature.
    #[error("X-Amz-Credential: the scope's date is not the day of X-Amz-Date")]
    CredentialDate,
    /// The credential scope is of another region than the host.
    #[error("X-Amz-Credential: the scope's region is not the host's, {expected}")]
    CredentialRegion {
        /// The region of the host, from the table.
        expected: String,
    },
    /// The credential scope is of another service.
    #[error("X-Amz-Credential: the scope's service is not sts")]
    CredentialService,
    /// `X-Amz-Credential` does not have five parts.
    #[error("X-Amz-Credential must be key/date/region/sts/aws4_request")]
    CredentialSyntax,
    /// The credential scope does not end as SigV4's do.
    #[error("X-Amz-Credential: the scope does not end in aws4_request")]
    CredentialTerminator,
    /// `X-Amz-Date` is not a moment.
    #[error("X-Amz-Date must be written yyyymmddThhmmssZ")]
    Date,
    /// `X-Amz-Expires` is not a plain number.
    #[error("X-Amz-Expires must be a number of seconds without sign or leading zero")]
    Expires,
    /// `X-Amz-Expires` is more than STS grants.
    #[error("X-Amz-Expires must be at most 900")]
    ExpiresRange,
    /// A parameter occurs twice, in whatever case.
    #[error("{} occurs more than once", .0.name())]
    Duplicate(Parameter),
    /// An STS host, but of another partition than this server's.
    #[error("signed for partition {found}, but this server is of {expected}")]
    HostPartition {
        /// The host's partition.
        found: Partition,
        /// The server's.
        expected: Partition,
    },
    /// Written like an STS host, but of a region that is not in the table.
    #[error("signed for {host}, which this server does not know: if AWS has it, add it to the configuration")]
    HostRegion {
        /// The host: `sts` or `sts-fips`, one DNS label, a domain of AWS.
        host: String,
    },
    /// Not an STS host.
    #[error("not signed for a host of STS")]
    HostUnknown,
    /// A parameter is absent.
    #[error("{} is missing", .0.name())]
    Missing(Parameter),
    /// A parameter that such a request does not have.
    #[error("a parameter that a presigned GetCallerIdentity request does not have")]
    ParameterUnknown,
    /// Another path than `/`.
    #[error("the URL's path must be /")]
    Path,
    /// Not our prefix.
    #[error("does not start with k8s-aws-v1.")]
    Prefix,
    /// A raw character that signers escape.
    #[error("{} holds a character that must be percent-encoded", .0.name())]
    QueryCharacter(Parameter),
    /// A value that decodes to something that is no visible ASCII character.
    #[error("{} decodes to something other than visible ASCII characters", .0.name())]
    QueryDecoded(Parameter),
    /// A `%` without two hexadecimal digits.
    #[error("{} holds a broken percent escape", .0.name())]
    QueryEscape(Parameter),
    /// No query at all.
    #[error("the URL has no query")]
    QueryMissing,
    /// A part of the query that is not `name=value`.
    #[error("the query holds a part that is not name=value")]
    QuerySyntax,
    /// Not an https URL.
    #[error("the URL's scheme must be https")]
    Scheme,
    /// A session token that is there but empty.
    #[error("X-Amz-Security-Token is empty")]
    SecurityTokenEmpty,
    /// A signature that is not lower-case hexadecimal.
    #[error("X-Amz-Signature must be lower-case hexadecimal")]
    SignatureCharacters,
    /// A signature of the wrong length.
    #[error("X-Amz-Signature must have 64 digits")]
    SignatureLength,
    /// The cluster id is not signed.
    #[error("X-Amz-SignedHeaders: x-k8s-aws-id is not signed")]
    SignedHeadersClusterId,
    /// The host is not signed.
    #[error("X-Amz-SignedHeaders: host is not signed")]
    SignedHeadersHost,
    /// More is signed than we can send, or not in SigV4's order.
    #[error("X-Amz-SignedHeaders must be host;x-k8s-aws-id and nothing else")]
    SignedHeadersOther,
    /// Longer than [`super::MAX_TOKEN_BYTES`].
    #[error("longer than 8192 bytes")]
    TooLong,
    /// A backslash, which some parsers take for a slash.
    #[error("the URL holds a backslash")]
    UrlBackslash,
    /// A byte that is no visible ASCII character.
    #[error("the URL holds something other than visible ASCII characters")]
    UrlCharacter,
    /// A fragment.
    #[error("the URL has a fragment")]
    UrlFragment,
    /// A port, even the usual one.
    #[error("the URL names a port")]
    UrlPort,
    /// A user name or password.
    #[error("the URL holds a user name")]
    UrlUserinfo,
    /// Another API version.
    #[error("Version must be 2011-06-15")]
    Version,
}

// === impl InvalidToken ===

impl InvalidToken {
    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AccessKeyId => "access_key_id",
            Self::Action => "action",
            Self::Algorithm => "algorithm",
            Self::Base64 => "token_base64",
            Self::CredentialDate => "credential_date",
            Self::CredentialRegion { .. } => "credential_region",
            Self::CredentialService => "credential_service",
            Self::CredentialSyntax => "credential_syntax",
            Self::CredentialTerminator => "credential_terminator",
            Self::Date => "date",
            Self::Expires => "expires",
            Self::ExpiresRange => "expires_range",
            Self::Duplicate(parameter) => parameter.duplicate_label(),
            Self::HostPartition { .. } => "host_partition",
            Self::HostRegion { .. } => "host_region",
            Self::HostUnknown => "host_unknown",
            Self::Missing(parameter) => parameter.missing_label(),
            Self::ParameterUnknown => "parameter_unknown",
            Self::Path => "url_path",
            Self::Prefix => "token_prefix",
            Self::QueryCharacter(_) => "query_character",
            Self::QueryDecoded(_) => "query_decoded",
            Self::QueryEscape(_) => "query_escape",
            Self::QueryMissing => "query_missing",
            Self::QuerySyntax => "query_syntax",
            Self::Scheme => "url_scheme",
            Self::SecurityTokenEmpty => "security_token_empty",
            Self::SignatureCharacters => "signature_characters",
            Self::SignatureLength => "signature_length",
            Self::SignedHeadersClusterId => "signed_headers_cluster_id",
            Self::SignedHeadersHost => "signed_headers_host",
            Self::SignedHeadersOther => "signed_headers_other",
            Self::TooLong => "token_too_long",
            Self::UrlBackslash => "url_backslash",
            Self::UrlCharacter => "url_character",
            Self::UrlFragment => "url_fragment",
            Self::UrlPort => "url_port",
            Self::UrlUserinfo => "url_userinfo",
            Self::Version => "version",
        }
    }
}

/// A group of checks of a token, in the order in which they are made.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TokenCheck {
    /// Prefix and length.
    Prefix,
    /// Unpadded base64url.
    Encoding,
    /// A URL with nothing special about it.
    Url,
    /// A host of STS that this server asks.
    Host,
    /// The query as such: each parameter once, properly escaped.
    Query,
    /// Action, version and algorithm.
    Request,
    /// `X-Amz-Date`.
    Date,
    /// `X-Amz-Credential`.
    Credential,
    /// `X-Amz-Expires`.
    Expires,
    /// The cluster id's header is signed, and no header that cannot be sent.
    SignedHeaders,
    /// The signature's form, and the session token's.
    Signature,
}

impl TokenCheck {
    /// The names of all of them in explanations, in order.
    pub const NAMES: [&str; 11] = [
        "prefix",
        "encoding",
        "url",
        "host",
        "query",
        "request",
        "date",
        "credential",
        "expires",
        "signed headers",
        "signature",
    ];

    /// The name in explanations.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn of(parameter: Parameter) -> Self {
        match parameter {
            Parameter::Action | Parameter::Version | Parameter::Algorithm => Self::Request,
            Parameter::Credential => Self::Credential,
            Parameter::Date => Self::Date,
            Parameter::Expires => Self::Expires,
            Parameter::SignedHeaders => Self::SignedHeaders,
            Parameter::SecurityToken | Parameter::Signature => Self::Signature,
        }
    }
}

impl InvalidToken {
    /// The check that found it: those before it were passed, those behind it not made.
    #[must_use]
    pub fn check(&self) -> TokenCheck {
        match self {
            Self::Prefix | Self::TooLong => TokenCheck::Prefix,
            Self::Base64 => TokenCheck::Encoding,
            Self::Path
            | Self::QueryMissing
            | Self::Scheme
            | Self::UrlBackslash
            | Self::UrlCharacter
            | Self::UrlFragment
            | Self::UrlPort
            | Self::UrlUserinfo => TokenCheck::Url,
            Self::HostPartition { .. } | Self::HostRegion { .. } | Self::HostUnknown => TokenCheck::Host,
            Self::Duplicate(_)
            | Self::ParameterUnknown
            | Self::QueryCharacter(_)
            | Self::QueryDecoded(_)
            | Self::QueryEscape(_)
            | Self::QuerySyntax => TokenCheck::Query,
            Self::Action | Self::Algorithm | Self::Version => TokenCheck::Request,
            Self::Date => TokenCheck::Date,
            Self::AccessKeyId
            | Self::CredentialDate
            | Self::CredentialRegion { .. }
            | Self::CredentialService
            | Self::CredentialSyntax
            | Self::CredentialTerminator => TokenCheck::Credential,
            Self::Expires | Self::ExpiresRange => TokenCheck::Expires,
            Self::SignedHeadersClusterId | Self::SignedHeadersHost | Self::SignedHeadersOther => {
                TokenCheck::SignedHeaders
            }
            Self::SecurityTokenEmpty | Self::SignatureCharacters | Self::SignatureLength => TokenCheck::Signature,
            Self::Missing(parameter) => TokenCheck::of(*parameter),
        }
    }
}

impl From<InvalidToken> for VerifyError {
    fn from(invalid: InvalidToken) -> Self {
        Self::Malformed { reason: invalid.reason(), check: invalid.check().name(), source: Arc::new(invalid) }
    }
}
