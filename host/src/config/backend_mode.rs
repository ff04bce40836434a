//! `server.backendMode`: a list, or as on a command line a text.

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// A list, or as on a command line a text split on commas and blanks.
#[derive(Default)]
pub(super) struct BackendMode(pub(super) Vec<String>);

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
