//! Fakes and tools for Herald's tests, demo and bench: a cloud on loopback, and a real `herald` beside it.
//!
//! ```text
//! tokens ──▶ herald (the real process) ──▶ sts (dev STS: real TLS, real SigV4 and ACS3 checks)
//! forged        started, asked as           reached through production settings only:
//! with any      kube-apiserver asks,        HTTPS_PROXY and SSL_CERT_FILE
//! defect        read, stopped          ──▶ kubernetes (fake API: reads, writes, outages)
//! ```
//!
//! Nothing here is in the shipped binary, and nothing here talks to anything but loopback.

pub mod acs3;
pub mod cgroup;
pub mod ec2;
pub mod herald;
pub mod iam;
pub mod kubernetes;
pub mod metadata;
pub mod policies;
pub mod sigv4;
pub mod sts;
pub mod tls;
pub mod tokens;
pub mod tools;

/// The present time. Tests stand at the edge: they may read the clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests stand at the edge, as `server` and `cli` do")]
pub fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
