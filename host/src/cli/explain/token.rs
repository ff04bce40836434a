//! A token check by check, in the order in which the provider makes them.

use std::{sync::Arc, time::SystemTime};

use http::Method;
use serde::Serialize;

use crate::{
    authenticator::{Authenticator, Decision},
    provider::{Provider, StsCall, VerifyError},
    token::BearerToken,
};

/// One check and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Passed,
    Failed,
    NotMade,
}

/// The first check: whose token it is.
const PREFIX: &str = "prefix";
/// The last check, of the clock.
const AGE: &str = "age";
const STS: &str = "sts";

/// Every check that needs no network, and what the provider makes of the token.
pub(super) fn steps(
    authenticator: &Authenticator,
    token: &BearerToken,
    now: SystemTime,
) -> (Vec<Step>, Result<StsCall, VerifyError>) {
    let ours = authenticator.providers.iter().find(|provider| provider.claims(token));
    let inspect = |provider: &Arc<dyn Provider>| authenticator.sts.inspect(provider.as_ref(), token, now);
    let inspected = ours.map_or(Err(VerifyError::Foreign), inspect);
    let failed = match &inspected {
        Ok(_) => None,
        Err(VerifyError::Malformed { check, .. }) => Some(*check),
        Err(VerifyError::Expired { .. } | VerifyError::NotYetValid) => Some(AGE),
        Err(_) => Some(PREFIX),
    };
    let names = ours.or_else(|| authenticator.providers.first()).map_or(&[PREFIX][..], |provider| provider.checks());
    let mut steps: Vec<Step> = Vec::new();
    for name in names.iter().copied().chain([AGE]) {
        let over = steps.last().is_some_and(|step| step.verdict != Verdict::Passed);
        let (verdict, detail) = match &inspected {
            _ if over => (Verdict::NotMade, String::new()),
            Ok(call) => (Verdict::Passed, detail(name, call)),
            Err(error) if failed == Some(name) => (Verdict::Failed, error.to_string()),
            Err(_) => (Verdict::Passed, String::new()),
        };
        steps.push(Step { check: name, verdict, detail });
    }
    (steps, inspected)
}

/// What STS said, if it was asked.
pub(super) fn sts(decision: &Decision, asked: bool) -> Step {
    let (verdict, detail) = match (asked, decision.verified_by, decision.denial()) {
        (false, ..) => (Verdict::NotMade, String::new()),
        (true, None, Some(denial)) => (Verdict::Failed, denial.message.clone()),
        (true, ..) => (Verdict::Passed, "vouches for the caller".to_owned()),
    };
    Step { check: STS, verdict, detail }
}

fn detail(name: &str, call: &StsCall) -> String {
    let time = |time| humantime::format_rfc3339_seconds(time).to_string();
    match name {
        "host" if call.region.is_empty() => call.host.clone(),
        "host" => format!("{} ({})", call.host, call.region),
        "date" => format!("signed {}", time(call.signed_at)),
        "authorization" | "credential" => format!("access key {}", call.access_key_id),
        "signed headers" if call.method == Method::GET => "host and cluster id".to_owned(),
        AGE => format!("good until {}", time(call.expires_at)),
        _ => String::new(),
    }
}

// === impl Step ===

impl Step {
    /// Whether it keeps nobody out.
    pub(super) fn is_good(&self) -> bool {
        self.verdict == Verdict::Passed
    }
}

// === impl Verdict ===

impl Verdict {
    /// The same for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::NotMade => "-",
        }
    }
}
