//! Facts about the caller of a request, looked up with the host's cloud credentials.
//!
//! A policy that uses them imports `herald:policy/cloud`, and loads only where its entry has `cloud`. They are there for
//! [`decide`](crate::Policy::decide), not for [`configure`](crate::Policy::configure). In a native build they are those of
//! [`testing::set_instance`](crate::testing::set_instance).

use crate::Fault;

/// A virtual machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its private DNS name; empty if it has none.
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
            LookUpError::Forbidden => Self::unavailable("the host may not look the caller's machine up"),
            LookUpError::NotGranted => {
                Self::broken("this policy is not granted to know the caller's machine: see `cloud`")
            }
            LookUpError::Unavailable => Self::unavailable("the caller's machine cannot be looked up now"),
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::{Instance, LookUpError};
    use crate::bindings::host_cloud::{self, LookupError};

    pub(super) fn caller_instance() -> Result<Option<Instance>, LookUpError> {
        match host_cloud::caller_instance() {
            Ok(host_cloud::Instance { id, private_dns_name, private_ip, zone, image_id, tags }) => {
                Ok(Some(Instance { id, private_dns_name, private_ip, zone, image_id, tags }))
            }
            Err(LookupError::NotFound) => Ok(None),
            Err(LookupError::Forbidden) => Err(LookUpError::Forbidden),
            Err(LookupError::NotGranted) => Err(LookUpError::NotGranted),
            Err(LookupError::Unavailable) => Err(LookUpError::Unavailable),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) use crate::testing::instance as caller_instance;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::set_instance;

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
}
