//! Configuration files: no text panics, takes long, or is half read.
#![no_main]

use std::path::Path;

use herald::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(Path::new("fuzz.yaml"), text) {
        Ok(loaded) => assert!(!loaded.config.sources.is_empty()),
        Err(error) => assert!(error.to_string().contains("fuzz.yaml")),
    }
});
