//! What a policy answers: a decision about the caller, or the fault that kept it from one.

/// What a policy says about a caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// No opinion: the next stage is asked.
    Abstain,
    /// From here on the caller is this.
    Allow(Mapping),
    /// Final: the login is refused. The text goes to the audit log, never to the caller.
    Deny(String),
}

/// A Kubernetes identity, as `TokenReview.status.user` carries it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mapping {
    /// The username; never empty. Under `system:` only if the operator's ceiling names it.
    pub username: String,
    /// `None`: the host's own uid for the caller.
    pub uid: Option<String>,
    /// The groups, in order. The same rule about `system:` holds for each.
    pub groups: Vec<String>,
    /// Extra keys with their values; the host's own keys are refused.
    pub extra: Vec<(String, Vec<String>)>,
}

/// Why a policy could not decide. Refuses the login; it never counts as [`Decision::Abstain`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The policy or its settings are broken. The API server does not try again by itself.
    Broken(String),
    /// Something outside the policy is missing or slow. The API server is told to try again.
    Unavailable(String),
}

// === impl Decision ===

impl Decision {
    /// Refuses the login, with the words for the audit log.
    #[must_use]
    pub fn deny(why: impl Into<String>) -> Self {
        Self::Deny(why.into())
    }
}

impl From<Mapping> for Decision {
    fn from(mapping: Mapping) -> Self {
        Self::Allow(mapping)
    }
}

// === impl Mapping ===

impl Mapping {
    /// A user of that name, in no group.
    #[must_use]
    pub fn named(username: impl Into<String>) -> Self {
        Self { username: username.into(), ..Self::default() }
    }

    /// Adds one extra key.
    #[must_use]
    pub fn with_extra(mut self, key: impl Into<String>, values: impl IntoIterator<Item: Into<String>>) -> Self {
        self.extra.push((key.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// Adds one group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// Adds groups, in order.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item: Into<String>>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Sets the uid instead of the host's own.
    #[must_use]
    pub fn with_uid(mut self, uid: impl Into<String>) -> Self {
        self.uid = Some(uid.into());
        self
    }
}

// === impl Fault ===

impl Fault {
    /// A [`Fault::Broken`] with the words for the audit log.
    #[must_use]
    pub fn broken(why: impl Into<String>) -> Self {
        Self::Broken(why.into())
    }

    /// A [`Fault::Unavailable`] with the words for the audit log.
    #[must_use]
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(why.into())
    }
}
