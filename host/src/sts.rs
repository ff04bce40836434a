//! STS executor: the one place that asks a cloud who signed a token.
//!
//! ```text
//! token ─▶ verified? ─▶ refused? ─▶ inspect ─▶ under way? ─▶ breaker, limits ─▶ HTTP ─▶ interpret ─▶ remember
//!          cache        cache       provider   join it       refuse at once     STS     provider     caches
//! ```
//!
//! Pooled connections, deadlines, size caps, one call per token at a time, bounded caches, limits and a
//! breaker. Only the cloud's word is remembered, never past the token's own end; mapping and policies run
//! afresh on every login. STS throttles by account, so one caller's throttling slows down nobody else. Strangers have
//! half of what it is asked at most, so that no flood of tokens keeps those out who were let in lately.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::{
    caller::Caller,
    observe::Metrics,
    provider::{Provider, StsCall, VerifyError},
    token::BearerToken,
};

mod breaker;
mod cache;
mod client;
mod config;
mod exchange;
mod flight;
mod limits;
mod standing;
mod tls;

pub use config::{Breaker, Config, ConfigError, Endpoint, Limits, RefusedCache, VerifiedCache};
pub use exchange::retry_after;
pub use tls::trusted_in;

use flight::Answer;

/// Asks STS on behalf of every provider. Holds the connections and caches, so a reload that leaves
/// [`config`](Self::config) as it was keeps the executor too.
pub struct Executor {
    config: Config,
    metrics: Arc<Metrics>,
    memory: cache::Memory,
    flights: flight::Flights,
    limits: limits::Limits,
    breakers: breaker::Breakers,
    clients: client::Clients,
}

/// A call that has begun. One that is dropped before its end was given up by the last who waited for it.
struct UnderWay<'a> {
    metrics: &'a Metrics,
    region: &'a str,
    started: Instant,
    has_ended: bool,
}

/// A caller the cloud vouched for, and how we came to know.
#[derive(Debug)]
pub struct Verified {
    /// The caller.
    pub caller: Arc<Caller>,
    /// Where the answer came from.
    pub source: Source,
}

/// Where a verified caller came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The cache: STS vouched for this very token a moment ago.
    Cache,
    /// Another login with the same token was waiting already.
    Joined,
    /// STS, just now.
    Sts,
}

impl Executor {
    /// An executor with its connection pool and caches, all empty. Reads the trusted roots and CA files,
    /// which takes a few milliseconds; opens no connection.
    ///
    /// # Errors
    ///
    /// Any [`ConfigError`]: a value out of bounds, no TLS roots, an endpoint that is not usable.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            memory: cache::Memory::new(config),
            flights: flight::Flights::default(),
            limits: limits::Limits::new(&config.limits),
            breakers: breaker::Breakers::new(&config.breaker),
            clients: client::Clients::new(config)?,
            config: config.clone(),
            metrics,
        })
    }

    /// The settings it runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks the cloud who signed `token`: at most one STS request at a time for it, bounded in time.
    /// Dropping the future gives the request up, unless another login waits for the same.
    ///
    /// # Errors
    ///
    /// Any [`VerifyError`]. All of them deny.
    pub async fn verify(
        &self,
        provider: &dyn Provider,
        token: &BearerToken,
        now: SystemTime,
    ) -> Result<Verified, VerifyError> {
        let digest = token.digest();
        if let Some(known) = self.memory.recall(&digest, now) {
            return self.known(known);
        }
        let call = self.inspect(provider, token, now)?;
        // Looked up once more under the flights' lock: a call that ended in between was remembered first.
        let launch = |call| match self.memory.recall(&digest, now) {
            Some(known) => Err(self.known(known)),
            None => self.launch(call).map_err(Err),
        };
        let join = |call: &StsCall, waiters| self.limits.join(call, waiters, Instant::now()).map_err(Err);
        let seat = match self.flights.board(digest, call, join, launch) {
            Ok(seat) => seat,
            Err(known) => return known,
        };
        self.metrics.sts_cache(if seat.is_joined() { "joined" } else { "miss" });
        let answer = seat.answer().await;
        let verdict = seat.verdict(|| {
            let verdict = self.conclude(provider, &answer);
            self.memory.remember(digest, &verdict, now);
            verdict
        });
        let source = if seat.is_joined() { Source::Joined } else { Source::Sts };
        verdict.map(|caller| Verified { caller, source })
    }

    /// Tells that `caller` was let in: for an hour his key has its part of what STS is asked at most, however many
    /// strangers ask.
    pub fn welcome(&self, caller: &Caller) {
        self.limits.welcome(&caller.access_key_id, Instant::now());
    }

    /// What `token` asks its cloud, read by its provider and held to `maxTokenAge`. No network.
    ///
    /// # Errors
    ///
    /// As [`Provider::inspect`].
    pub fn inspect(
        &self,
        provider: &dyn Provider,
        token: &BearerToken,
        now: SystemTime,
    ) -> Result<StsCall, VerifyError> {
        let mut call = provider.inspect(token, now)?;
        let end = call.signed_at.checked_add(self.config.max_token_age).unwrap_or(call.signed_at);
        call.expires_at = call.expires_at.min(end);
        if now < call.expires_at { Ok(call) } else { Err(VerifyError::Expired { signed_at: call.signed_at }) }
    }

    fn known(&self, known: Result<Verified, VerifyError>) -> Result<Verified, VerifyError> {
        self.metrics.sts_cache(if known.is_ok() { "hit" } else { "refused" });
        known
    }

    /// Prepares one call, if the breaker and the limits let it pass. It starts when it is first waited for.
    fn launch(&self, call: StsCall) -> Result<BoxFuture<'static, Arc<Answer>>, VerifyError> {
        let now = Instant::now();
        let ticket = self.breakers.admit(&call.host, now)?;
        let permit = self.limits.admit(&call, now)?;
        let client = self.clients.of(&call.host).clone();
        let (timeout, metrics) = (self.config.timeout, Arc::clone(&self.metrics));
        let flight = async move {
            let under_way = UnderWay::begin(&metrics, &call.region);
            let reply = exchange::ask(&client, &call, timeout).await;
            let (ended, took) = under_way.end();
            let key = permit.end(reply.is_ok().then_some(ended));
            Arc::new(Answer { call, reply, took, ended, ticket, key })
        };
        Ok(flight.boxed())
    }

    /// What an answer means. A server error is nobody's word, whatever its body says; only throttling is
    /// told apart.
    fn conclude(&self, provider: &dyn Provider, answer: &Answer) -> Result<Arc<Caller>, VerifyError> {
        let verdict = match &answer.reply {
            Err(failure) => Err(VerifyError::Unavailable { cause: failure.label() }),
            Ok(reply) => match (reply.status, provider.interpret(&answer.call, reply)) {
                (_, Err(throttled @ VerifyError::Throttled { .. })) => Err(throttled),
                (500.., _) => Err(VerifyError::Unavailable { cause: "server_error" }),
                (_, read) => read.map(Arc::new),
            },
        };
        let result = verdict.as_ref().map_or_else(VerifyError::reason, |_| "ok");
        let is_throttled = matches!(verdict, Err(VerifyError::Throttled { .. }));
        // Throttling is one account's, whatever its status.
        let works = match &answer.reply {
            Ok(reply) => Some(reply.status < 500 || is_throttled),
            Err(failure) => failure.is_the_hosts().then_some(false),
        };
        if let Some(works) = works {
            answer.ticket.report(works, answer.ended);
        }
        if let (Some(key), Err(error)) = (&answer.key, &verdict)
            && !matches!(error, VerifyError::Unavailable { .. })
        {
            key.lose();
        }
        self.metrics.sts_answer(
            &answer.call.region,
            answer.reply.as_ref().ok().map(|reply| reply.status),
            is_throttled,
        );
        self.metrics.sts_request(&answer.call.region, result, answer.took);
        verdict
    }
}

// === impl UnderWay ===

impl<'a> UnderWay<'a> {
    fn begin(metrics: &'a Metrics, region: &'a str) -> Self {
        Self { metrics, region, started: Instant::now(), has_ended: false }
    }

    /// When it ended, which is now, and how long it took.
    fn end(mut self) -> (Instant, Duration) {
        self.has_ended = true;
        let ended = Instant::now();
        (ended, ended - self.started)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.metrics.sts_request(self.region, "given_up", self.started.elapsed());
        }
    }
}

#[cfg(test)]
mod tests;
