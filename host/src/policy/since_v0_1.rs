//! The contract `herald:policy@0.1`: bindings made from `wit/v0.1.0`, and the way to and from our own words.

use std::time::SystemTime;

use wasmtime::{
    Store,
    component::{Component, HasSelf, Instance, Linker},
};

use super::{
    Engine, Fault, Request, Tables, Verdict,
    cloud::{Instance as Machine, LookUpError},
    limits::{Guest, MAX_REASON, TooManyKeys},
    tables::Unread,
    text::tame,
    track::{Call, Track},
};
use crate::caller::{Caller, PrincipalId, PrincipalKind, SessionName};
use bindings::herald::policy::{cloud, data, log, types};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1.0",
        world: "policy-with-capabilities",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// The versions that this module speaks: every `0.1.x`.
pub(super) const VERSION: &str = "0.1";

/// A component linked to this version.
struct Linked(bindings::PolicyWithCapabilitiesPre<Guest>);

/// Links `component`; what it wants of the host and does not get, or gets in another shape, is an error.
pub(super) fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Box<dyn Track>> {
    let mut linker = Linker::new(engine.wasmtime());
    // What a policy is not granted is refused before; what nobody is granted is not even here.
    types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    log::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    data::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    cloud::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    let pre = linker.instantiate_pre(component)?;
    Ok(Box::new(Linked(bindings::PolicyWithCapabilitiesPre::new(pre)?)))
}

// === impl Linked ===

impl Linked {
    async fn begin(
        &self,
        store: &mut Store<Guest>,
        settings: Option<&str>,
    ) -> wasmtime::Result<Result<Instance, String>> {
        let instance = self.0.instance_pre().instantiate_async(&mut *store).await?;
        let policy = bindings::PolicyWithCapabilities::new(&mut *store, &instance)?;
        Ok(configure(&policy, store, settings).await?.map(|()| instance))
    }

    async fn ask(
        &self,
        store: &mut Store<Guest>,
        settings: Option<&str>,
        request: &Request<'_>,
    ) -> wasmtime::Result<Result<Verdict, Fault>> {
        let policy = self.0.instantiate_async(&mut *store).await?;
        if let Err(why) = configure(&policy, store, settings).await? {
            return Ok(Err(Fault::Broken(tame(&why, MAX_REASON))));
        }
        if let Some(bounds) = store.data_mut().begin_decision() {
            bounds.begin(store);
        }
        let said = policy.herald_policy_mapper().call_decide(store, &request.into()).await?;
        Ok(said.map(Verdict::from).map_err(Fault::from))
    }
}

async fn configure(
    policy: &bindings::PolicyWithCapabilities,
    store: &mut Store<Guest>,
    settings: Option<&str>,
) -> wasmtime::Result<Result<(), String>> {
    match settings {
        Some(settings) => policy.herald_policy_mapper().call_configure(store, settings).await,
        None => Ok(Ok(())),
    }
}

impl Track for Linked {
    fn start<'a>(
        &'a self,
        store: &'a mut Store<Guest>,
        settings: Option<&'a str>,
    ) -> Call<'a, Result<Instance, String>> {
        Box::pin(self.begin(store, settings))
    }

    fn decide<'a>(
        &'a self,
        store: &'a mut Store<Guest>,
        settings: Option<&'a str>,
        request: &'a Request<'a>,
    ) -> Call<'a, Result<Verdict, Fault>> {
        Box::pin(self.ask(store, settings, request))
    }
}

// === impl Guest ===

impl types::Host for Guest {}

impl log::Host for Guest {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.log.push(level, &message);
        Ok(())
    }
}

/// Tables are there for decisions alone: what `configure` does must not depend on them.
impl data::Host for Guest {
    fn get(&mut self, table: String, key: String) -> wasmtime::Result<Result<Option<String>, data::DataError>> {
        self.call()?;
        Ok(self.open().and_then(|tables| tables.get(&table, &key)).map_err(data::DataError::from))
    }

    fn keys(
        &mut self,
        table: String,
        prefix: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, data::DataError>> {
        self.call()?;
        Ok(match self.open().and_then(|tables| tables.keys(&table, &prefix, limit)) {
            Ok(keys) => Ok(keys.ok_or(TooManyKeys)?),
            Err(unread) => Err(unread.into()),
        })
    }

    fn version(&mut self, table: String) -> wasmtime::Result<Result<String, data::DataError>> {
        self.call()?;
        Ok(self.open().and_then(|tables| tables.version(&table)).map_err(data::DataError::from))
    }
}

/// Facts are there for decisions alone, and are found before one begins.
impl cloud::Host for Guest {
    fn caller_instance(&mut self) -> wasmtime::Result<Result<cloud::Instance, cloud::LookupError>> {
        self.call()?;
        Ok(match &self.facts.instance {
            _ if !self.asked => Err(cloud::LookupError::NotGranted),
            Ok(instance) => Ok(instance.clone().into()),
            Err(error) => Err((*error).into()),
        })
    }

    fn caller_tags(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, cloud::LookupError>> {
        self.call()?;
        Ok(match &self.facts.tags {
            _ if !self.asked => Err(cloud::LookupError::NotGranted),
            Ok(tags) => Ok(tags.clone().into_iter().collect()),
            Err(error) => Err((*error).into()),
        })
    }
}

impl Guest {
    fn open(&self) -> Result<&Tables, Unread> {
        self.asked.then_some(&self.tables).ok_or(Unread::NotGranted)
    }
}

// === the way in ===

impl From<&Request<'_>> for types::Request {
    fn from(request: &Request<'_>) -> Self {
        Self {
            caller: request.caller.as_ref().into(),
            cluster_id: request.cluster_id.to_owned(),
            now: seconds(request.now),
            current: request.current.map(types::Mapping::from),
            trail: request.trail.to_vec(),
        }
    }
}

impl From<&Caller> for types::Caller {
    fn from(caller: &Caller) -> Self {
        Self {
            provider: caller.provider.to_owned(),
            partition: caller.partition.clone(),
            account_id: caller.account_id.as_str().to_owned(),
            kind: caller.kind.into(),
            arn: caller.arn.clone(),
            canonical_arn: caller.canonical_arn.clone(),
            name: caller.name.clone(),
            principal_id: PrincipalId::as_str(&caller.principal_id).to_owned(),
            session_name: caller.session_name.as_ref().map(SessionName::as_str).map(str::to_owned),
            sso_permission_set: caller.sso_permission_set.clone(),
            access_key_id: caller.access_key_id.clone(),
            sts_region: caller.sts_region.clone(),
            signed_at: seconds(caller.signed_at),
            expires_at: seconds(caller.expires_at),
            attributes: caller.attributes.clone(),
        }
    }
}

impl From<PrincipalKind> for types::PrincipalKind {
    fn from(kind: PrincipalKind) -> Self {
        match kind {
            PrincipalKind::AssumedRole => Self::AssumedRole,
            PrincipalKind::FederatedUser => Self::FederatedUser,
            PrincipalKind::Role => Self::Other,
            PrincipalKind::Root => Self::Root,
            PrincipalKind::User => Self::User,
        }
    }
}

impl From<&super::Mapping> for types::Mapping {
    fn from(mapping: &super::Mapping) -> Self {
        let super::Mapping { username, uid, groups, extra } = mapping.clone();
        Self { username, uid, groups, extra }
    }
}

/// Seconds since 1970; times before it do not occur and are its beginning.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl From<Machine> for cloud::Instance {
    fn from(machine: Machine) -> Self {
        let Machine { id, private_dns_name, private_ip, zone, image_id, tags } = machine;
        Self { id, private_dns_name, private_ip, zone, image_id, tags: tags.into_iter().collect() }
    }
}

impl From<LookUpError> for cloud::LookupError {
    fn from(error: LookUpError) -> Self {
        match error {
            LookUpError::Forbidden => Self::Forbidden,
            LookUpError::NotFound => Self::NotFound,
            LookUpError::NotGranted => Self::NotGranted,
            LookUpError::Unavailable => Self::Unavailable,
        }
    }
}

// === the way out ===

impl From<Unread> for data::DataError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::NotGranted => Self::NotGranted,
            Unread::NotReady => Self::NotReady,
        }
    }
}

impl From<types::Decision> for Verdict {
    fn from(decision: types::Decision) -> Self {
        match decision {
            types::Decision::Abstain => Self::Abstain,
            types::Decision::Allow(types::Mapping { username, uid, groups, extra }) => {
                Self::Allow(super::Mapping { username, uid, groups, extra })
            }
            types::Decision::Deny(why) => Self::Deny(why),
        }
    }
}

impl From<types::Fault> for Fault {
    fn from(fault: types::Fault) -> Self {
        match fault {
            types::Fault::Unavailable(why) => Self::Unavailable(tame(&why, MAX_REASON)),
            types::Fault::Broken(why) => Self::Broken(tame(&why, MAX_REASON)),
        }
    }
}
