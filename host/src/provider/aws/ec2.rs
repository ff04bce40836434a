//! EC2: the private DNS name of the instance that a caller's session is named after (Amazon EC2 API Reference,
//! "DescribeInstances"; Amazon EC2 User Guide, "EC2 instance hostnames and domains").
//!
//! ```text
//! caller ─▶ instance id ─▶ known? ─▶ under way? ─▶ queue ─▶ batch of 100 ─▶ rate ─▶ DescribeInstances ─▶ names
//!           of the session  names     join it      bounded  by role          limit    signed, in pages
//! ```
//!
//! EC2 calls the session of an instance's role by the instance's id; whoever else may assume that role may choose such a
//! name too. So the instance must be there, in the caller's own account, and have a name; everything else refuses the
//! login. Ids are a filter of the call and not its argument, so that one that is made up takes no neighbour with it.
//! Nothing is loaded or called before the first login that needs a name.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::timeout;

use crate::caller::Caller;

mod access;
mod answer;
mod call;
mod config;
mod error;
mod instance;
mod names;
mod queue;

pub use config::{Config, Endpoint, InvalidConfig, RoleArn, Settings, SourceArn};
pub use error::Ec2Error;
pub use instance::InstanceId;

use access::Access;
use names::Names;
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

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// It was known already.
    Cache,
    /// EC2, just now.
    Ec2,
    /// Another login was waiting for the same.
    Joined,
    /// Nobody was asked: the caller is no instance, or there are too many.
    Nobody,
    /// It was known from before EC2 went out of reach.
    Stale,
}

/// An instance as EC2 describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instance {
    /// The account that owns it.
    pub owner: String,
    /// Its private DNS name, never empty.
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
    /// One for each way of asking: by our own credentials or the role for everybody, then by each role of an account.
    lanes: Vec<Access>,
    names: Names,
    queue: Queue,
    pace: queue::Pace,
    observer: Box<dyn Observer>,
}

/// What a page of `DescribeInstances` says of `id`, its private DNS name, and the token of the next page: what a look-up makes
/// of an answer, for whoever tries answers out.
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

/// Longest wait of one login, well inside the 30 s after which kube-apiserver gives up on a webhook.
const DEADLINE: Duration = Duration::from_secs(6);

// === impl Ec2 ===

impl Ec2 {
    /// Makes ready to look up. `clock` dates signatures.
    #[must_use]
    pub fn new(settings: Settings, clock: fn() -> SystemTime, observer: Box<dyn Observer>) -> Self {
        let lanes: Vec<Access> = settings.lanes().map(|role| Access::new(role, &settings, clock)).collect();
        let queue = Queue::new(lanes.len());
        let pace = queue::Pace::new(settings.qps, settings.burst);
        Self(Arc::new(Shared { names: Names::default(), queue, pace, lanes, settings, observer }))
    }

    /// The settings that it works by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The instance that `caller` is. Waits a few seconds at most.
    pub async fn look_up(&self, caller: &Caller) -> LookUp {
        let id = match InstanceId::of(caller) {
            Err(error) => return LookUp { instance: Err(error), source: Source::Nobody },
            Ok(id) => id,
        };
        let (found, source) = self.find(Ask { lane: self.0.settings.lane_of(&caller.account_id), id }).await;
        let instance = found.and_then(|instance| {
            // A session is of the account of its role, and an instance only ever has roles of its own account.
            if instance.owner == caller.account_id.as_str() { Ok((id, instance)) } else { Err(Ec2Error::OtherAccount) }
        });
        LookUp { instance, source }
    }

    async fn find(&self, ask: Ask) -> (Result<Arc<Instance>, Ec2Error>, Source) {
        if let Some(known) = self.0.names.fresh(&ask, Instant::now()) {
            return (known, Source::Cache);
        }
        let seat = match queue::board(&self.0, ask) {
            Ok(seat) => seat,
            Err(error) => return (Err(error), Source::Nobody),
        };
        let source = if seat.is_joined { Source::Joined } else { Source::Ec2 };
        let answer = timeout(DEADLINE, seat.answer).await.unwrap_or(Ok(Err(Ec2Error::Timeout)));
        let answer = answer.unwrap_or_else(|_| {
            // Whoever asked is gone without a word; the next one asks anew.
            self.0.queue.leave(&ask);
            Err(Ec2Error::Unavailable { cause: "given_up" })
        });
        match answer {
            Err(error) if error.is_retryable() => match self.0.names.stale(&ask, Instant::now()) {
                Some(instance) => (Ok(instance), Source::Stale),
                None => (Err(error), source),
            },
            answer => (answer, source),
        }
    }
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

// === impl Source ===

impl Source {
    /// The word for metrics and the audit log.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Ec2 => "ec2",
            Self::Joined => "joined",
            Self::Nobody => "none",
            Self::Stale => "stale",
        }
    }
}
