//! Cloud: facts about the caller of a decision, for policies that the operator grants them to.
//!
//! They are found before a decision has an instance of its policy, so that nobody waits for a cloud while he holds one, a decision
//! sees one answer however often it asks, and no call of a policy reaches a cloud. No function takes an id: what is
//! looked up is the caller's own, or nothing.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

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

    /// The tags of the role or user that `caller` is, by key. Bounded likewise.
    fn tags<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<BTreeMap<String, String>, LookUpError>>;
}

/// A fact that an operator may grant, as `cloud` of a policy names it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// The machine that the caller's session is named after.
    CallerInstance,
    /// The tags of the role or user behind the caller.
    CallerTags,
}

/// A virtual machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its private DNS name; empty if it has none.
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
    pub tags: BTreeMap<String, String>,
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
    /// The tags of the caller's role or user, by key.
    pub tags: Result<BTreeMap<String, String>, LookUpError>,
}

/// A made-up fact, as a case writes it down: the fact, or the word for why there is none.
#[derive(Clone, Debug)]
pub struct MadeUp<T>(pub Result<T, LookUpError>);

/// What can be made up, in the words of whoever wrote something else.
pub trait Fabric {
    /// What it is written as.
    const EXPECTED: &str;
}

// === impl Fact ===

impl Fact {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::CallerInstance, Self::CallerTags];

    /// The word in configurations, and the function of the contract.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CallerInstance => "caller-instance",
            Self::CallerTags => "caller-tags",
        }
    }

    /// What grants `facts`, as an operator writes it.
    #[must_use]
    pub fn grant(facts: &[Self]) -> String {
        format!("cloud: [{}]", facts.iter().map(|fact| fact.word()).collect::<Vec<_>>().join(", "))
    }
}

// === impl MadeUp ===

impl Fabric for Instance {
    const EXPECTED: &str = "an instance with its `id`, or not-found, forbidden or unavailable";
}

impl Fabric for BTreeMap<String, String> {
    const EXPECTED: &str = "tags by their keys, or not-found, forbidden or unavailable";
}

impl<'de, T: Deserialize<'de> + Fabric> Deserialize<'de> for MadeUp<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrFact<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Fabric> Visitor<'de> for WordOrFact<T> {
            type Value = MadeUp<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<MadeUp<T>, E> {
                LookUpError::deserialize(word.into_deserializer()).map(|error| MadeUp(Err(error)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MadeUp<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|fact| MadeUp(Ok(fact)))
            }
        }
        deserializer.deserialize_any(WordOrFact(PhantomData))
    }
}

// === impl Facts ===

impl Facts {
    /// What a case has made up; what it has not is not granted.
    #[must_use]
    pub fn made_up(instance: Option<MadeUp<Instance>>, tags: Option<MadeUp<BTreeMap<String, String>>>) -> Self {
        let Self { instance: no_instance, tags: no_tags } = Self::default();
        Self {
            instance: instance.map_or(no_instance, |MadeUp(instance)| instance),
            tags: tags.map_or(no_tags, |MadeUp(tags)| tags),
        }
    }

    /// Which of them are granted.
    #[must_use]
    pub fn granted(&self) -> Vec<Fact> {
        let is_granted = |fact: &Fact| match fact {
            Fact::CallerInstance => !matches!(self.instance, Err(LookUpError::NotGranted)),
            Fact::CallerTags => !matches!(self.tags, Err(LookUpError::NotGranted)),
        };
        Fact::ALL.into_iter().filter(is_granted).collect()
    }

    /// The name that the ceiling's placeholder stands for at this decision.
    pub(super) fn node(&self) -> Option<&str> {
        let name = self.instance.as_ref().ok().map(|instance| instance.private_dns_name.as_str());
        name.filter(|name| !name.is_empty() && !name.contains(NODE))
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self { instance: Err(LookUpError::NotGranted), tags: Err(LookUpError::NotGranted) }
    }
}

/// Says the same of everybody: for cases.
impl FactFinder for Facts {
    fn instance<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<Instance, LookUpError>> {
        Box::pin(std::future::ready(self.instance.clone()))
    }

    fn tags<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<BTreeMap<String, String>, LookUpError>> {
        Box::pin(std::future::ready(self.tags.clone()))
    }
}
