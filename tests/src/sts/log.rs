//! Request log of the dev STS, for assertions: bounded, and without signatures or session tokens.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// One request, as the dev STS saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Logged {
    /// Counts connections from 1.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// The `Host` header.
    pub host: String,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// `Action`; empty when there was none.
    pub action: String,
    /// Whose key was named.
    pub access_key_id: String,
    /// The cluster id: the header `x-k8s-aws-id`, or the parameter `ACKClusterId`.
    pub cluster_id: Option<String>,
    /// Names of all headers, in the order they came.
    pub headers: Vec<String>,
    /// HTTP status of the answer; 0 when none was given.
    pub status: u16,
    /// Error code of the answer.
    pub code: Option<&'static str>,
}

/// The last requests; older ones fall out.
pub(super) struct RequestLog {
    capacity: usize,
    entries: Mutex<VecDeque<Logged>>,
}

// === impl RequestLog ===

impl RequestLog {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// Keeps what `entry` makes, unless the log is off.
    pub(super) fn push(&self, entry: impl FnOnce() -> Logged) {
        if self.capacity == 0 {
            return;
        }
        let entry = entry();
        let mut entries = self.lock();
        if entries.len() == self.capacity {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    pub(super) fn read(&self) -> Vec<Logged> {
        self.lock().iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Logged>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
