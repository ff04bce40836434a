//! Lease: at most one of several processes leads (Kubernetes documentation, "Leases"; the algorithm of client-go's
//! `leaderelection` package).
//!
//! Clocks of different machines are never compared: another holder's lease is over when this process has seen it
//! unchanged for as long as it lasts. The times in the object are for people. Failure rule: who cannot renew in time
//! does not lead any more, before anybody else can.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};

use super::{
    Client,
    client::{CONFLICT, Place},
    watch::ApiError,
};

/// One process's part in the election.
#[derive(Debug)]
pub struct Elector {
    name: &'static str,
    namespace: &'static str,
    identity: String,
    /// The lease as it was seen last, and since when it has been that.
    observed: Option<(Value, Instant)>,
    leads_until: Option<Instant>,
}

/// What is to be done about the lease.
#[derive(Debug, PartialEq)]
enum Step {
    Create,
    /// Its `spec` is to become this, if it is of that version.
    Take {
        version: String,
        spec: Value,
    },
    /// Somebody else holds it.
    Wait,
}

/// How long a lease that is not renewed keeps others out.
pub const LASTS: Duration = Duration::from_secs(15);
/// How long its holder leads after it was renewed. What it begins in that time ends within the rest of [`LASTS`].
pub const LEADS: Duration = Duration::from_secs(10);
/// How often it is looked at, and renewed.
pub const PERIOD: Duration = Duration::from_secs(2);

// === impl Elector ===

impl Elector {
    /// Takes part under `identity`, which no other process has, in the election of the Lease `name`.
    #[must_use]
    pub fn new(namespace: &'static str, name: &'static str, identity: String) -> Self {
        Self { name, namespace, identity, observed: None, leads_until: None }
    }

    /// Whether this process leads at `now`.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// Takes or renews the lease if that may be. `wall` is what it says for people.
    ///
    /// # Errors
    ///
    /// When the lease cannot be read or written. That another process was faster is no error.
    pub async fn step(&mut self, client: &Client, wall: SystemTime) -> Result<(), ApiError> {
        // What follows takes its time, during which nobody has renewed anything.
        let started = Instant::now();
        let lease = client.get(&self.place()).await?;
        let written = match self.judge(lease, Instant::now(), wall) {
            Step::Wait => {
                self.leads_until = None;
                return Ok(());
            }
            Step::Create => {
                let metadata = json!({ "name": self.name, "namespace": self.namespace });
                let spec = self.spec(&Value::Null, wall);
                let (api, kind) = ("coordination.k8s.io/v1", "Lease");
                let lease = json!({ "apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec });
                client.create(&self.place(), &lease).await
            }
            Step::Take { version, spec } => {
                let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
                client.merge(&self.place(), &patch).await
            }
        };
        match written {
            Ok(lease) => {
                self.observed = Some((lease["spec"].clone(), started));
                self.leads_until = Some(started + LEADS);
                Ok(())
            }
            Err(error) if error.status() == Some(CONFLICT) => {
                self.leads_until = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the lease back, if this process holds it, so that nobody has to wait for its end.
    ///
    /// # Errors
    ///
    /// When the lease cannot be read or written: it ends by itself.
    pub async fn release(&mut self, client: &Client) -> Result<(), ApiError> {
        if self.leads_until.take().is_none() {
            return Ok(());
        }
        let Some(lease) = client.get(&self.place()).await? else { return Ok(()) };
        let is_as_seen = self.observed.as_ref().is_some_and(|(seen, _)| *seen == lease["spec"]);
        // Renewed since: by this process's next part in the election, which has the same identity.
        if lease["spec"]["holderIdentity"] != self.identity.as_str() || !is_as_seen {
            return Ok(());
        }
        // A duration has to be above 0.
        let spec = json!({ "holderIdentity": null, "leaseDurationSeconds": 1 });
        let patch = json!({ "metadata": { "resourceVersion": lease["metadata"]["resourceVersion"] }, "spec": spec });
        client.merge(&self.place(), &patch).await.map(drop)
    }

    fn judge(&mut self, lease: Option<Value>, now: Instant, wall: SystemTime) -> Step {
        let Some(lease) = lease else { return Step::Create };
        let spec = &lease["spec"];
        if self.observed.as_ref().is_none_or(|(seen, _)| seen != spec) {
            self.observed = Some((spec.clone(), now));
        }
        let since = self.observed.as_ref().map_or(now, |(_, since)| *since);
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let lasts = spec["leaseDurationSeconds"].as_u64().map_or(LASTS, Duration::from_secs);
        if !holder.is_empty() && holder != self.identity && now.duration_since(since) < lasts {
            return Step::Wait;
        }
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        Step::Take { version, spec: self.spec(spec, wall) }
    }

    /// What the lease says from now on, after `before`.
    fn spec(&self, before: &Value, wall: SystemTime) -> Value {
        let renewed = micro_time(wall);
        let transitions = before["leaseTransitions"].as_u64().unwrap_or_default();
        let mut spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LASTS.as_secs(),
            "renewTime": renewed,
        });
        if before["holderIdentity"] != self.identity.as_str() {
            spec["acquireTime"] = renewed.into();
            spec["leaseTransitions"] = (transitions + u64::from(!before.is_null())).into();
        }
        spec
    }

    fn place(&self) -> Place<'_> {
        Place {
            group: "coordination.k8s.io",
            version: "v1",
            plural: "leases",
            namespace: Some(self.namespace),
            name: Some(self.name),
            subresource: None,
        }
    }
}

/// `MicroTime` of the Kubernetes API: RFC 3339 with six decimals, in UTC.
fn micro_time(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from(time).format(format).expect("a time has all these parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, renewed: &str) -> Option<Value> {
        Some(json!({
            "metadata": { "resourceVersion": "7" },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed, "leaseTransitions": 3 },
        }))
    }

    fn elector() -> Elector {
        Elector::new("kube-system", "l", "me".to_owned())
    }

    #[track_caller]
    fn check(elector: &mut Elector, lease: Option<Value>, now: Instant, takes: bool) {
        let step = elector.judge(lease, now, SystemTime::UNIX_EPOCH);
        assert_eq!(matches!(step, Step::Take { .. }), takes, "{step:?}");
    }

    #[test]
    fn another_ones_lease_ends_by_the_time_that_was_seen_to_pass() {
        let (start, mut elector) = (Instant::now(), elector());
        let after = |seconds| start + Duration::from_secs(seconds);
        // Whatever the holder's clock says: long ago, or in a year.
        for renewed in ["2001-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"] {
            elector.observed = None;
            check(&mut elector, lease(Some("other"), renewed), start, false);
            check(&mut elector, lease(Some("other"), renewed), after(14), false);
            check(&mut elector, lease(Some("other"), renewed), after(15), true);
        }
        let renewed = lease(Some("other"), "2026-01-01T00:00:01.000000Z");
        check(&mut elector, renewed.clone(), after(16), false);
        check(&mut elector, renewed.clone(), after(30), false);
        check(&mut elector, renewed, after(31), true);
    }

    #[test]
    fn a_lease_that_nobody_holds_or_that_is_ours_is_taken_at_once() {
        let now = Instant::now();
        check(&mut elector(), lease(None, "x"), now, true);
        check(&mut elector(), lease(Some(""), "x"), now, true);
        check(&mut elector(), lease(Some("me"), "x"), now, true);
        assert_eq!(elector().judge(None, now, SystemTime::UNIX_EPOCH), Step::Create);
    }

    #[test]
    fn what_is_written_is_guarded_and_counts_changes_of_hands() {
        let step = elector().judge(lease(Some("me"), "x"), Instant::now(), SystemTime::UNIX_EPOCH);
        let time = "1970-01-01T00:00:00.000000Z";
        let renewed = json!({ "holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": time });
        assert_eq!(step, Step::Take { version: "7".to_owned(), spec: renewed.clone() });
        let step = elector().judge(lease(None, "x"), Instant::now(), SystemTime::UNIX_EPOCH);
        let mut taken = renewed;
        taken["acquireTime"] = time.into();
        taken["leaseTransitions"] = 4.into();
        assert_eq!(step, Step::Take { version: "7".to_owned(), spec: taken });
    }

    #[test]
    fn who_cannot_renew_leads_no_more_before_others_may() {
        let (start, mut elector) = (Instant::now(), elector());
        elector.leads_until = Some(start + LEADS);
        assert!(elector.leads(start) && elector.leads(start + LEADS - Duration::from_millis(1)));
        assert!(!elector.leads(start + LEADS));
        assert!(LEADS < LASTS && PERIOD < LEADS);
    }
}
