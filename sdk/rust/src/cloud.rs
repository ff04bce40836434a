//! Facts about the caller of a request, looked up with the host's cloud credentials. Herald knows them of callers of
//! AWS; of others there is none.
//!
//! A policy that uses them imports `herald:policy/cloud`, and loads only where its entry has `cloud`. They are there for
//! [`decide`](crate::Policy::decide), not for [`configure`](crate::Policy::configure). In a native build they are those of
//! [`testing::set_instance`](crate::testing::set_instance) and [`testing::set_tags`](crate::testing::set_tags).

use std::collections::BTreeMap;

use crate::Fault;

/// A virtual machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its private DNS name; empty if it has none, as before it runs, and for up to an hour after it has ended.
    pub private_dns_name: String,
    /// Its primary private address.
    pub private_ip: String,
    /// The zone it runs in.
    pub zone: String,
    /// The image it was started from.
    pub image_id: String,
    /// Its tags, as key and value.
    pub tags: Vec<(String, String)>,
}

/// Why a look-up gave no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LookUpError {
    /// The host's credentials may not ask.
    Forbidden,
    /// This policy was not granted that look-up.
    NotGranted,
    /// Throttled, timed out or failed.
    Unavailable,
}

/// The machine that the caller's session name stands for, of the caller's own account; `None` if he is no machine.
///
/// # Errors
///
/// [`LookUpError`]; `?` makes it the fault that it is.
pub fn caller_instance() -> Result<Option<Instance>, LookUpError> {
    host::caller_instance()
}

/// The tags of the role or user behind the caller, by key; `None` if he is neither, or it is not there any more. Those of his session
/// are not among them.
///
/// # Errors
///
/// [`LookUpError`]; `?` makes it the fault that it is.
pub fn caller_tags() -> Result<Option<BTreeMap<String, String>>, LookUpError> {
    host::caller_tags()
}

// === impl Instance ===

impl Instance {
    /// The value of one tag, if the machine has it.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

// === impl LookUpError ===

impl From<LookUpError> for Fault {
    fn from(error: LookUpError) -> Self {
        match error {
            LookUpError::Forbidden => Self::unavailable("the host may not look that up about the caller"),
            LookUpError::NotGranted => {
                Self::broken("this policy is not granted to know that about the caller: see `cloud`")
            }
            LookUpError::Unavailable => Self::unavailable("that cannot be looked up about the caller now"),
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use std::collections::BTreeMap;

    use super::{Instance, LookUpError};
    use crate::bindings::host_cloud::{self, LookupError};

    pub(super) fn caller_instance() -> Result<Option<Instance>, LookUpError> {
        let instance = found(host_cloud::caller_instance())?;
        Ok(instance.map(|instance| {
            let host_cloud::Instance { id, private_dns_name, private_ip, zone, image_id, tags } = instance;
            Instance { id, private_dns_name, private_ip, zone, image_id, tags }
        }))
    }

    pub(super) fn caller_tags() -> Result<Option<BTreeMap<String, String>>, LookUpError> {
        Ok(found(host_cloud::caller_tags())?.map(|tags| tags.into_iter().collect()))
    }

    fn found<T>(said: Result<T, LookupError>) -> Result<Option<T>, LookUpError> {
        match said {
            Ok(fact) => Ok(Some(fact)),
            Err(LookupError::NotFound) => Ok(None),
            Err(LookupError::Forbidden) => Err(LookUpError::Forbidden),
            Err(LookupError::NotGranted) => Err(LookUpError::NotGranted),
            Err(LookupError::Unavailable) => Err(LookUpError::Unavailable),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) use crate::testing::{instance as caller_instance, tags as caller_tags};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{set_instance, set_tags};

    #[test]
    fn the_instance_of_a_test() {
        assert_eq!(caller_instance(), Err(LookUpError::NotGranted));
        let tags = vec![("team".to_owned(), "db".to_owned())];
        set_instance(Ok(Some(Instance { id: "i-1".to_owned(), tags, ..Instance::default() })));
        let instance = caller_instance().expect("granted").expect("a machine");
        assert_eq!((instance.tag("team"), instance.tag("none")), (Some("db"), None));
        set_instance(Ok(None));
        assert_eq!(caller_instance(), Ok(None));
        assert!(matches!(Fault::from(LookUpError::Forbidden), Fault::Unavailable(_)));
        assert!(matches!(Fault::from(LookUpError::NotGranted), Fault::Broken(_)));
    }

    #[test]
    fn the_tags_of_a_test() {
        assert_eq!(caller_tags(), Err(LookUpError::NotGranted));
        let tags = BTreeMap::from([("team".to_owned(), "db".to_owned())]);
        set_tags(Ok(Some(tags.clone())));
        assert_eq!(caller_tags(), Ok(Some(tags)));
        set_tags(Ok(None));
        assert_eq!(caller_tags(), Ok(None));
        set_tags(Err(LookUpError::Unavailable));
        assert_eq!(caller_tags(), Err(LookUpError::Unavailable));
    }
}
