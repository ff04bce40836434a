//! What a component carries: no bytes panic, and no schema takes long over settings.
//!
//! The input is a component, or `schema NUL settings`, both JSON.
#![no_main]

use herald::policy::{schema::Schema, sections::Sections};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sections) = Sections::of(bytes) {
        let _ = (sections.schema(), sections.examples());
    }
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (Some(schema), Some(settings)) = (parts.next(), parts.next()) else { return };
    if let (Ok(schema), Ok(settings)) = (Schema::parse(schema), serde_json::from_slice(settings)) {
        let found = schema.check(&settings);
        assert!(found.len() <= 10 && found == schema.check(&settings));
    }
});
