//! `KUBERNETES_EXEC_INFO`: no text panics, and an answer is only ever in a version that was asked for.
#![no_main]

use herald::kubernetes::exec_credential::ApiVersion;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(version) = ApiVersion::requested(Some(text)) {
        let name = serde_json::to_string(&version).expect("a name");
        assert!(text.is_empty() || text.contains(name.trim_matches('"')) || text.contains('\\'));
    }
});
