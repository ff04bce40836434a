//! Manifests of API servers: once is enough, and what is put in can be taken out.
#![no_main]

use std::path::Path;

use herald::config::static_pod::{patch, undo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = Path::new("/etc/kubernetes/fuzz/kubeconfig.yaml");
    let Ok(patched) = patch(text, path) else { return };
    assert_eq!(patch(&patched, path).as_ref(), Ok(&patched));
    // Where there is something of ours already, it may stand in a way that only its owner can take out.
    let Ok(clean) = undo(text, path) else { return };
    match undo(&patched, path) {
        Ok(undone) => assert_eq!(clean.trim_end(), undone.trim_end()),
        // A return by itself ends a line for YAML alone, so that no line is where it is said to be.
        Err(error) => assert!(text.replace("\r\n", "\n").contains('\r'), "{error}: {patched:?}"),
    }
});
