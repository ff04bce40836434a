//! Callers that are put together at random, and made smaller part by part.
//!
//! What is in them is what a host could give a policy: partitions with their regions, ids in the form that each kind of
//! principal has, attributes of the provider, and a mapping only where a policy of its kind would see one.

use std::{collections::BTreeMap, iter, time::SystemTime};

use serde_json::{Value, json};

use super::words::{STRANGERS, Words};
use crate::{
    caller::{
        Arn, PrincipalId,
        arn::{ACS_PARTITION, AWS_PARTITIONS},
        made_up,
    },
    cli::verify::Plain,
    mapping::{live, mounted_file},
    policy::{
        self, Mapping,
        cases::{DEFAULT_NOW, OwnedRequest},
    },
    provider::ClusterId,
};

/// A caller before it is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Draft {
    kind: Kind,
    /// Of AWS; where the account is one of Alibaba Cloud's, it says nothing.
    partition: &'static str,
    account: String,
    name: String,
    session: String,
    /// This and the next three: `None` is what is made up of everybody.
    principal_id: Option<String>,
    access_key_id: Option<String>,
    sts_region: Option<String>,
    cluster_id: Option<String>,
    now: SystemTime,
    current: Option<Mapping>,
    /// Empty without `current`.
    trail: Vec<String>,
}

/// Simpler ones first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    User,
    Role,
    PermissionSet,
    Federated,
    Root,
}

/// The simplest partition.
const AWS: &str = AWS_PARTITIONS[0];
/// The simplest text.
const SIMPLEST: &str = "a";
/// Regions with an STS in each partition; empty: a global endpoint.
const REGIONS: [(&str, &[&str]); 9] = [
    (AWS, &["", "us-east-1", "eu-west-1", "ap-southeast-2"]),
    ("aws-cn", &["cn-north-1", "cn-northwest-1"]),
    ("aws-eusc", &["eusc-de-east-1"]),
    ("aws-iso", &["us-iso-east-1", "us-iso-west-1"]),
    ("aws-iso-b", &["us-isob-east-1"]),
    ("aws-iso-e", &["eu-isoe-west-1"]),
    ("aws-iso-f", &["us-isof-south-1", "us-isof-east-1"]),
    ("aws-us-gov", &["us-gov-west-1", "us-gov-east-1"]),
    (ACS_PARTITION, &["", "cn-hangzhou", "ap-southeast-1"]),
];
/// Digits of an account of Alibaba Cloud.
const ALIBABA_DIGITS: usize = 16;
/// Stages that name callers, as a trail has them.
const SOURCES: [&str; 4] = [mounted_file::NAME, live::EKS_CONFIG_MAP, live::CRD, live::DYNAMIC_FILE];
const POLICY: &str = "Policy/";

// === impl Draft ===

impl Draft {
    /// One that a policy of kind `asked` may be asked about, if it is one that some cloud has.
    pub(super) fn random(words: &Words, asked: Option<policy::Kind>, random: &mut fastrand::Rng) -> Self {
        let kind = match random.u8(..12) {
            0 => Kind::Root,
            1 => Kind::Federated,
            2 | 3 => Kind::User,
            4 | 5 => Kind::PermissionSet,
            _ => Kind::Role,
        };
        let is_mapped = match asked {
            None => random.bool(),
            Some(policy::Kind::Map) => false,
            Some(policy::Kind::Augment | policy::Kind::Guard) => true,
        };
        let partition = if random.u8(..4) == 0 { AWS_PARTITIONS[random.usize(..AWS_PARTITIONS.len())] } else { AWS };
        let mut draft = Self {
            kind,
            partition,
            account: words.account(random),
            name: words.name(random),
            session: words.name(random),
            now: words.time(random),
            current: is_mapped.then(|| mapping(words, random)),
            trail: if is_mapped { trail(words, asked, random) } else { Vec::new() },
            ..Self::simplest()
        };
        if random.u8(..4) == 0 {
            draft.principal_id = Some(draft.random_principal_id(words, random));
            draft.access_key_id = Some(draft.random_access_key_id(words, random));
        }
        if random.u8(..4) == 0 || draft.partition() != AWS {
            draft.sts_region = Some(draft.random_region(words, random));
        }
        if random.u8(..4) == 0 {
            draft.cluster_id = Some(words.name(random)).filter(|id| id.parse::<ClusterId>().is_ok());
        }
        draft
    }

    /// The smallest of all.
    pub(super) fn simplest() -> Self {
        Self {
            kind: Kind::User,
            partition: AWS,
            account: STRANGERS[0].to_owned(),
            name: SIMPLEST.to_owned(),
            session: SIMPLEST.to_owned(),
            principal_id: None,
            access_key_id: None,
            sts_region: None,
            cluster_id: None,
            now: SystemTime::UNIX_EPOCH + DEFAULT_NOW,
            current: None,
            trail: Vec::new(),
        }
    }

    /// Those that some cloud has, without an end.
    pub(super) fn of_callers(
        words: &Words,
        asked: Option<policy::Kind>,
        random: &mut fastrand::Rng,
    ) -> impl Iterator<Item = Self> {
        iter::repeat_with(move || Self::random(words, asked, random)).filter(|draft| draft.request().is_some())
    }

    /// Whether a policy of kind `asked` is asked about him.
    pub(super) fn is_asked(&self, asked: Option<policy::Kind>) -> bool {
        match asked {
            None => true,
            Some(policy::Kind::Map) => self.current.is_none(),
            Some(policy::Kind::Augment | policy::Kind::Guard) => self.current.is_some(),
        }
    }

    fn is_alibaba(&self) -> bool {
        self.account.len() == ALIBABA_DIGITS
    }

    fn partition(&self) -> &'static str {
        if self.is_alibaba() { ACS_PARTITION } else { self.partition }
    }

    /// Role sessions alone have one. Alibaba Cloud has no other sessions.
    fn is_session(&self) -> bool {
        match self.kind {
            Kind::Role | Kind::PermissionSet => true,
            Kind::Federated => self.is_alibaba(),
            Kind::Root | Kind::User => false,
        }
    }

    pub(super) fn arn(&self) -> String {
        let Self { kind, account, name, session, .. } = self;
        let partition = self.partition();
        match (kind, self.is_alibaba()) {
            (Kind::Root, false) => format!("arn:{partition}:iam::{account}:root"),
            (Kind::Root, true) => format!("acs:ram::{account}:root"),
            (Kind::Federated, false) => format!("arn:{partition}:sts::{account}:federated-user/{name}"),
            (Kind::User, false) => format!("arn:{partition}:iam::{account}:user/{name}"),
            (Kind::User, true) => format!("acs:ram::{account}:user/{name}"),
            (Kind::PermissionSet, false) => {
                format!("arn:{partition}:sts::{account}:assumed-role/AWSReservedSSO_{name}_0123456789abcdef/{session}")
            }
            (Kind::Role, false) => format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}"),
            (_, true) => format!("acs:ram::{account}:assumed-role/{name}/{session}"),
        }
    }

    /// `None`: the one that is made up of everybody has the right form.
    fn principal_id(&self) -> Option<String> {
        match (self.kind, self.is_alibaba()) {
            (Kind::Root, _) => Some(self.account.clone()),
            (Kind::Federated, false) => Some(format!("{}:{}", self.account, self.name)),
            (Kind::User, true) => Some(self.principal_id.clone().unwrap_or_else(|| "200000000000000000".to_owned())),
            (_, true) => Some(self.principal_id.clone().unwrap_or_else(|| "300000000000000000".to_owned())),
            (_, false) => self.principal_id.clone(),
        }
    }

    fn access_key_id(&self) -> Option<String> {
        let usual = || if self.is_session() { "STS.EXAMPLE" } else { "LTAIEXAMPLE" };
        self.access_key_id.clone().or_else(|| self.is_alibaba().then(|| usual().to_owned()))
    }

    /// Those that the provider tells of each of its callers.
    fn attributes(&self) -> BTreeMap<String, String> {
        let kind = match self.kind {
            _ if self.is_session() => "AssumedRoleUser",
            Kind::Root => "Account",
            _ => "RAMUser",
        };
        let attribute = ("alibaba.identity-type".to_owned(), kind.to_owned());
        self.is_alibaba().then_some(attribute).into_iter().collect()
    }

    fn random_principal_id(&self, words: &Words, random: &mut fastrand::Rng) -> String {
        let number = random.u32(..);
        if self.is_alibaba() {
            return format!("{}{number:017}", if self.is_session() { 3 } else { 2 });
        }
        let prefix = if self.is_session() { "AROA" } else { "AIDA" };
        let known = words.shaped(random, |word| is_id(word, prefix));
        known.unwrap_or_else(|| format!("{prefix}EXAMPLE{number:010}"))
    }

    fn random_access_key_id(&self, words: &Words, random: &mut fastrand::Rng) -> String {
        let prefix = match (self.is_alibaba(), self.is_session() || self.kind == Kind::Federated) {
            (true, true) => "STS.",
            (true, false) => "LTAI",
            (false, true) => "ASIA",
            (false, false) => "AKIA",
        };
        let known = words.shaped(random, |word| is_id(word, prefix));
        let number = random.u32(..);
        known.unwrap_or_else(|| format!("{prefix}IO{number:010}EXAM"))
    }

    fn random_region(&self, words: &Words, random: &mut fastrand::Rng) -> String {
        let partition = self.partition();
        let known = words.shaped(random, |word| partition_of(word) == Some(partition));
        let regions = REGIONS.iter().find(|(name, _)| *name == partition).map_or(&[""][..], |(_, regions)| *regions);
        let usual = regions[random.usize(..regions.len())];
        known.filter(|_| random.bool()).unwrap_or_else(|| usual.to_owned())
    }

    /// Who he is, a word and a text for each thing that is not what it is of everybody. What is in them may be of the component's
    /// own examples.
    pub(super) fn told(&self) -> Vec<(&'static str, String)> {
        let mut told = vec![("caller", self.arn())];
        let facts = [
            ("principal", self.principal_id.clone()),
            ("key", self.access_key_id.clone()),
            ("region", self.sts_region.clone().filter(|region| !region.is_empty())),
            ("cluster", self.cluster_id.clone()),
            ("asks at", self.unusual_now()),
        ];
        told.extend(facts.into_iter().filter_map(|(word, fact)| Some((word, fact?))));
        if let Some(current) = &self.current {
            told.extend([("has", in_words(current)), ("by", self.trail.join(", "))]);
        }
        told.into_iter().map(|(word, text)| (word, Plain(&text).to_string())).collect()
    }

    /// When he asks, as cases write it; `None` at the time of every case that sets none.
    fn unusual_now(&self) -> Option<String> {
        let usual = self.now == SystemTime::UNIX_EPOCH + DEFAULT_NOW;
        (!usual).then(|| humantime::format_rfc3339_seconds(self.now).to_string())
    }

    /// What the policy is asked; `None` if no cloud has such a caller.
    pub(super) fn request(&self) -> Option<OwnedRequest> {
        let arn: Arn = self.arn().parse().ok()?;
        // STS tells no path of a session's role.
        if self.is_session() && arn.path() != "/" {
            return None;
        }
        let mut caller = made_up::caller(&arn, self.now);
        if let Some(id) = self.principal_id() {
            caller.principal_id = PrincipalId::new(id);
        }
        caller.access_key_id = self.access_key_id().unwrap_or(caller.access_key_id);
        caller.sts_region = self.sts_region.clone().unwrap_or(caller.sts_region);
        caller.attributes = self.attributes().into_iter().collect();
        let mut request = OwnedRequest::from(caller, self.now);
        request.cluster_id = self.cluster_id.clone().unwrap_or(request.cluster_id);
        Some(OwnedRequest { current: self.current.clone(), trail: self.trail.clone(), ..request })
    }

    /// The keys of a case that asks the same, and their values.
    pub(super) fn asked(&self) -> Vec<(&'static str, Value)> {
        let mut caller = json!({"arn": self.arn()});
        let facts = [
            ("principalId", self.principal_id()),
            ("accessKeyId", self.access_key_id()),
            ("stsRegion", self.sts_region.clone()),
        ];
        for (key, fact) in facts {
            if let Some(fact) = fact {
                caller[key] = json!(fact);
            }
        }
        let attributes = self.attributes();
        if !attributes.is_empty() {
            caller["attributes"] = json!(attributes);
        }
        let mut asked = vec![("caller", caller)];
        asked.extend(self.cluster_id.as_ref().map(|id| ("clusterId", json!(id))));
        asked.extend(self.unusual_now().map(|now| ("now", json!(now))));
        if let Some(Mapping { username, uid, groups, extra }) = &self.current {
            let mut current = json!({"username": username, "groups": groups});
            if let Some(uid) = uid {
                current["uid"] = json!(uid);
            }
            if !extra.is_empty() {
                current["extra"] = json!(extra.iter().cloned().collect::<BTreeMap<_, _>>());
            }
            asked.extend([("current", current), ("trail", json!(self.trail))]);
        }
        asked
    }

    /// The same with one part left out, shortened or made ordinary; smaller ones first.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut smaller = self.clone();
            change(&mut smaller);
            if smaller != *self {
                all.push(smaller);
            }
        };
        add(&|draft| draft.now = SystemTime::UNIX_EPOCH + DEFAULT_NOW);
        add(&|draft| (draft.current, draft.trail) = (None, Vec::new()));
        add(&|draft| draft.cluster_id = None);
        add(&|draft| draft.principal_id = None);
        add(&|draft| draft.access_key_id = None);
        // What is made up of everybody is of this partition, and of no other.
        if self.partition() == AWS {
            add(&|draft| draft.sts_region = None);
        } else if self.is_alibaba() {
            add(&|draft| {
                STRANGERS[0].clone_into(&mut draft.account);
                draft.partition = AWS;
                (draft.principal_id, draft.access_key_id, draft.sts_region) = (None, None, None);
            });
        } else {
            add(&|draft| (draft.partition, draft.sts_region) = (AWS, None));
        }
        add(&|draft| stranger(draft).clone_into(&mut draft.account));
        for kind in [Kind::User, Kind::Role, Kind::PermissionSet].into_iter().filter(|kind| *kind < self.kind) {
            add(&|draft| (draft.kind, draft.principal_id, draft.access_key_id) = (kind, None, None));
        }
        shorter(&self.session).into_iter().for_each(|session| add(&|draft| draft.session.clone_from(&session)));
        shorter(&self.name).into_iter().for_each(|name| add(&|draft| draft.name.clone_from(&name)));
        if let Some(current) = &self.current {
            add(&|draft| draft.trail = vec![mounted_file::NAME.to_owned()]);
            for current in smaller_mappings(current) {
                add(&|draft| draft.current = Some(current.clone()));
            }
        }
        all
    }
}

/// The account of nobody that is in the place of his.
fn stranger(draft: &Draft) -> &'static str {
    if draft.is_alibaba() { STRANGERS[2] } else { STRANGERS[0] }
}

/// A mapping on one line.
pub(super) fn in_words(mapping: &Mapping) -> String {
    let Mapping { username, uid, groups, extra } = mapping;
    let uid = uid.as_ref().map(|uid| format!(", uid {uid:?}")).unwrap_or_default();
    let extra = if extra.is_empty() { String::new() } else { format!(", extra {extra:?}") };
    format!("{username:?}, groups {groups:?}{uid}{extra}")
}

fn mapping(words: &Words, random: &mut fastrand::Rng) -> Mapping {
    let extra: BTreeMap<String, Vec<String>> = (0..random.usize(..3))
        .map(|_| {
            let key = words.name(random).to_lowercase();
            let values = (0..random.usize(..3)).map(|_| words.name(random)).collect();
            (if random.bool() { format!("example.com/{key}") } else { key }, values)
        })
        .collect();
    Mapping {
        username: words.name(random),
        uid: (random.u8(..4) == 0).then(|| words.name(random)),
        groups: (0..random.usize(..4)).map(|_| words.name(random)).collect(),
        extra: extra.into_iter().collect(),
    }
}

/// A stage that named him, and perhaps one that added to that; no augment policy sees what another has added.
fn trail(words: &Words, asked: Option<policy::Kind>, random: &mut fastrand::Rng) -> Vec<String> {
    let own = words.shaped(random, |word| word.starts_with(POLICY)).filter(|_| random.bool());
    let first = own.unwrap_or_else(|| SOURCES[random.usize(..SOURCES.len())].to_owned());
    let has_more = asked != Some(policy::Kind::Augment) && random.u8(..4) == 0;
    [first].into_iter().chain(has_more.then(|| format!("{POLICY}other"))).collect()
}

/// Whether `word` looks like an id or a key that begins like this.
fn is_id(word: &str, prefix: &str) -> bool {
    word.len() >= 16 && word.starts_with(prefix) && word.bytes().skip(4).all(|byte| byte.is_ascii_alphanumeric())
}

/// The partition of AWS that a word is a region of; `None` if it looks like none.
fn partition_of(word: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("eusc-", "aws-eusc"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("us-gov-", "aws-us-gov"),
    ];
    let parts: Vec<&str> = word.split('-').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return None };
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_region = matches!(first.len(), 2..=4)
        && !middle.is_empty()
        && iter::once(first).chain(middle).all(is_word)
        && matches!(last.as_bytes(), [b'1'..=b'9']);
    let known = PREFIXES.iter().find(|(prefix, _)| word.starts_with(prefix));
    is_region.then(|| known.map_or(AWS, |(_, partition)| partition))
}

fn smaller_mappings(mapping: &Mapping) -> Vec<Mapping> {
    let mut all = Vec::new();
    if mapping.uid.is_some() {
        all.push(Mapping { uid: None, ..mapping.clone() });
    }
    for extra in smaller_lists(&mapping.extra, |(key, values)| {
        let keys = shorter(key).into_iter().map(|key| (key, values.clone()));
        let values = smaller_lists(values, |value| shorter(value)).into_iter().map(|values| (key.clone(), values));
        keys.chain(values).collect()
    }) {
        // As a case would have it: no key twice, in order.
        let keys: BTreeMap<String, Vec<String>> = extra.iter().cloned().collect();
        if keys.len() == extra.len() {
            all.push(Mapping { extra: keys.into_iter().collect(), ..mapping.clone() });
        }
    }
    let groups = smaller_lists(&mapping.groups, |group| shorter(group));
    all.extend(groups.into_iter().map(|groups| Mapping { groups, ..mapping.clone() }));
    all.extend(shorter(&mapping.username).into_iter().map(|username| Mapping { username, ..mapping.clone() }));
    all.extend(
        mapping.uid.iter().flat_map(|uid| shorter(uid)).map(|uid| Mapping { uid: Some(uid), ..mapping.clone() }),
    );
    all
}

/// The list without one of its items, or with a smaller one.
fn smaller_lists<T: Clone>(list: &[T], smaller: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut all = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let mut without = list.to_vec();
        without.remove(index);
        all.push(without);
        for smaller in smaller(item) {
            let mut with = list.to_vec();
            with[index] = smaller;
            all.push(with);
        }
    }
    all
}

/// Texts that are shorter, or as short and simpler.
fn shorter(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    if text != SIMPLEST {
        all.push(SIMPLEST.to_owned());
    }
    if text.len() > 1 {
        let half = text.floor_char_boundary(text.len() / 2);
        all.extend([&text[..half], &text[half..]].map(str::to_owned));
        let mut rest = text.chars();
        rest.next();
        all.push(rest.as_str().to_owned());
        let mut rest = text.chars();
        rest.next_back();
        all.push(rest.as_str().to_owned());
    }
    all.retain(|shorter| !shorter.is_empty() && (shorter.len() < text.len() || shorter == SIMPLEST));
    all
}

#[cfg(test)]
mod tests;
