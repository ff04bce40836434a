//! Bindings generated from `wit/`: the only place of the SDK with `unsafe` code.
//!
//! They are kept as text, so that building a policy does not build their generator first; a test holds them to
//! the contract (`tests/bindings.rs`).
#![allow(unsafe_code, reason = "the canonical ABI lifts and lowers through raw memory; wit-bindgen writes that code")]
#![allow(
    missing_docs,
    unreachable_pub,
    unused_imports,
    unused_qualifications,
    reason = "generated; the documented types are the crate's own"
)]
#![allow(clippy::all, reason = "generated")]

#[rustfmt::skip]
pub mod v0_1;

pub use self::v0_1::{
    exports::herald::policy::mapper::Guest,
    herald::policy::{cloud as host_cloud, data as host_data, log as host_log, types},
};
