//! Tells Kubernetes who is calling, from a presigned cloud request.
//!
//! ```text
//! TokenReview ─▶ token ─▶ provider ─▶ caller ─▶ mapping ─▶ guards ─▶ kubernetes::UserInfo ─▶ TokenReview
//!  (server)      secret   asks STS    verified  stages:    names,    username, uid,          (answer)
//!                bytes    through     identity  static     ceilings  groups, extra
//!                         `sts`                 or Wasm
//! ```
//!
//! Read the modules in that order. [`authenticator`] alone knows them all and answers with one
//! value, a [`authenticator::Decision`]; [`server`] and [`cli`] only carry it to HTTP and to the
//! terminal, and [`observe`] writes it down.

pub mod authenticator;
pub mod caller;
pub mod cli;
pub mod config;
pub mod kubernetes;
pub mod mapping;
pub mod observe;
pub mod policy;
pub mod provider;
pub mod server;
pub mod sts;
pub mod token;
mod values;

/// What is said of a panic, behind what it kept from being done.
pub(crate) const MISTAKE: &str = "that is a mistake in Herald, please report it";
