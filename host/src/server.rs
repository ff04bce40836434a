//! Server: HTTP, TLS, health and drain around an authenticator.

// Stub: replaced by the server's room.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use serde::Deserialize;

/// Stub.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Stub.
    pub address: IpAddr,
    /// Stub.
    pub port: u16,
    /// Stub.
    pub hostname: String,
    /// Stub.
    pub state_dir: PathBuf,
    /// Stub.
    pub generate_kubeconfig: PathBuf,
    /// Stub.
    pub kubeconfig_pregenerated: bool,
    /// Stub.
    pub audiences: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 21362,
            hostname: "localhost".into(),
            state_dir: "/var/herald".into(),
            generate_kubeconfig: "/etc/kubernetes/herald/kubeconfig.yaml".into(),
            kubeconfig_pregenerated: false,
            audiences: Vec::new(),
        }
    }
}
