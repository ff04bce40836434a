//! Sources: keeps mappings that live outside the configuration in step with what stands there.
//!
//! One task a source, from the first configuration that names it to the last. A configuration that changes
//! nothing about a source keeps its task and what it has read, so that a reload never starts it empty.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch::Sender,
    task::block_in_place,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Config, Source};
use crate::{
    kubernetes::watch::{self, Access, Target, Told},
    mapping::{Live, Stage as _, live},
    observe::Metrics,
    policy::{LiveTable, TableSource},
};

pub(super) mod config_map;
pub(super) mod dynamic_file;
mod gauges;
pub(super) mod identity_mapping;
pub(super) mod keeper;
mod status;
pub(super) mod table;

use config_map::ConfigMap;
use gauges::Gauges;
use keeper::Keeper;
use status::Verdict;
use table::Followed;

/// Every source of one configuration that is read while Herald runs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sources {
    running: BTreeMap<String, Arc<Running>>,
    /// The tables of policies among them.
    tables: BTreeMap<TableSource, Arc<Followed>>,
    stopping: Stopping,
}

/// Tells those who hold something in the cluster that the process stops. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopping(Arc<Sender<bool>>);

/// A source and the task that reads it, which ends with it.
struct Running {
    live: Live,
    place: Place,
    gauges: Gauges,
    _task: AbortOnDropHandle<()>,
}

/// Where a source stands. Another place makes another source.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Place {
    ConfigMap { access: Access, name: &'static str, object: &'static str },
    File { path: PathBuf, by_user_id: bool },
    Identities { access: Access, name: &'static str, target: &'static Target, status: bool },
}

/// A source that has not been read in time.
#[derive(Debug, thiserror::Error)]
#[error("{name} cannot be read: {why}")]
pub(super) struct NotRead {
    name: String,
    why: String,
}

/// Namespace of the ConfigMaps (Amazon EKS User Guide, "Grant IAM users and roles access to Kubernetes APIs").
pub(super) const NAMESPACE: &str = "kube-system";
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

// === impl Sources ===

impl Sources {
    /// The sources of `config`, those of `self` kept that it says nothing new about. Needs a tokio runtime if
    /// there is a new one.
    pub(super) fn follow(&self, config: &Config, metrics: &Arc<Metrics>, clock: fn() -> SystemTime) -> Self {
        let placed = config.sources.iter().filter_map(|source| Some((source.name(), Place::of(source, config)?)));
        let kept =
            |name: &str, place: &Place| self.running.get(name).filter(|running| running.place == *place).cloned();
        let running = placed.map(|(name, place)| {
            let running = kept(&name, &place).unwrap_or_else(|| Arc::new(place.start(metrics, clock, &self.stopping)));
            (name, running)
        });
        let followed = config.policies.iter().flat_map(|policy| policy.tables.values()).filter(|table| table.is_live());
        let tables = followed.map(|source| {
            let kept = self.tables.get(source).filter(|kept| kept.access == config.kubernetes).cloned();
            let start = || Arc::new(Followed::start(source, config.kubernetes.clone(), metrics, clock));
            (source.clone(), kept.unwrap_or_else(start))
        });
        Self { running: running.collect(), tables: tables.collect(), stopping: self.stopping.clone() }
    }

    /// What tells them that the process stops.
    pub(super) fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// The source called `name`.
    pub(super) fn live(&self, name: &str) -> Option<Live> {
        self.running.get(name).map(|running| running.live.clone())
    }

    /// The table that stands there; one that nobody reads if this configuration does not name it.
    pub(super) fn table(&self, source: &TableSource) -> LiveTable {
        self.tables.get(source).map(|followed| followed.live.clone()).unwrap_or_default()
    }

    /// Waits until every source that is not in `before` has been read.
    pub(super) async fn read_once(&self, before: &Self, limit: Duration) -> Result<(), NotRead> {
        let wait = async {
            while self.unread(before).next().is_some() {
                sleep(LOOK).await;
            }
        };
        if timeout(limit, wait).await.is_ok() {
            return Ok(());
        }
        self.unread(before).next().map_or(Ok(()), Err)
    }

    /// Nothing is told any more of those that `self` has and `next` has not.
    pub(super) fn give_way_to(&self, next: &Self) {
        for (name, running) in not_in(&self.running, &next.running) {
            running.gauges.end(next.running.contains_key(name));
        }
        for (source, table) in not_in(&self.tables, &next.tables) {
            table.gauges.end(next.tables.contains_key(source));
        }
    }

    /// Those that are not in `before` and have not been read.
    fn unread<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = NotRead> + 'a {
        let running = not_in(&self.running, &before.running).filter_map(|(_, running)| {
            let live = &running.live;
            Some(NotRead { name: live.name().to_owned(), why: live.missing()? })
        });
        let tables = not_in(&self.tables, &before.tables);
        running.chain(
            tables.filter_map(|(source, table)| Some(NotRead { name: source.to_string(), why: table.live.missing()? })),
        )
    }
}

/// Those of `all` that are not the same in `others`.
fn not_in<'a, K: Ord, V>(
    all: &'a BTreeMap<K, Arc<V>>,
    others: &'a BTreeMap<K, Arc<V>>,
) -> impl Iterator<Item = (&'a K, &'a Arc<V>)> {
    all.iter().filter(move |(key, value)| others.get(*key).is_none_or(|other| !Arc::ptr_eq(other, value)))
}

impl Default for Sources {
    fn default() -> Self {
        Self { running: BTreeMap::new(), tables: BTreeMap::new(), stopping: Stopping(Arc::new(Sender::new(false))) }
    }
}

// === impl Running ===

impl Drop for Running {
    /// Where putting a configuration in force breaks off, nobody says that its sources are over.
    fn drop(&mut self) {
        self.gauges.end(false);
    }
}

// === impl Stopping ===

impl Stopping {
    /// Says so, and waits until everything is given back, at most for `limit`.
    pub async fn stop(&self, limit: Duration) {
        self.0.send_replace(true);
        // What is not given back ends by itself.
        let _ = timeout(limit, self.0.closed()).await;
    }
}

// === impl Place ===

impl Place {
    fn of(source: &Source, config: &Config) -> Option<Self> {
        let access = || config.kubernetes.clone();
        let status = config.serving && config.identity_mapping_status;
        match source {
            Source::AckConfigMap => Some(Self::ConfigMap {
                access: access(),
                name: live::ACK_CONFIG_MAP,
                object: config_map::ALIBABACLOUD_AUTH,
            }),
            Source::Crd | Source::RamIdentityMapping => {
                let name = if *source == Source::Crd { live::CRD } else { live::RAM_IDENTITY_MAPPING };
                let target = match source.read_as(config.clouds()) {
                    Source::RamIdentityMapping => &identity_mapping::RAM_TARGET,
                    _ => &identity_mapping::TARGET,
                };
                Some(Self::Identities { access: access(), name, target, status })
            }
            Source::DynamicFile => {
                let (path, by_user_id) = (config.dynamic_file.clone()?, config.dynamic_file_strict);
                Some(Self::File { path, by_user_id })
            }
            Source::EksConfigMap => {
                Some(Self::ConfigMap { access: access(), name: live::EKS_CONFIG_MAP, object: config_map::AWS_AUTH })
            }
            Source::MountedFile | Source::Policy(_) => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::ConfigMap { name, .. } => name,
            Self::File { .. } => live::DYNAMIC_FILE,
            Self::Identities { name, .. } => name,
        }
    }

    fn start(self, metrics: &Arc<Metrics>, clock: fn() -> SystemTime, stopping: &Stopping) -> Running {
        let name = self.name();
        let live = Live::new(name);
        let keeper = Keeper::new(name, live.clone(), Arc::clone(metrics), clock);
        let gauges = keeper.gauges();
        let task = match self.clone() {
            Self::ConfigMap { access, object, .. } => tokio::spawn(follow_config_map(access, object, keeper)),
            Self::File { path, by_user_id } => tokio::spawn(dynamic_file::follow(path, by_user_id, keeper)),
            Self::Identities { access, target, status: false, .. } => {
                tokio::spawn(follow_identities(access, target, keeper, |_| ()))
            }
            Self::Identities { access, target, status: true, .. } => {
                let (sender, verdicts) = tokio::sync::watch::channel(status::Verdicts::default());
                let writer = status::Writer::new(
                    (name, Arc::clone(metrics)),
                    access.clone(),
                    (target, identity_mapping::lease(target)),
                    clock,
                    verdicts,
                    stopping.0.subscribe(),
                );
                // It ends by itself, once nobody tells it verdicts any more: it may have a lease to give back.
                tokio::spawn(writer.run());
                let tell = move |verdicts| drop(sender.send_replace(Arc::new(verdicts)));
                tokio::spawn(follow_identities(access, target, keeper, tell))
            }
        };
        Running { live, place: self, gauges, _task: AbortOnDropHandle::new(task) }
    }
}

fn config_map_of(namespace: String, name: String) -> Target {
    Target {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        namespace: Some(namespace.into()),
        name: Some(name.into()),
    }
}

/// Does `work` that may take long, such as reading very many entries, on this thread, whose other tasks go on elsewhere: logins
/// are answered by the same threads.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    // What runs on one thread alone is a command, which waits for it anyway.
    if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread { block_in_place(work) } else { work() }
}

async fn follow_config_map(access: Access, object: &'static str, mut keeper: Keeper) {
    let target = config_map_of(NAMESPACE.to_owned(), object.to_owned());
    let mut config_map = ConfigMap::default();
    match watch::follow(&access, &target, |told| take_in(object, &mut config_map, &mut keeper, &told)).await {}
}

/// Hands on what is `told` of the ConfigMap called `object`.
fn take_in(object: &str, config_map: &mut ConfigMap, keeper: &mut Keeper, told: &Told<'_>) {
    match told {
        Told::Objects { objects, resource_version } => {
            let found = objects.get(object);
            config_map.is_too_large = found.is_some_and(|found| found.is_too_large);
            if config_map.is_too_large {
                return keeper.failed("source_refused", watch::TOO_LARGE);
            }
            let version = found.map_or(*resource_version, |object| &object.resource_version);
            aside(|| keeper.take(config_map.read(found.map(|object| &object.body["data"])), Some(version)));
        }
        // What stands there is not what is in force.
        Told::InStep if config_map.is_too_large => {}
        Told::InStep => keeper.in_step(),
        Told::Failed(error) => keeper.failed(error.reason(), &super::build::line(*error)),
    }
}

async fn follow_identities(
    access: Access,
    target: &'static Target,
    mut keeper: Keeper,
    told_of_each: impl Fn(Vec<Verdict>) + Send + Sync,
) {
    let tell = |told: Told<'_>| match told {
        Told::Objects { objects, resource_version } => {
            let verdicts = aside(|| {
                let (read, verdicts) = identity_mapping::read(target, objects);
                keeper.take(read, Some(resource_version));
                verdicts
            });
            told_of_each(verdicts);
        }
        Told::InStep => keeper.in_step(),
        Told::Failed(error) => keeper.failed(error.reason(), &super::build::line(error)),
    };
    match watch::follow(&access, target, tell).await {}
}

#[cfg(test)]
pub(super) mod tests;
