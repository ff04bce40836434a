//! For a policy's own unit tests: callers made by hand, and what the policy logged. Native builds only.

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    Caller, Policy, PrincipalKind, Request,
    cloud::{Instance, LookUpError},
    data::DataError,
};

/// The moment of every request made here: 2026-01-01T00:00:00Z.
pub const NOW: u64 = 1_767_225_600;

thread_local! {
    static TABLES: RefCell<BTreeMap<String, Option<BTreeMap<String, String>>>> = const { RefCell::new(BTreeMap::new()) };
    static INSTANCE: RefCell<Result<Option<Instance>, LookUpError>> = const { RefCell::new(Err(LookUpError::NotGranted)) };
    static TAGS: RefCell<Result<Option<BTreeMap<String, String>>, LookUpError>> =
        const { RefCell::new(Err(LookUpError::NotGranted)) };
    static LOGGED: RefCell<Vec<(&'static str, String)>> = const { RefCell::new(Vec::new()) };
}

/// Makes a policy from its settings in JSON, as the host does.
///
/// # Errors
///
/// What the operator would be told.
pub fn configure<P: Policy>(settings: &str) -> Result<P, String> {
    crate::policy::load(settings)
}

/// The request of an AWS role session. Nobody has mapped the caller yet; every field may be changed.
#[must_use]
pub fn session(account_id: &str, role: &str, session_name: &str) -> Request {
    request(Caller {
        kind: PrincipalKind::AssumedRole,
        arn: format!("arn:aws:sts::{account_id}:assumed-role/{role}/{session_name}"),
        canonical_arn: format!("arn:aws:iam::{account_id}:role/{role}"),
        principal_id: "AROAEXAMPLEEXAMPLE000".to_owned(),
        session_name: Some(session_name.to_owned()),
        ..user_of(account_id, role)
    })
}

/// The request of an AWS IAM user. Nobody has mapped the caller yet; every field may be changed.
#[must_use]
pub fn user(account_id: &str, name: &str) -> Request {
    request(user_of(account_id, name))
}

/// What this thread's policies have logged since it was last asked, as level and text.
#[must_use]
pub fn logged() -> Vec<(&'static str, String)> {
    LOGGED.take()
}

/// Attaches a table for this thread's policies, in place of one of that name.
pub fn set_table<'a>(name: &str, entries: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    TABLES.with_borrow_mut(|tables| tables.insert(name.to_owned(), Some(entries)));
}

/// Attaches a table that is not loaded yet for this thread's policies, in place of one of that name.
pub fn set_not_ready(name: &str) {
    TABLES.with_borrow_mut(|tables| tables.insert(name.to_owned(), None));
}

/// What [`cloud::caller_instance`](crate::cloud::caller_instance) says from now on, on this thread.
pub fn set_instance(instance: Result<Option<Instance>, LookUpError>) {
    INSTANCE.set(instance);
}

/// What [`cloud::caller_tags`](crate::cloud::caller_tags) says from now on, on this thread.
pub fn set_tags(tags: Result<Option<BTreeMap<String, String>>, LookUpError>) {
    TAGS.set(tags);
}

pub(crate) fn tags() -> Result<Option<BTreeMap<String, String>>, LookUpError> {
    TAGS.with_borrow(Clone::clone)
}

pub(crate) fn instance() -> Result<Option<Instance>, LookUpError> {
    INSTANCE.with_borrow(Clone::clone)
}

pub(crate) fn with_table<T>(name: &str, read: impl FnOnce(&BTreeMap<String, String>) -> T) -> Result<T, DataError> {
    TABLES.with_borrow(|tables| {
        let table = tables.get(name).ok_or(DataError::NotGranted)?;
        table.as_ref().map(read).ok_or(DataError::NotReady)
    })
}

pub(crate) fn record(level: &'static str, message: &str) {
    LOGGED.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

fn request(caller: Caller) -> Request {
    Request { caller, cluster_id: "test.example.com".to_owned(), now: NOW, current: None, trail: Vec::new() }
}

fn user_of(account_id: &str, name: &str) -> Caller {
    Caller {
        provider: "aws".to_owned(),
        partition: "aws".to_owned(),
        account_id: account_id.to_owned(),
        kind: PrincipalKind::User,
        arn: format!("arn:aws:iam::{account_id}:user/{name}"),
        canonical_arn: format!("arn:aws:iam::{account_id}:user/{name}"),
        name: name.to_owned(),
        principal_id: "AIDAEXAMPLEEXAMPLE000".to_owned(),
        session_name: None,
        sso_permission_set: None,
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        sts_region: "us-east-1".to_owned(),
        signed_at: NOW - 60,
        expires_at: NOW + 840,
        attributes: Vec::new(),
    }
}
