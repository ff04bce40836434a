//! Configuration files: no text panics, takes long, or is half read.
#![no_main]

use std::path::Path;

use herald::config::{CheckedFile, Config, Severity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(Path::new("fuzz.yaml"), text) {
        Ok(loaded) => assert!(!loaded.config.sources.is_empty()),
        Err(error) => assert!(error.to_string().contains("fuzz.yaml")),
    }
    let checked = CheckedFile::parse(Path::new("fuzz.yaml"), text.to_owned());
    assert!(checked.findings.iter().all(|finding| !finding.refuses || finding.severity == Severity::Error));
});
