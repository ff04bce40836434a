//! Services of AWS that Herald asks by credentials of its own: whose those are, one signed call, its pace, who waits for
//! what, and what is known already. What is asked, and what an answer means, is the service's own module's.
//!
//! Nothing is loaded or called before somebody asks.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{credentials::Session, hosts::Partition};

mod access;
mod call;
mod config;
mod kept;
mod pace;
mod waiting;
pub(super) mod xml;

pub use config::{Endpoint, InvalidConfig, InvalidSetting, RoleArn, Roles, SourceArn};
pub use pace::Asker;

pub(super) use access::Access;
pub(super) use call::post;
pub(super) use config::MAX_RATE;
pub(super) use kept::{Ages, Kept, Room};
pub(super) use pace::Pace;
pub(super) use waiting::{Seat, Waiting};

/// What one service is called, and where it is.
pub(super) struct Service {
    /// In credential scopes and in our own labels.
    pub(super) name: &'static str,
    /// The environment variable that names another endpoint of it (AWS SDKs and Tools Reference Guide, "Service-specific
    /// endpoints").
    pub(super) variable: &'static str,
    /// What the operator is told of that cannot be looked up.
    pub(super) what: &'static str,
    /// The region that its requests are signed for.
    pub(super) region: fn(&Session, Partition) -> String,
    /// The host of its own endpoint.
    pub(super) host: fn(&Session, Partition) -> Result<String, CallError>,
}

/// Why there is no answer, whatever was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum CallError {
    /// The operator's fault: there are no credentials to ask with, or the role may not be assumed.
    Credentials(String),
    /// The operator's fault: there is no endpoint to ask.
    Endpoint(String),
    /// Nobody's fault: it is out of reach. What happened, as a stable label.
    Unavailable(&'static str),
}

/// Why a look-up gave nothing, as far as everybody must know who waits or remembers.
pub(super) trait Failure: Clone + Send + Sync + 'static {
    /// Whether asking again later can help: it says nothing about the caller.
    fn is_retryable(&self) -> bool;
    /// It took too long.
    fn timeout() -> Self;
    /// Whoever asked is gone without a word.
    fn given_up() -> Self;
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// It was known already.
    Cache,
    /// The service, just now.
    Cloud,
    /// Another login was waiting for the same.
    Joined,
    /// Nobody was asked: the caller is nobody who can be looked up, or there are too many.
    Nobody,
    /// It was known from before the service went out of reach, or there were too many to ask for.
    Stale,
}

/// Longest wait of one login, well inside the 30 s after which kube-apiserver gives up on a webhook.
pub(super) const DEADLINE: Duration = Duration::from_secs(6);

/// What comes to whoever has `seat`, or what was known before if there can be no answer; without a seat, nobody is asked.
pub(super) async fn settle<K, V, E>(
    kept: &Kept<K, V, E>,
    waiting: &Waiting<K, Result<Arc<V>, E>>,
    key: &K,
    seat: Result<Seat<Result<Arc<V>, E>>, E>,
) -> (Result<Arc<V>, E>, Source)
where
    K: Clone + Eq + Hash,
    V: Room,
    E: Failure,
{
    let (answer, source) = match seat {
        Err(error) => (Err(error), Source::Nobody),
        Ok(seat) => {
            let source = if seat.is_joined { Source::Joined } else { Source::Cloud };
            let answer = timeout(DEADLINE, seat.answer).await.unwrap_or_else(|_| Ok(Err(E::timeout())));
            let answer = answer.unwrap_or_else(|_| {
                // The next one asks anew.
                waiting.leave(key);
                Err(E::given_up())
            });
            (answer, source)
        }
    };
    match answer {
        Err(error) if error.is_retryable() => match kept.stale(key, Instant::now()) {
            Some(known) => (Ok(known), Source::Stale),
            None => (Err(error), source),
        },
        answer => (answer, source),
    }
}

// === impl Source ===

impl Source {
    /// The word for metrics and the audit log; `service` is the service's name.
    #[must_use]
    pub fn label(self, service: &'static str) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Cloud => service,
            Self::Joined => "joined",
            Self::Nobody => "none",
            Self::Stale => "stale",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{kept::tests::Test, *};

    #[tokio::test]
    async fn what_was_known_before_counts_where_there_is_no_room_to_ask() {
        async fn check(is_known: bool, error: Test, expected: (Result<usize, Test>, Source)) {
            let ages = Ages { fresh: Duration::ZERO, stale: Duration::from_secs(3600), missing: Duration::ZERO };
            let kept = Kept::<u32, usize, Test>::new(64, 6400, ages);
            if is_known {
                kept.keep(1, &Ok(Arc::new(1)), Instant::now());
            }
            let (answer, source) = settle(&kept, &Waiting::new(0), &1, Err(error)).await;
            assert_eq!((answer, source), (expected.0.map(Arc::new), expected.1), "{is_known} {error:?}");
        }
        check(true, Test::Later, (Ok(1), Source::Stale)).await;
        check(false, Test::Later, (Err(Test::Later), Source::Nobody)).await;
        check(true, Test::Gone, (Err(Test::Gone), Source::Nobody)).await;
    }
}
