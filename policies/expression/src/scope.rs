//! What the variables are at one login.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cel::{
    Context, Env, ExecutionError,
    common::{
        types::{CelInt, CelList, CelMap, CelMapKey, CelString, CelStruct},
        value::{CowVal, Val},
    },
    extractors::This,
};
use herald_policy::{Caller, Mapping, PrincipalKind, Request};
use regex_lite::Regex;

/// What all logins have in common: the functions.
pub(crate) struct Root(Context<'static, 'static>);

/// The variables of one login on top of them.
pub(crate) struct Scope<'a>(Context<'a, 'a>);

// === impl Root ===

impl Root {
    /// `patterns` are all that `matches` is called with.
    pub(crate) fn new(env: Arc<Env>, patterns: BTreeMap<String, Regex>) -> Self {
        let mut context = Context::with_env(env);
        let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| match patterns.get(pattern.as_str()) {
            Some(regex) => Ok(regex.is_match(&text)),
            None => Err(ExecutionError::function_error("matches", "not a pattern of the settings")),
        };
        context.add_function("matches", matches).expect("the library has none without its own regular expressions");
        Self(context)
    }

    pub(crate) fn scope<'a>(&'a self, request: &'a Request) -> Scope<'a> {
        let root: &'a Context<'a, 'a> = &self.0;
        let mut context = root.new_inner_scope();
        context.add_variable_as_val("caller", Box::new(caller(&request.caller)));
        context.add_variable_as_val("clusterId", text(&request.cluster_id));
        context.add_variable_as_val("current", Box::new(current(request.current.as_ref())));
        context.add_variable_as_val("now", number(request.now));
        context.add_variable_as_val("trail", texts(&request.trail));
        Scope(context)
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    pub(crate) fn context(&self) -> &Context<'a, 'a> {
        &self.0
    }
}

fn caller(caller: &Caller) -> CelStruct<'_> {
    let attributes = caller.attributes.iter().map(|(name, value)| (name.as_str(), text(value)));
    record(
        "caller",
        [
            ("accessKeyId", text(&caller.access_key_id)),
            ("accountId", text(&caller.account_id)),
            ("arn", text(&caller.arn)),
            ("attributes", map(attributes)),
            ("canonicalArn", text(&caller.canonical_arn)),
            ("expiresAt", number(caller.expires_at)),
            ("kind", text(kind(caller.kind))),
            ("name", text(&caller.name)),
            ("partition", text(&caller.partition)),
            ("permissionSet", text(caller.sso_permission_set.as_deref().unwrap_or_default())),
            ("principalId", text(&caller.principal_id)),
            ("provider", text(&caller.provider)),
            ("sessionName", text(caller.session_name.as_deref().unwrap_or_default())),
            ("signedAt", number(caller.signed_at)),
            ("stsRegion", text(&caller.sts_region)),
        ],
    )
}

/// Of a caller whom nobody has named, all of it is empty; a username never is.
fn current(current: Option<&Mapping>) -> CelStruct<'_> {
    let (username, uid) = current.map_or(("", ""), |user| (&user.username, user.uid.as_deref().unwrap_or_default()));
    let groups = current.map_or(&[][..], |user| &user.groups);
    let extra = current.map_or(&[][..], |user| &user.extra);
    record(
        "current",
        [
            ("extra", map(extra.iter().map(|(key, values)| (key.as_str(), texts(values))))),
            ("groups", texts(groups)),
            ("uid", text(uid)),
            ("username", text(username)),
        ],
    )
}

/// The words of `herald policy test` and of audit lines.
fn kind(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::AssumedRole => "assumed-role",
        PrincipalKind::FederatedUser => "federated-user",
        PrincipalKind::Other => "other",
        PrincipalKind::Root => "root",
        PrincipalKind::User => "user",
    }
}

fn record<'a>(name: &str, fields: impl IntoIterator<Item = (&'static str, Box<dyn Val + 'a>)>) -> CelStruct<'a> {
    let mut record = CelStruct::new(name.to_owned());
    for (name, value) in fields {
        record.add_field_value(name.to_owned(), CowVal::Owned(value));
    }
    record
}

fn text(text: &str) -> Box<dyn Val + '_> {
    Box::new(CelString::from(text))
}

fn number(seconds: u64) -> Box<dyn Val> {
    Box::new(CelInt::from(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

fn texts(values: &[String]) -> Box<dyn Val + '_> {
    Box::new(CelList::from(values.iter().map(|value| text(value)).collect::<Vec<_>>()))
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, Box<dyn Val + 'a>)>) -> Box<dyn Val + 'a> {
    let entries: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> = entries.map(|(key, value)| (key.into(), value)).collect();
    Box::new(CelMap::from(entries))
}
