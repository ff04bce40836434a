//! Authenticator: the pipeline from a bearer token to a [`Decision`]. No HTTP, no command line.
//!
//! Every view of a login is a view of its decision: the webhook answers from it, the audit log
//! writes it, metrics count it, `herald verify` prints it. One engine, no second way to decide.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use uuid::{Builder, Uuid};

use crate::{
    caller::{AccountId, Caller, PrincipalKind},
    kubernetes::{Extra, UserInfo, Values},
    mapping::{
        Chain, Refusal, StageRecord,
        chain::micros,
        shadow::{Question, ShadowRecord},
    },
    observe::{Metrics, metrics::OldResult},
    policy::{Mapping, Request},
    provider::{Blame, Provider, VerifyError},
    sts::{Executor, Source},
    token::BearerToken,
};

pub mod facts;
pub mod nodes;
mod scrub;
pub mod shadows;

use scrub::Scrub;
use shadows::{Job, Shadows};

/// The pipeline of one configuration. Immutable: a new configuration makes a new one.
pub struct Authenticator {
    /// This cluster's id: part of what a token must be signed for.
    pub cluster_id: String,
    /// Digest of the configuration in force, for `extra` and the audit log.
    pub generation: String,
    /// Clouds whose tokens are accepted.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Asks STS.
    pub sts: Arc<Executor>,
    /// Names verified callers.
    pub chain: Chain,
    /// Asks the policies in shadow mode.
    pub shadows: Arc<Shadows>,
    /// Accounts whose ids and ARNs stay out of answers and decisions.
    pub scrubbed: BTreeSet<AccountId>,
    /// No account's root is let in, whoever would name it.
    pub deny_root: bool,
    /// Counts decisions and evaluations.
    pub metrics: Arc<Metrics>,
}

/// What was asked, what each stage said, and what came out. Holds no token, key or signature.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// RFC 9562 UUIDv7: sorts by time, and is what an "Unauthorized" can be looked up by.
    pub decision_id: Uuid,
    /// The caller's cloud; empty for a foreign token.
    pub provider: &'static str,
    /// Digest of the configuration that decided.
    pub generation: String,
    /// Length of the token, in bytes.
    pub token_bytes: usize,
    /// The verified caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Arc<Caller>>,
    /// How the caller was verified: `sts`, `cache` or `joined`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<&'static str>,
    /// Time spent on verification, in microseconds.
    pub verify_micros: u64,
    /// Every stage that was asked, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageRecord>,
    /// What policies in shadow mode would have changed, if somebody waited for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<ShadowRecord>,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Total time, in microseconds.
    pub micros: u64,
}

/// What a token review ends in.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// The caller is let in as this user.
    Allowed {
        /// The answer to the API server.
        user: UserInfo,
    },
    /// The caller is not let in.
    Denied(Denial),
}

/// Why a caller was not let in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The stable label.
    pub reason: &'static str,
    /// The same in words, for the operator: what is wrong and what to do next.
    pub message: String,
    /// What the API server should make of it.
    pub class: Class,
    /// How long the API server should wait before it asks again, in whole seconds.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// What the API server should make of a denial.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Another authenticator's token. Answered in microseconds and never logged.
    Foreign,
    /// The token is no proof of anything, now or later: may be remembered.
    NotAuthenticated,
    /// The caller is proven but not welcome, or a policy failed: asked again each time, so that a
    /// new mapping works at once, and written to the API server's log.
    NotAllowed,
    /// Something is missing for the moment: retried.
    Unavailable,
    /// STS or our own limits ask for fewer logins: retried later.
    Throttled,
}

/// The host's own extra keys, which [`HOST_EXTRA_PREFIX`](crate::mapping::guard::HOST_EXTRA_PREFIX) reserves.
const OWN_EXTRA: [&str; 3] = ["herald.dev/decision-id", "herald.dev/stage", "herald.dev/generation"];
/// Longest `Retry-After` that is passed on, in seconds.
const MAX_RETRY_AFTER: u64 = 60;

// === impl Authenticator ===

impl Authenticator {
    /// Decides about one token. Never fails: an error is a denial with its reason. Who answers with it [counts](Self::count)
    /// it.
    pub async fn decide(&self, token: &BearerToken, now: SystemTime) -> Decision {
        let started = Instant::now();
        let mut decision = self.blank(token.len(), now);
        decision.outcome = match self.verify(&mut decision, token, now).await {
            Ok(caller) => self.admit(&mut decision, caller, now).await,
            Err(error) => Outcome::Denied(error.into()),
        };
        decision.micros = micros(started.elapsed());
        decision
    }

    /// Counts `decision` once it is known what became of it: a login that could not be written down was not answered, and let
    /// nobody in.
    pub fn count(&self, decision: &Decision, is_answered: bool) {
        let took = Duration::from_micros(decision.micros);
        let (outcome, reason) = match &decision.outcome {
            _ if !is_answered => (Class::Unavailable.outcome(), "audit_unavailable"),
            Outcome::Allowed { .. } => ("allowed", "ok"),
            Outcome::Denied(denial) => (denial.class.outcome(), denial.reason),
        };
        self.metrics.decision(decision.provider, outcome, reason, took);
        if is_answered {
            self.metrics.old_login(old_result(decision), took);
        }
        for StageRecord { stage, verdict, micros, fuel, .. } in &decision.stages {
            if let Some(fuel) = fuel {
                self.metrics.policy(stage, verdict, Duration::from_micros(*micros), *fuel);
            }
        }
    }

    /// The sources that cannot answer yet, and why.
    pub fn not_ready(&self) -> impl Iterator<Item = (&str, String)> {
        self.chain.missing()
    }

    /// Decides about a caller whom no token proves, as about one whom a cloud has vouched for, and waits for the
    /// policies in shadow mode. For explanations alone.
    pub async fn decide_unproven(&self, caller: Arc<Caller>, now: SystemTime) -> Decision {
        let started = Instant::now();
        let mut decision = self.blank(0, now);
        decision.provider = caller.provider;
        let (outcome, job) = self.settle(&mut decision, caller, now).await;
        decision.outcome = outcome;
        decision.micros = micros(started.elapsed());
        if let Some(job) = job {
            decision.shadows = job.ask().await;
        }
        decision
    }

    /// The outcome; what there is to ask beside it is left for later.
    async fn admit(&self, decision: &mut Decision, caller: Arc<Caller>, now: SystemTime) -> Outcome {
        let (outcome, job) = self.settle(decision, Arc::clone(&caller), now).await;
        if matches!(outcome, Outcome::Allowed { .. }) && decision.verified_by == Some("sts") {
            self.sts.welcome(&caller);
        }
        if let Some(job) = job {
            self.shadows.later(job);
        }
        outcome
    }

    /// The outcome, and what there is to ask beside it.
    async fn settle(&self, decision: &mut Decision, caller: Arc<Caller>, now: SystemTime) -> (Outcome, Option<Job>) {
        let (mut outcome, questions) = self.map(decision, &caller, now).await;
        let is_scrubbed = self.scrubbed.contains(&caller.account_id);
        let job = (!questions.is_empty()).then(|| Job {
            decision_id: decision.decision_id,
            generation: self.generation.clone(),
            caller: Arc::clone(&caller),
            is_scrubbed,
            cluster_id: self.cluster_id.clone(),
            now,
            guard: self.chain.guard.clone(),
            questions,
        });
        if is_scrubbed {
            let scrub = Scrub::of(&caller);
            decision.stages.iter_mut().for_each(|record| scrub.log(&mut record.log));
            if let Outcome::Denied(denial) = &mut outcome {
                scrub.text(&mut denial.message);
            }
        }
        decision.caller = (!is_scrubbed).then_some(caller);
        (outcome, job)
    }

    fn blank(&self, token_bytes: usize, now: SystemTime) -> Decision {
        Decision {
            decision_id: decision_id(now),
            provider: "",
            generation: self.generation.clone(),
            token_bytes,
            caller: None,
            verified_by: None,
            verify_micros: 0,
            stages: Vec::new(),
            shadows: Vec::new(),
            outcome: Outcome::Denied(VerifyError::Foreign.into()),
            micros: 0,
        }
    }

    async fn verify(
        &self,
        decision: &mut Decision,
        token: &BearerToken,
        now: SystemTime,
    ) -> Result<Arc<Caller>, VerifyError> {
        let started = Instant::now();
        let ours = self.providers.iter().find(|provider| provider.claims(token));
        let provider = ours.ok_or(VerifyError::Foreign)?;
        decision.provider = provider.name();
        let verified = self.sts.verify(provider.as_ref(), token, now).await;
        decision.verify_micros = micros(started.elapsed());
        let verified = verified?;
        decision.verified_by = Some(match verified.source {
            Source::Cache => "cache",
            Source::Joined => "joined",
            Source::Sts => "sts",
        });
        Ok(verified.caller)
    }

    async fn map(&self, decision: &mut Decision, caller: &Arc<Caller>, now: SystemTime) -> (Outcome, Vec<Question>) {
        if self.deny_root && caller.kind == PrincipalKind::Root {
            return (Outcome::Denied(Refusal::Root.into()), Vec::new());
        }
        let request = Request::new(caller, &self.cluster_id, now);
        let trace = self.chain.decide(request).await;
        decision.stages = trace.stages;
        let outcome = match trace.outcome {
            Ok(mapping) => Outcome::Allowed { user: self.user(decision.decision_id, caller, mapping, trace.trail) },
            Err(refusal) => Outcome::Denied(refusal.into()),
        };
        (outcome, trace.questions)
    }

    fn user(&self, decision_id: Uuid, caller: &Caller, mapping: Mapping, trail: Vec<String>) -> UserInfo {
        let scrubbed = self.scrubbed.contains(&caller.account_id);
        let mut extra = Vec::with_capacity(caller.extra.len() + mapping.extra.len() + OWN_EXTRA.len());
        if !scrubbed {
            extra.extend(caller.extra().map(|(key, value)| (key.into(), Values::One(value.to_owned()))));
        }
        extra.extend(mapping.extra.into_iter().map(|(key, values)| (key.into(), values.into())));
        let own = [Values::One(decision_id.to_string()), trail.into(), Values::One(self.generation.clone())];
        extra.extend(OWN_EXTRA.iter().map(|key| Cow::from(*key)).zip(own));
        let uid = || if scrubbed { scrubbed_uid(caller, &mapping.username) } else { caller.uid.clone() };
        UserInfo {
            uid: mapping.uid.unwrap_or_else(uid),
            username: mapping.username,
            groups: mapping.groups,
            extra: Extra(extra),
        }
    }
}

/// The decision in the words of the metrics of before.
fn old_result(decision: &Decision) -> OldResult {
    match decision.denial() {
        None => OldResult::Success,
        Some(_) if decision.verified_by.is_some() => OldResult::NotAllowed,
        Some(denial) if denial.reason == "sts_throttled" => OldResult::StsThrottling,
        Some(Denial { class: Class::Unavailable | Class::Throttled, .. } | Denial { reason: "sts_refused", .. }) => {
            OldResult::StsError
        }
        Some(_) => OldResult::InvalidToken,
    }
}

/// The uid of a caller from a scrubbed account, in the form the peer of its provider uses.
fn scrubbed_uid(caller: &Caller, username: &str) -> String {
    let scheme = caller.uid.split(':').next().unwrap_or_default();
    format!("{scheme}:administrative:{username}")
}

/// A UUIDv7 of `now`, so that ids sort with the log. Its random part need only be unique: it is no secret, and
/// asking the system for it would cost each login a system call.
fn decision_id(now: SystemTime) -> Uuid {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

// === impl Decision ===

impl Decision {
    /// The user, if the caller was let in.
    #[must_use]
    pub fn user(&self) -> Option<&UserInfo> {
        match &self.outcome {
            Outcome::Allowed { user } => Some(user),
            Outcome::Denied(_) => None,
        }
    }

    /// The denial, if the caller was not let in.
    #[must_use]
    pub fn denial(&self) -> Option<&Denial> {
        match &self.outcome {
            Outcome::Allowed { .. } => None,
            Outcome::Denied(denial) => Some(denial),
        }
    }
}

// === impl Class ===

impl Class {
    /// The outcome label in metrics.
    fn outcome(self) -> &'static str {
        match self {
            Self::Foreign | Self::NotAuthenticated | Self::NotAllowed => "denied",
            Self::Unavailable | Self::Throttled => "unavailable",
        }
    }
}

// === impl Denial ===

impl From<VerifyError> for Denial {
    fn from(error: VerifyError) -> Self {
        let (class, retry_after) = match &error {
            VerifyError::Foreign => (Class::Foreign, None),
            VerifyError::Throttled { retry_after } => {
                let seconds = retry_after.map_or(1, |time| time.as_secs().clamp(1, MAX_RETRY_AFTER));
                (Class::Throttled, Some(seconds))
            }
            VerifyError::Overloaded { .. } => (Class::Throttled, Some(1)),
            error if error.blame() == Blame::Retry => (Class::Unavailable, Some(1)),
            _ => (Class::NotAuthenticated, None),
        };
        Self { reason: error.reason(), message: error.to_string(), class, retry_after }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        let message = match &refusal {
            Refusal::Denied { stage, why } => format!("denied by {stage}: {why}"),
            refusal => refusal.to_string(),
        };
        let retry = refusal.is_retryable();
        let class = if retry { Class::Unavailable } else { Class::NotAllowed };
        Self { reason: refusal.reason(), message, class, retry_after: retry.then_some(1) }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        caller::{Fact, made_up},
        config::{Config, Shared},
        mapping::rule::tests::caller,
    };

    /// The uid and the extra keys that a login of account 123456789012 gives.
    #[track_caller]
    fn check(scrubbed: &[&str], uid: Option<&str>, expected: (&str, &[&str])) {
        let accounts = scrubbed.iter().map(|id| id.parse().expect("12 digits"));
        let config = Config {
            cluster_id: Some("c".parse().expect("an id")),
            scrubbed_accounts: accounts.collect::<BTreeSet<_>>(),
            ..Config::default()
        };
        let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
        let authenticator = config.build(&shared).expect("built");
        let mut caller = caller("arn:aws:sts::123456789012:assumed-role/Admin/alice");
        caller.extra = &[("arn", Fact::Arn)];
        let extra = vec![("example.com/team".to_owned(), vec!["a".to_owned()])];
        let mapping = Mapping { username: "alice".into(), uid: uid.map(str::to_owned), extra, ..Mapping::default() };
        let user = authenticator.user(Uuid::nil(), &caller, mapping, vec![]);
        let keys: Vec<&str> = user.extra.0.iter().map(|(key, _)| key.as_ref()).collect();
        assert_eq!((user.uid.as_str(), keys.as_slice()), expected);
    }

    #[test]
    fn scrubbed_accounts_stay_out_of_the_answer() {
        const OURS: [&str; 4] =
            ["example.com/team", "herald.dev/decision-id", "herald.dev/stage", "herald.dev/generation"];
        let all = ["arn", OURS[0], OURS[1], OURS[2], OURS[3]];
        check(&[], None, ("aws-iam-authenticator:123456789012:AROAEXAMPLE", &all));
        check(&["123456789013"], None, ("aws-iam-authenticator:123456789012:AROAEXAMPLE", &all));
        check(&["123456789012"], None, ("aws-iam-authenticator:administrative:alice", &OURS));
        check(&["123456789012"], Some("1000"), ("1000", &OURS));
    }

    #[test]
    fn a_login_that_was_not_answered_counts_as_none() {
        #[track_caller]
        fn check(is_answered: bool, expected: &str) {
            let metrics = Arc::<Metrics>::default();
            let config = Config { cluster_id: Some("c".parse().expect("an id")), ..Config::default() };
            let shared = Shared::new(&config, Arc::clone(&metrics), None, || SystemTime::UNIX_EPOCH).expect("made");
            let authenticator = config.build(&shared).expect("built");
            let user = UserInfo { username: "alice".to_owned(), ..UserInfo::default() };
            let decision = Decision {
                provider: "aws",
                outcome: Outcome::Allowed { user },
                ..authenticator.blank(0, SystemTime::UNIX_EPOCH)
            };
            authenticator.count(&decision, is_answered);
            let text = metrics.text();
            let counted: Vec<&str> = text.lines().filter(|line| line.starts_with("herald_decisions_total{")).collect();
            assert_eq!(counted, [expected]);
        }
        check(true, r#"herald_decisions_total{provider="aws",outcome="allowed",reason="ok"} 1"#);
        check(false, r#"herald_decisions_total{provider="aws",outcome="unavailable",reason="audit_unavailable"} 1"#);
    }

    /// Whoever is alarmed by it asks the cloud for more calls.
    #[test]
    fn our_own_limits_are_no_throttling_of_sts() {
        #[track_caller]
        fn check(error: VerifyError, expected: OldResult) {
            let config = Config { cluster_id: Some("c".parse().expect("an id")), ..Config::default() };
            let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
            let authenticator = config.build(&shared).expect("built");
            let outcome = Outcome::Denied(error.into());
            let decision = Decision { outcome, ..authenticator.blank(0, SystemTime::UNIX_EPOCH) };
            assert_eq!(old_result(&decision), expected);
        }
        check(VerifyError::Throttled { retry_after: None }, OldResult::StsThrottling);
        check(VerifyError::Overloaded { limit: "sts_in_flight" }, OldResult::StsError);
        check(VerifyError::Unavailable { cause: "breaker_open" }, OldResult::StsError);
        check(VerifyError::Refused { status: 403, code: "AccessDenied".to_owned() }, OldResult::StsError);
        check(VerifyError::NotYetValid, OldResult::InvalidToken);
    }

    /// Whatever names it, of either cloud; and it alone.
    #[test]
    fn no_root_is_let_in_where_the_operator_says_so() {
        #[track_caller]
        fn check(key: &str, arn: &str, expected: &str) {
            let text = format!(
                "clusterID: c\nserver:\n  {key}\n  bootstrapAdmins: ['arn:aws:iam::123456789012:root']\n  mapUsers:\n  - {{userARN: \
                 'acs:ram::1234567890123456:root', username: x}}\n  mapAccounts: ['123456789013']\n"
            );
            let config = Config::parse(Path::new("/config.yaml"), &text).expect("good").config;
            let shared = Shared::new(&config, Arc::default(), None, || SystemTime::UNIX_EPOCH).expect("made");
            let authenticator = config.build(&shared).expect("built");
            let caller =
                made_up::caller(&arn.parse().expect("an ARN"), SystemTime::UNIX_EPOCH + Duration::from_secs(900));
            let decision = authenticator.decide_unproven(Arc::new(caller), SystemTime::UNIX_EPOCH).now_or_never();
            let decision = decision.expect("no stage waits");
            assert_eq!(decision.denial().map_or("ok", |denial| denial.reason), expected, "{key} {arn}");
            assert!(decision.denial().is_none_or(|denial| denial.class == Class::NotAllowed), "{key} {arn}");
            assert_eq!(decision.stages.is_empty(), expected == "root_denied", "nobody is asked");
        }
        const ROOTS: [&str; 3] =
            ["arn:aws:iam::123456789012:root", "arn:aws:iam::123456789013:root", "acs:ram::1234567890123456:root"];
        for root in ROOTS {
            check("denyRoot: true", root, "root_denied");
            check("denyRoot: false", root, "ok");
            check("port: 21362", root, "ok");
        }
        check("denyRoot: true", "arn:aws:iam::123456789013:user/root", "ok");
        check("denyRoot: true", "arn:aws:iam::123456789014:user/root", "not_mapped");
    }
}
