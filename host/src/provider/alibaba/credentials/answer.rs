//! Credentials as JSON: what metadata, credentials URIs, STS and the oldest file say them in.

use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Credentials, LoadError, Source, read_file};
use crate::provider::SecretText;

/// The members of an answer. Metadata and URIs say `Code` too, STS puts them under `Credentials`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: Option<String>,
    access_key_id: String,
    access_key_secret: SecretText,
    #[serde(default)]
    security_token: Option<SecretText>,
    #[serde(default)]
    expiration: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfSts {
    credentials: Answer,
}

/// `~/.acs/credentials`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Acs {
    acs_access_key_id: String,
    acs_access_key_secret: SecretText,
    #[serde(default)]
    acs_access_security_token: Option<SecretText>,
}

/// Reads what metadata or a URI answered.
///
/// # Errors
///
/// [`LoadError::Answer`].
pub fn plain(source_name: &'static str, body: &[u8]) -> Result<Credentials, LoadError> {
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => answer.credentials(source_name),
        Err(error) => Err(bad(source_name, &error)),
    }
}

/// Reads what STS answered to a role's assumption.
///
/// # Errors
///
/// [`LoadError::Answer`].
pub fn of_sts(body: &[u8]) -> Result<Credentials, LoadError> {
    const SOURCE: &str = "STS";
    match serde_json::from_slice::<OfSts>(body) {
        Ok(answer) => answer.credentials.credentials(SOURCE),
        Err(error) => Err(bad(SOURCE, &error)),
    }
}

/// Reads the file of the oldest clients.
pub(super) fn file(file: &Path) -> Result<Option<Source>, LoadError> {
    let Some(text) = read_file(file)?.map(Zeroizing::new) else { return Ok(None) };
    parse(&text).map(Some).map_err(|what| LoadError::file(file, what))
}

/// The same by the text of the file.
///
/// # Errors
///
/// What is wrong with it, without anything secret.
pub fn parse(text: &str) -> Result<Source, String> {
    let Acs { acs_access_key_id: id, acs_access_key_secret: secret, acs_access_security_token: token } =
        serde_json::from_str(text).map_err(|error| described(&error))?;
    if id.is_empty() || secret.expose().is_empty() {
        return Err("AcsAccessKeyId or AcsAccessKeySecret is empty".to_owned());
    }
    let token = token.as_ref().map(SecretText::expose).filter(|token| !token.is_empty());
    Ok(Source::Keys(Credentials::new(&id, secret.expose(), token)))
}

/// What is wrong with a JSON text, without what stands in it.
pub(super) fn described(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Data => "is not of the shape it should have",
        Category::Eof | Category::Io | Category::Syntax => "is not JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

fn bad(source_name: &'static str, error: &serde_json::Error) -> LoadError {
    LoadError::Answer { source_name, what: format!("its answer {}", described(error)) }
}

// === impl Answer ===

impl Answer {
    fn credentials(self, source_name: &'static str) -> Result<Credentials, LoadError> {
        let wrong = |what: &str| LoadError::Answer { source_name, what: what.to_owned() };
        if self.code.is_some_and(|code| code != "Success") {
            return Err(wrong("its answer has another code than Success"));
        }
        if self.access_key_id.is_empty() || self.access_key_secret.expose().is_empty() {
            return Err(wrong("its answer has an empty key"));
        }
        let end = self.expiration.filter(|text| !text.is_empty()).map(|text| humantime::parse_rfc3339(&text));
        let expires_at = end.transpose().map_err(|_| wrong("its answer's Expiration is no time"))?;
        let token = self.security_token.as_ref().map(SecretText::expose).filter(|token| !token.is_empty());
        Ok(Credentials { expires_at, ..Credentials::new(&self.access_key_id, self.access_key_secret.expose(), token) })
    }
}
