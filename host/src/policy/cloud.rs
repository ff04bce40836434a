//! Cloud: facts about the caller of a decision, for policies that the operator grants them to.
//!
//! They are found before a decision has an instance of its policy, so that nobody waits for a cloud while he holds one, a decision
//! sees one answer however often it asks, and no call of a policy reaches a cloud. No function takes an id: what is
//! looked up is the caller's own, or nothing.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::{
    Deserialize, Deserializer,
    de::{IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::ceiling::NODE;
use crate::caller::Caller;

/// Knows facts about callers.
pub trait FactFinder: Send + Sync {
    /// The machine that `caller` is. Bounded in time, and in what it asks of a cloud.
    fn instance<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<Instance, LookUpError>>;
}

/// A fact that an operator may grant, as `cloud` of a policy names it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// The machine that the caller's session is named after.
    CallerInstance,
}

/// A virtual machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its private DNS name.
    #[serde(default)]
    pub private_dns_name: String,
    /// Its primary private address.
    #[serde(default)]
    pub private_ip: String,
    /// The zone it runs in.
    #[serde(default)]
    pub zone: String,
    /// The image it was started from.
    #[serde(default)]
    pub image_id: String,
    /// Its tags, by key.
    #[serde(default)]
    pub tags: std::collections::BTreeMap<String, String>,
}

/// Why a look-up gave nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum LookUpError {
    /// The cloud has no such thing, or the caller is not of that kind.
    NotFound,
    /// Herald's own credentials may not ask.
    Forbidden,
    /// Throttled, timed out or failed.
    Unavailable,
    /// The policy was not granted it.
    NotGranted,
}

/// What one decision may know.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The caller's machine.
    pub instance: Result<Instance, LookUpError>,
}

/// A made-up fact, as a case writes it down: the instance, or the word for why there is none.
#[derive(Clone, Debug)]
pub enum MadeUp {
    /// Why there is none.
    None(LookUpError),
    /// The instance.
    Instance(Instance),
}

// === impl MadeUp ===

impl<'de> Deserialize<'de> for MadeUp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrInstance;
        impl<'de> Visitor<'de> for WordOrInstance {
            type Value = MadeUp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an instance with its `id`, or not-found, forbidden or unavailable")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<MadeUp, E> {
                LookUpError::deserialize(word.into_deserializer()).map(MadeUp::None)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MadeUp, A::Error> {
                Instance::deserialize(MapAccessDeserializer::new(map)).map(MadeUp::Instance)
            }
        }
        deserializer.deserialize_any(WordOrInstance)
    }
}

// === impl Facts ===

impl Facts {
    /// The name that the ceiling's placeholder stands for at this decision.
    pub(super) fn node(&self) -> Option<&str> {
        let name = self.instance.as_ref().ok().map(|instance| instance.private_dns_name.as_str());
        name.filter(|name| !name.is_empty() && !name.contains(NODE))
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self { instance: Err(LookUpError::NotGranted) }
    }
}

impl From<MadeUp> for Facts {
    fn from(made_up: MadeUp) -> Self {
        let instance = match made_up {
            MadeUp::None(error) => Err(error),
            MadeUp::Instance(instance) => Ok(instance),
        };
        Self { instance }
    }
}

/// Says the same of everybody: for cases.
impl FactFinder for Facts {
    fn instance<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Instance, LookUpError>> {
        Box::pin(std::future::ready(self.instance.clone()))
    }
}
