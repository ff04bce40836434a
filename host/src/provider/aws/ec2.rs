//! EC2: the instance that a caller's session is named after, and its private DNS name (Amazon EC2 API Reference,
//! "DescribeInstances"; Amazon EC2 User Guide, "EC2 instance hostnames and domains").
//!
//! ```text
//! caller ─▶ instance id ─▶ known? ─▶ under way? ─▶ queue ─▶ batch of 100 ─▶ rate ─▶ DescribeInstances ─▶ names
//!           of the session  names     join it      bounded  by role          limit    signed, in pages
//! ```
//!
//! EC2 calls the session of an instance's role by the instance's id; whoever else may assume that role may choose such
//! a name too. So the instance must be there, and in the caller's own account. Whoever needs its name has to look
//! whether it has one: EC2 describes an instance that has ended for up to an hour more, without. Ids are a filter of
//! the call and not its argument, so that one that is made up takes no neighbour with it. Nothing is loaded or called
//! before the first login that needs a name.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Partition,
    credentials::Session,
    hosts::Target,
    service::{self, Access, Ages, Asker, CallError, Kept, Pace, Roles, Room, Service, Source},
};
use crate::caller::Caller;

mod answer;
mod call;
mod config;
mod error;
mod instance;
mod queue;

pub use config::{Config, Settings};
pub use error::Ec2Error;
pub use instance::InstanceId;

use queue::{Ask, Queue};

/// Looks instances up, for any number of logins at a time. Cheap to clone.
#[derive(Clone)]
pub struct Ec2(Arc<Shared>);

/// What is told about each call to EC2.
pub trait Observer: Send + Sync {
    /// A call has ended: `ok` or a reason label, how many instances were asked for, and its time.
    fn called(&self, result: &'static str, instances: usize, took: Duration);
}

/// What came of one look-up.
#[derive(Clone, Debug)]
pub struct LookUp {
    /// The instance's id and what EC2 says of it.
    pub instance: Result<(InstanceId, Arc<Instance>), Ec2Error>,
    /// Where the answer came from.
    pub source: Source,
}

/// An instance as EC2 describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instance {
    /// The account that owns it.
    pub owner: String,
    /// Its private DNS name; empty if it has not started, or has ended.
    pub private_dns_name: String,
    /// Its primary private address.
    pub private_ip: String,
    /// The availability zone it runs in.
    pub zone: String,
    /// The image it was started from.
    pub image_id: String,
    /// Its tags, as key and value.
    pub tags: Vec<(String, String)>,
}

struct Shared {
    settings: Settings,
    roles: Roles,
    /// One for each way of asking: by our own credentials or the role for everybody, then by each role of an account.
    lanes: Vec<Access>,
    names: Kept<Ask, Instance, Ec2Error>,
    queue: Queue,
    pace: Pace,
    observer: Box<dyn Observer>,
}

/// What a page of `DescribeInstances` says of `id`, its private DNS name or an empty one, and the token of the next
/// page: what a look-up makes of an answer, for whoever tries answers out.
///
/// # Errors
///
/// [`Ec2Error`].
pub fn read_page(status: u16, body: &[u8], id: &InstanceId) -> Result<(String, Option<String>), Ec2Error> {
    if status != 200 {
        return Err(answer::failure(status, body));
    }
    let mut found = answer::Found::in_region("");
    let next = found.read(body)?;
    Ok((found.of(id)?.private_dns_name.clone(), next))
}

/// The service's name, in our own labels too.
pub const NAME: &str = "ec2";

static SERVICE: Service = Service {
    name: NAME,
    variable: "AWS_ENDPOINT_URL_EC2",
    what: "nodes",
    region: |session, _| session.region.clone(),
    host,
};

/// An instance keeps its private DNS name for life and no id is given twice, so a name may be old; it is asked for again only
/// so that an instance that is gone is a node no more. One that is there has its name a moment after its start,
/// so that it has none is believed no longer than that there is no such instance.
const AGES: Ages = Ages {
    fresh: Duration::from_secs(15 * 60),
    stale: Duration::from_secs(24 * 60 * 60),
    missing: Duration::from_secs(5),
};
/// Most instances that are kept, and most ids that are known to be none.
const ENTRIES: usize = 16 * 1024;
/// Most that is kept of instances, in bytes: fewer of them where they have many tags.
const BYTES: u64 = 16 << 20;

fn host(session: &Session, ours: Partition) -> Result<String, CallError> {
    let Session { region, fips, dual_stack, .. } = session;
    let target = Target::ec2(region, *fips, *dual_stack).map_err(|error| CallError::Endpoint(error.to_string()))?;
    if target.partition != ours {
        let its = target.partition;
        return Err(CallError::Endpoint(format!("the region {region} is of {its}, and this cluster of {ours}")));
    }
    Ok(target.host)
}

// === impl Ec2 ===

impl Ec2 {
    /// Makes ready to look up. `clock` dates signatures.
    #[must_use]
    pub fn new(settings: Settings, clock: fn() -> SystemTime, observer: Box<dyn Observer>) -> Self {
        let endpoint = settings.config.endpoint.as_ref();
        let roles = settings.roles();
        let lanes = Access::of_all(&SERVICE, &roles, endpoint, settings.partition, clock);
        let (queue, pace) = (Queue::new(lanes.len()), Pace::new(settings.qps, settings.burst));
        let names = Kept::new(ENTRIES, BYTES, AGES);
        Self(Arc::new(Shared { names, queue, pace, roles, lanes, settings, observer }))
    }

    /// The settings that it works by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The instance that `caller` is, for `asker`. Waits a few seconds at most.
    pub async fn look_up(&self, caller: &Caller, asker: Asker) -> LookUp {
        let id = match InstanceId::of(caller) {
            Err(error) => return LookUp { instance: Err(error), source: Source::Nobody },
            Ok(id) => id,
        };
        let (found, source) = self.find(Ask { lane: self.0.roles.lane_of(&caller.account_id), id }, asker).await;
        let instance = found.and_then(|instance| {
            // A session is of the account of its role, and an instance only ever has roles of its own account.
            if instance.owner == caller.account_id.as_str() { Ok((id, instance)) } else { Err(Ec2Error::OtherAccount) }
        });
        LookUp { instance, source }
    }

    async fn find(&self, ask: Ask, asker: Asker) -> (Result<Arc<Instance>, Ec2Error>, Source) {
        if let Some(known) = self.0.names.fresh(&ask, Instant::now()) {
            return (known, Source::Cache);
        }
        self.0.pace.admit(asker).await;
        let seat = queue::board(&self.0, ask);
        service::settle(&self.0.names, self.0.queue.waiting(), &ask, seat).await
    }
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

// === impl Instance ===

impl Room for Instance {
    fn bytes(&self) -> usize {
        const AROUND: usize = 300;
        const AROUND_TAG: usize = 60;
        let Self { owner, private_dns_name, private_ip, zone, image_id, tags } = self;
        let texts = [owner, private_dns_name, private_ip, zone, image_id].map(String::len).iter().sum::<usize>();
        let tags = tags.iter().map(|(key, value)| AROUND_TAG + key.len() + value.len()).sum::<usize>();
        AROUND + texts + tags
    }

    fn is_passing(&self) -> bool {
        self.private_dns_name.is_empty()
    }
}
