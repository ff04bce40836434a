//! Headers that a token may carry, and which of them are signed.

use super::InvalidToken;

/// A header that a token may carry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Field {
    /// `accept`.
    Accept,
    /// `authorization`: what says who signed; never signed itself.
    Authorization,
    /// `host`.
    Host,
    /// `user-agent`.
    UserAgent,
    /// `x-acs-accesskey-id`.
    AccessKeyId,
    /// `x-acs-action`.
    Action,
    /// `x-acs-content-sha256`.
    ContentSha256,
    /// `x-acs-credentials-provider`.
    CredentialsProvider,
    /// `x-acs-date`.
    Date,
    /// `x-acs-security-token`.
    SecurityToken,
    /// `x-acs-signature-nonce`.
    SignatureNonce,
    /// `x-acs-version`.
    Version,
}

// === impl Field ===

impl Field {
    /// All of them, by name.
    pub const ALL: [Self; 12] = [
        Self::Accept,
        Self::Authorization,
        Self::Host,
        Self::UserAgent,
        Self::AccessKeyId,
        Self::Action,
        Self::ContentSha256,
        Self::CredentialsProvider,
        Self::Date,
        Self::SecurityToken,
        Self::SignatureNonce,
        Self::Version,
    ];

    /// The name, as it is signed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Authorization => "authorization",
            Self::Host => "host",
            Self::UserAgent => "user-agent",
            Self::AccessKeyId => "x-acs-accesskey-id",
            Self::Action => "x-acs-action",
            Self::ContentSha256 => "x-acs-content-sha256",
            Self::CredentialsProvider => "x-acs-credentials-provider",
            Self::Date => "x-acs-date",
            Self::SecurityToken => "x-acs-security-token",
            Self::SignatureNonce => "x-acs-signature-nonce",
            Self::Version => "x-acs-version",
        }
    }

    /// The header of that name, whose case does not matter.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name().eq_ignore_ascii_case(name))
    }

    /// Whether STS would act on it, so that a token that carries it must sign it. What is left is never sent
    /// unsigned.
    pub(super) fn must_be_signed(self) -> bool {
        !matches!(self, Self::Accept | Self::Authorization | Self::UserAgent)
    }

    /// Whether every request has it.
    fn is_required(self) -> bool {
        matches!(self, Self::Action | Self::ContentSha256 | Self::Date | Self::Version)
    }

    /// Whether it may be signed beyond what a request needs.
    pub(super) fn is_further(self) -> bool {
        !self.is_required() && !matches!(self, Self::Authorization | Self::SecurityToken)
    }
}

/// The headers in a list of signed ones: names in lower case and in order, each once, all those that every request
/// has among them.
pub(super) fn signed(list: &str) -> Result<Vec<Field>, InvalidToken> {
    let mut fields: Vec<Field> = Vec::new();
    for name in list.split(';') {
        let field = Field::of(name).filter(|field| field.name() == name && *field != Field::Authorization);
        let field = field.ok_or(InvalidToken::SignedHeadersOther)?;
        if fields.last().is_some_and(|last| *last >= field) {
            return Err(InvalidToken::SignedHeadersOrder);
        }
        fields.push(field);
    }
    match Field::ALL.into_iter().find(|field| field.is_required() && !fields.contains(field)) {
        Some(field) => Err(InvalidToken::HeaderUnsigned(field)),
        None => Ok(fields),
    }
}
