//! The Rust side of the policy contract: a trait, owned types and the helpers most policies need.
//!
#![doc = include_str!("../README.md")]

pub mod cloud;
pub mod data;
pub mod log;

mod answer;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
mod glob;
mod policy;
mod request;
mod rules;
mod template;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use self::{
    answer::{Decision, Fault, Mapping},
    glob::{Glob, InvalidGlob},
    policy::Policy,
    request::{Caller, PrincipalKind, Request},
    rules::{Key, Rules},
    template::{InvalidTemplate, Template, Unfit},
};
