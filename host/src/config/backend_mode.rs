//! Backend mode: which sources are asked, in order, as the file, the command line or a file of its own says.
//!
//! The file of its own is JSON, `{"LastUpdatedDateTime": "…", "Version": "…", "backendMode": "MountedFile
//! DynamicFile"}`, and goes over both others while it is there.

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    time::{Duration, SystemTime},
};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::ConfigError;

/// A list, or as on a command line a text split on commas and blanks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct BackendMode(pub(super) Vec<String>);

/// The document; its other keys are for people.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "backendMode", alias = "BackendMode", alias = "backendmode")]
    backend_mode: BackendMode,
    #[serde(rename = "LastUpdatedDateTime", default)]
    last_updated: serde_json::Value,
}

/// What a file of its own says.
pub(super) struct Written {
    pub(super) modes: BackendMode,
    /// The whole of it.
    pub(super) text: String,
    /// When its writer wrote it, by his own word.
    pub(super) at: Option<SystemTime>,
}

/// What the file at `path` says; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Written>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ConfigError::Unreadable { file: path.to_owned(), cause }),
    };
    let document: Result<Document, _> = serde_json::from_str(&text);
    let Document { backend_mode: modes, last_updated } =
        document.map_err(|error| ConfigError::Build { file: path.to_owned(), what: error.to_string() })?;
    let at = last_updated.as_str().and_then(moment);
    Ok(Some(Written { modes, text, at }))
}

/// The moment of `LastUpdatedDateTime`: whole seconds since 1970, as text.
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(text.parse().ok()?))
}

// === impl BackendMode ===

impl<'de> Deserialize<'de> for BackendMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BackendModeVisitor)
    }
}

struct BackendModeVisitor;

impl<'de> Visitor<'de> for BackendModeVisitor {
    type Value = BackendMode;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of sources")
    }

    fn visit_str<E>(self, text: &str) -> Result<BackendMode, E> {
        let names = text.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty());
        Ok(BackendMode(names.map(str::to_owned).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BackendMode, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(BackendMode(names))
    }
}
