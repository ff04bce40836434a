//! IAM: the tags of the role or user behind a caller (AWS Identity and Access Management API Reference, "GetRole" and "GetUser").
//!
//! ```text
//! caller ─▶ role or user ─▶ known? ─▶ askable? ─▶ under way? ─▶ place ─▶ rate ─▶ GetRole, GetUser ─▶ is it he? ─▶ tags
//!           name and id      kept      account     join it      one of 4  limit   signed              by its id
//! ```
//!
//! IAM is asked by name, and by whatever credentials there are: so what it says counts only of the principal that has the
//! caller's own unique id. One of the same name in another account, or one that was deleted and made again, is somebody else.
//! Tags of a session are not among them: STS does not tell those. Nothing is loaded or called before the first decision that
//! needs tags.
//!
//! Anybody can open an account and have any number of roles and users in it, all of whom a cloud vouches for. So callers of an
//! account that no credentials here are of cost nothing as soon as it is known whose those are, and no account takes all places.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::{timeout, timeout_at},
};

use super::{
    Partition,
    credentials::Session,
    hosts::Target,
    service::{self, Access, Ages, Asker, CallError, DEADLINE, Kept, Pace, Room, Seat, Service, Source, Waiting},
};
use crate::caller::{AccountId, Caller};

mod answer;
mod call;
mod config;
mod error;
mod line;
mod principal;

pub use config::{Config, Settings};
pub use error::IamError;
pub use principal::Principal;

use line::{Lines, Place};

/// Looks tags up, for any number of logins at a time. Cheap to clone.
#[derive(Clone)]
pub struct Iam(Arc<Shared>);

/// What is told about each call to IAM.
pub trait Observer: Send + Sync {
    /// A call has ended: `ok` or a reason label, and its time.
    fn called(&self, result: &'static str, took: Duration);
}

/// Tags, by key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tags(pub BTreeMap<String, String>);

/// What came of one look-up.
#[derive(Clone, Debug)]
pub struct LookUp {
    /// What IAM says of the caller's role or user.
    pub tags: Result<Arc<Tags>, IamError>,
    /// Where the answer came from.
    pub source: Source,
}

type Answer = Result<Arc<Tags>, IamError>;

struct Shared {
    settings: Settings,
    /// One for each way of asking.
    lanes: Vec<Access>,
    kept: Kept<Principal, Tags, IamError>,
    waiting: Waiting<Principal, Answer>,
    lines: Arc<Lines>,
    calls: Semaphore,
    pace: Pace,
    observer: Box<dyn Observer>,
}

/// The service's name, in our own labels too.
pub const NAME: &str = "iam";

static SERVICE: Service = Service {
    name: NAME,
    variable: "AWS_ENDPOINT_URL_IAM",
    what: "tags of callers",
    region: |_, partition| Target::iam_region(partition).to_owned(),
    host,
};

/// Tags change, and what they give or take should not be late by more than a few minutes. A role that is not there may be made
/// in a moment.
const AGES: Ages =
    Ages { fresh: Duration::from_secs(5 * 60), stale: Duration::from_secs(60 * 60), missing: Duration::from_secs(60) };
/// Most principals that are kept, and most of those that there are not.
const ENTRIES: usize = 4096;
/// Most that is kept of principals, in bytes: fewer of them where they have many tags.
const BYTES: u64 = 8 << 20;
/// Most principals that are waited for. Beyond, look-ups fail at once.
const MAX_WAITING: usize = 1024;
/// Most of one account among them.
const MAX_WAITING_OF_ONE: usize = MAX_WAITING / 4;
/// Most calls under way.
const MAX_CALLS: usize = 4;
/// Most about one account among them.
const MAX_CALLS_OF_ONE: usize = MAX_CALLS - 1;
/// Longest time of a call and its credentials.
const CALL: Duration = Duration::from_secs(5);

/// What an answer of IAM about `principal` says of his tags: what a look-up makes of it, for whoever tries answers out.
///
/// # Errors
///
/// [`IamError`].
pub fn read_answer(status: u16, body: &[u8], principal: &Principal) -> Result<Tags, IamError> {
    if status == 200 { answer::tags(body, principal) } else { Err(answer::failure(status, body)) }
}

fn host(session: &Session, partition: Partition) -> Result<String, CallError> {
    let target = Target::iam(partition, session.fips, session.dual_stack);
    target.map(|target| target.host).map_err(|error| CallError::Endpoint(error.to_string()))
}

// === impl Iam ===

impl Iam {
    /// Makes ready to look up. `clock` dates signatures.
    #[must_use]
    pub fn new(settings: Settings, clock: fn() -> SystemTime, observer: Box<dyn Observer>) -> Self {
        let endpoint = settings.config.endpoint.as_ref();
        Self(Arc::new(Shared {
            lanes: Access::of_all(&SERVICE, &settings.roles, endpoint, settings.partition, clock),
            kept: Kept::new(ENTRIES, BYTES, AGES),
            waiting: Waiting::new(MAX_WAITING),
            lines: Lines::new(MAX_WAITING_OF_ONE, MAX_CALLS_OF_ONE),
            calls: Semaphore::new(MAX_CALLS),
            pace: Pace::new(settings.config.qps, settings.config.burst),
            settings,
            observer,
        }))
    }

    /// The settings that it works by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The tags of the role or user that `caller` is, for `asker`. Waits a few seconds at most.
    pub async fn look_up(&self, caller: &Caller, asker: Asker) -> LookUp {
        let (tags, source) = match Principal::of(caller) {
            Ok(principal) if caller.partition == self.0.settings.partition.as_str() => {
                self.find(principal, asker).await
            }
            Ok(_) => (Err(IamError::NoPrincipal), Source::Nobody),
            Err(error) => (Err(error), Source::Nobody),
        };
        LookUp { tags, source }
    }

    async fn find(&self, principal: Principal, asker: Asker) -> (Answer, Source) {
        let Self(shared) = self;
        if let Some(known) = shared.kept.fresh(&principal, Instant::now()) {
            return (known, Source::Cache);
        }
        if !shared.lane(principal.account()).may_tell_of(principal.account()) {
            return (Err(IamError::OtherAccount), Source::Nobody);
        }
        shared.pace.admit(asker).await;
        let seat = shared.board(&principal).ok_or(IamError::Overloaded);
        service::settle(&shared.kept, &shared.waiting, &principal, seat).await
    }
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iam").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// The way of asking for what is of `account`.
    fn lane(&self, account: &AccountId) -> &Access {
        &self.lanes[self.settings.roles.lane_of(account)]
    }

    /// Joins whoever waits for `principal`, or has him asked for; `None` if there is no room, or none for his account.
    fn board(self: &Arc<Self>, principal: &Principal) -> Option<Seat<Answer>> {
        let (seat, sender) = self.waiting.board(principal.clone())?;
        let Some(sender) = sender else { return Some(seat) };
        let Some(place) = self.lines.enter(principal.account()) else {
            self.waiting.leave(principal);
            return None;
        };
        tokio::spawn(Arc::clone(self).ask(principal.clone(), place, sender));
        Some(seat)
    }

    async fn ask(self: Arc<Self>, principal: Principal, place: Place, sender: oneshot::Sender<Answer>) {
        let tags = self.in_turn(&principal, &place).await.map(Arc::new);
        self.kept.keep(principal.clone(), &tags, Instant::now());
        self.waiting.leave(&principal);
        let _ = sender.send(tags);
    }

    /// Whose turn comes when nobody waits for it any more has IAM left alone.
    async fn in_turn(&self, principal: &Principal, place: &Place) -> Result<Tags, IamError> {
        let lane = self.lane(principal.account());
        let turn = async {
            let of_account = place.turn().await;
            let of_all = self.calls.acquire().await.expect("the semaphore is never closed");
            // Another's answer may have told whose the credentials are.
            if !lane.may_tell_of(principal.account()) {
                return Err(IamError::OtherAccount);
            }
            self.pace.turn().await;
            Ok((of_account, of_all))
        };
        let until = Instant::now() + DEADLINE;
        let _turn = timeout_at(until.into(), turn).await.map_err(|_| IamError::Timeout)??;
        let started = Instant::now();
        let called = timeout(CALL, call::get(lane, principal)).await;
        let called = called.unwrap_or(Err(IamError::Unavailable { cause: "timeout" }));
        // That somebody is not there is an answer too.
        let failed = called.as_ref().err().filter(|error| error.is_retryable());
        self.observer.called(failed.map_or("ok", IamError::reason), started.elapsed());
        lane.note(failed.map(|error| (error.reason(), error as _)));
        called
    }
}

// === impl Tags ===

impl Room for Tags {
    fn bytes(&self) -> usize {
        const AROUND: usize = 400;
        const AROUND_TAG: usize = 60;
        AROUND + self.0.iter().map(|(key, value)| AROUND_TAG + key.len() + value.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
