//! Manifests of API servers: once is enough, and what is put in can be taken out.
#![no_main]

use std::path::Path;

use herald::config::static_pod::{patch, undo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = Path::new("/etc/kubernetes/fuzz/kubeconfig.yaml");
    let Ok(patched) = patch(text, path) else { return };
    assert_eq!(patch(&patched, path).as_ref(), Ok(&patched));
    let clean = undo(text, path);
    if let (Ok(clean), Ok(undone)) = (clean, undo(&patched, path)) {
        assert_eq!(clean.trim_end(), undone.trim_end());
    }
});
