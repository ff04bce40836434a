//! The way from the generated types to the crate's own and back, for [`export!`](crate::export).

use std::sync::OnceLock;

use crate::{Caller, Decision, Fault, Mapping, Policy, PrincipalKind, Request, bindings::types, log, policy};

/// Makes the policy from its settings and keeps it in `slot`.
///
/// # Errors
///
/// The settings do not fit, or the host called twice.
pub fn configure<P: Policy>(slot: &OnceLock<P>, settings: &str) -> Result<(), String> {
    // Without this a panic is a bare trap, and nobody learns which line it was.
    std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string())));
    let policy = policy::load(settings)?;
    slot.set(policy).map_err(|_| "configure was called twice".to_owned())
}

/// Asks the policy in `slot`.
///
/// # Errors
///
/// The policy's own fault, or [`types::Fault::Broken`] when it was never configured.
pub fn decide<P: Policy>(slot: &OnceLock<P>, request: types::Request) -> Result<types::Decision, types::Fault> {
    let policy = slot.get().ok_or_else(|| types::Fault::Broken("configure was not called".to_owned()))?;
    policy.decide(&request.into()).map(Into::into).map_err(Into::into)
}

impl From<types::Request> for Request {
    fn from(request: types::Request) -> Self {
        let types::Request { caller, cluster_id, now, current, trail } = request;
        Self { caller: caller.into(), cluster_id, now, current: current.map(Into::into), trail }
    }
}

impl From<types::Caller> for Caller {
    fn from(caller: types::Caller) -> Self {
        Self {
            provider: caller.provider,
            partition: caller.partition,
            account_id: caller.account_id,
            kind: caller.kind.into(),
            arn: caller.arn,
            canonical_arn: caller.canonical_arn,
            name: caller.name,
            principal_id: caller.principal_id,
            session_name: caller.session_name,
            sso_permission_set: caller.sso_permission_set,
            access_key_id: caller.access_key_id,
            sts_region: caller.sts_region,
            signed_at: caller.signed_at,
            expires_at: caller.expires_at,
            attributes: caller.attributes,
        }
    }
}

impl From<types::PrincipalKind> for PrincipalKind {
    fn from(kind: types::PrincipalKind) -> Self {
        match kind {
            types::PrincipalKind::AssumedRole => Self::AssumedRole,
            types::PrincipalKind::FederatedUser => Self::FederatedUser,
            types::PrincipalKind::Other => Self::Other,
            types::PrincipalKind::Root => Self::Root,
            types::PrincipalKind::User => Self::User,
        }
    }
}

impl From<types::Mapping> for Mapping {
    fn from(mapping: types::Mapping) -> Self {
        let types::Mapping { username, uid, groups, extra } = mapping;
        Self { username, uid, groups, extra }
    }
}

impl From<Mapping> for types::Mapping {
    fn from(mapping: Mapping) -> Self {
        let Mapping { username, uid, groups, extra } = mapping;
        Self { username, uid, groups, extra }
    }
}

impl From<Decision> for types::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Abstain => Self::Abstain,
            Decision::Allow(mapping) => Self::Allow(mapping.into()),
            Decision::Deny(why) => Self::Deny(why),
        }
    }
}

impl From<Fault> for types::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken(why) => Self::Broken(why),
            Fault::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
