//! What this room's tests are made of: decisions by hand, and services without a cloud.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use uuid::Uuid;

use super::Services;
use crate::{
    authenticator::{Authenticator, Class, Decision, Denial, Outcome},
    caller::Caller,
    kubernetes::UserInfo,
    mapping::Chain,
    observe::{AuditLog, Metrics, audit},
    provider::{Provider, StsCall, StsReply, VerifyError},
    sts::{self, Executor},
    token::BearerToken,
};

/// Refuses every token in the way that the token's text names.
struct Refusing(Arc<Gate>);

/// Holds `slow` tokens until a test lets them go.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    waiting: usize,
    open: bool,
}

// === impl Gate ===

impl Gate {
    /// Lets `slow` tokens go, those to come too.
    pub(super) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Waits until a `slow` token is held.
    pub(super) async fn held(&self) {
        while self.state.lock().unwrap().waiting == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        let limit = Duration::from_secs(10);
        drop(self.changed.wait_timeout_while(state, limit, |state| !state.open).unwrap());
    }
}

impl Provider for Refusing {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn prefixes(&self) -> &'static [&'static str] {
        &["k8s-fake-v1."]
    }

    fn checks(&self) -> &'static [&'static str] {
        &[]
    }

    fn inspect(&self, token: &BearerToken, _: SystemTime) -> Result<StsCall, VerifyError> {
        Err(match token.expose().strip_prefix(self.prefixes()[0]).unwrap_or_default() {
            "future" => VerifyError::NotYetValid,
            "throttled" => VerifyError::Throttled { retry_after: Some(Duration::from_secs(7)) },
            "unavailable" => VerifyError::Unavailable { cause: "connect" },
            "slow" => {
                tokio::task::block_in_place(|| self.0.pass());
                VerifyError::NotYetValid
            }
            _ => VerifyError::Malformed {
                reason: "token_base64",
                check: "encoding",
                source: Arc::new(std::io::Error::other("not base64")),
            },
        })
    }

    fn interpret(&self, _: &StsCall, _: &StsReply) -> Result<Caller, VerifyError> {
        Err(VerifyError::Unintelligible("nobody is asked"))
    }
}

/// Services around an authenticator that lets nobody in.
pub(crate) fn services(output: audit::Output) -> Services {
    services_with(output, Arc::default())
}

/// The same, whose `slow` tokens wait at `gate`.
pub(super) fn services_with(output: audit::Output, gate: Arc<Gate>) -> Services {
    let metrics = Arc::new(Metrics::default());
    let authenticator = Authenticator {
        cluster_id: "prod".to_owned(),
        generation: "0a".to_owned(),
        providers: vec![Arc::new(Refusing(gate))],
        sts: Arc::new(Executor::new(&sts::Config::default(), Arc::clone(&metrics)).expect("this system has roots")),
        chain: Chain::default(),
        shadows: Arc::default(),
        scrubbed: std::collections::BTreeSet::new(),
        deny_root: false,
        metrics: Arc::clone(&metrics),
    };
    let audit = AuditLog::start(&audit::Config { output, ..audit::Config::default() }, Arc::clone(&metrics));
    Services {
        authenticator: Arc::new(ArcSwap::from_pointee(authenticator)),
        audit: Arc::new(audit.expect("the output can be opened")),
        metrics,
        readiness: Arc::default(),
        reload_error: Arc::default(),
        compiling: Arc::default(),
    }
}

/// A decision with `outcome` and nothing else of interest.
pub(super) fn decided(outcome: Outcome) -> Decision {
    Decision {
        decision_id: Uuid::nil(),
        provider: "aws",
        generation: "0a".to_owned(),
        token_bytes: 493,
        caller: None,
        verified_by: None,
        verify_micros: 0,
        stages: Vec::new(),
        shadows: Vec::new(),
        outcome,
        micros: 0,
    }
}

/// A login as `alice` with these groups.
pub(super) fn allowed(groups: &[&str]) -> Outcome {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Outcome::Allowed { user: UserInfo { username: "alice".to_owned(), groups, ..UserInfo::default() } }
}

/// A denial.
pub(super) fn denied(reason: &'static str, class: Class) -> Outcome {
    Outcome::Denied(Denial { reason, message: "words for the operator".to_owned(), class, retry_after: None })
}
