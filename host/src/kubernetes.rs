//! Kubernetes: TokenReview, ExecCredential and kubeconfig as plain serde types; `watch` follows objects, and
//! `client` asks for one or changes it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub mod client;
pub mod exec_credential;
pub mod kubeconfig;
pub mod lease;
pub mod rbac;
pub mod token_review;
pub mod watch;

pub use client::Client;
pub use kubeconfig::Kubeconfig;
pub use token_review::TokenReview;

/// `authentication.k8s.io` `UserInfo` (Kubernetes API Reference, "TokenReview").
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct UserInfo {
    /// The name that identifies this user among all active users.
    pub username: String,
    /// A unique value that identifies this user across time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups this user is a part of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Additional information, kept in order.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

/// `UserInfo.extra`: keys with lists of values, written as a JSON object in insertion order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extra(pub Vec<(Cow<'static, str>, Values)>);

/// The values of one extra key. Most have one, and are spared the list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Values {
    /// Any other number of them.
    Many(Vec<String>),
    /// One.
    One(String),
}
