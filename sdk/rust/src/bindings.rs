//! Generated from `wit/`, and nothing else: the only place of the SDK with `unsafe` code.
#![allow(unsafe_code, reason = "the canonical ABI lifts and lowers through raw memory; wit-bindgen writes that code")]
#![allow(missing_docs, unreachable_pub, reason = "generated; the documented types are the crate's own")]
#![allow(clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit/v0.1.0",
    world: "policy",
    export_macro_name: "export_component",
    pub_export_macro: true,
    default_bindings_module: "herald_policy::bindings",
});

pub use self::{
    exports::herald::policy::mapper::Guest,
    herald::policy::{log as host_log, types},
};
