//! Worlds: configurations in which anything may stand, with what stands around them, and the callers who are asked about.
//! All of it is made of few names, so that entries, policies and callers meet.

use std::{fs, iter::zip, path::PathBuf, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config as Runs, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    authenticator::Authenticator,
    caller::{Caller, Fact, made_up},
    config::{
        Shared,
        sources::{
            Sources,
            tests::feed::{Feed, Told},
        },
    },
    mapping::{
        NodeName, NodeNames, live,
        node::{Found, NoNode},
    },
    policy::{
        Table, TableSource,
        tests::guest::{Guest, saying, text},
    },
};

/// A configuration, and what stands around it.
#[derive(Clone, Debug)]
pub(in crate::config) struct World {
    /// The keys of `server` that stand for themselves.
    keys: String,
    /// All sources and map policies, in the order in which they are asked.
    order: Vec<String>,
    policies: Vec<Draft>,
    /// What is told of each of [`LIVE`], one after another; nothing: it has not been read.
    told: [Vec<Document>; LIVE.len()],
    /// Whether the table `rota` has been read.
    table: bool,
    /// Whether nodes can be looked up.
    nodes: bool,
}

/// A policy, with what it is made of.
#[derive(Clone, Debug)]
struct Draft {
    kind: &'static str,
    guest: &'static str,
    ceiling: &'static str,
    is_shadow: bool,
    skip: bool,
}

/// What stands at a live source.
#[derive(Clone, Debug)]
pub(in crate::config) enum Document {
    Mappings(Vec<Entry>, Vec<&'static str>),
    Garbled,
    Gone,
    Outage,
}

/// One entry of whatever list.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entry {
    subject: Subject,
    username: &'static str,
    groups: &'static [&'static str],
    ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    Role(&'static str),
    Set,
    User(&'static str),
}

/// What fails in a world.
#[derive(Clone, Debug)]
pub(in crate::config) struct Failures {
    /// Of each of [`LIVE`]: it was never read, or what it is told at last.
    sources: [Option<Failure>; LIVE.len()],
    /// What becomes of each policy.
    policies: [Option<&'static str>; MAX_POLICIES],
    table: bool,
    nodes: bool,
}

#[derive(Clone, Debug)]
enum Failure {
    NeverRead,
    Last(Document),
}

/// A folder with the components of all guests, and of what they are compiled to.
pub(in crate::config) struct Place(TempDir);

/// Who is asked about, and when, in seconds around the end of entries that have one.
pub(in crate::config) type Question = (usize, u64);

/// Callers of both clouds; some are named by no entry.
const CALLERS: [&str; 11] = [
    "arn:aws:iam::123456789012:user/alice",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:sts::123456789012:assumed-role/Admin/alice",
    "arn:aws:sts::123456789012:assumed-role/Admin/bob",
    "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Dev_0123456789abcdef/carol",
    "arn:aws:iam::123456789012:root",
    "arn:aws:sts::123456789013:assumed-role/Admin/eve",
    "arn:aws:sts::123456789013:federated-user/eve",
    "acs:ram::1234567890123456:user/dora",
    "acs:ram::1234567890123456:assumed-role/Admin/dan",
    "acs:ram::1234567890123456:root",
];
const ROLES: [&str; 3] = [
    "arn:aws:iam::123456789012:role/Admin",
    "arn:aws:iam::123456789013:role/Admin",
    "acs:ram::1234567890123456:role/Admin",
];
const USERS: [&str; 4] = [
    "arn:aws:iam::123456789012:user/alice",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::123456789012:root",
    "acs:ram::1234567890123456:user/dora",
];
const ACCOUNTS: [&str; 3] = ["123456789012", "123456789013", "1234567890123456"];
/// `alice` is whom most policies speak of.
const NAMES: [&str; 8] = [
    "alice",
    "alice",
    "alice",
    "{{AccountID}}",
    "s:{{SessionName}}",
    "r:{{SessionNameRaw}}",
    "system:node:{{EC2PrivateDNSName}}",
    "x",
];
const GROUPS: [&[&str]; 6] = [&[], &["dev"], &["dev", "ops"], &["ops"], &["{{SessionName}}"], &["system:masters"]];
/// Sources that are read while Herald runs.
const LIVE: [&str; 5] =
    [live::EKS_CONFIG_MAP, live::ACK_CONFIG_MAP, live::CRD, live::RAM_IDENTITY_MAPPING, live::DYNAMIC_FILE];
const MAX_POLICIES: usize = 4;
/// Policies that say something; two of them more than fits beside each other.
const GUESTS: [&str; 9] =
    ["abstains", "allows", "allows", "crowds", "denies", "echoes", "names", "remembers", "throngs"];
/// Policies that fault, each in its way.
const FAULTS: [&str; 7] = ["asks", "breaks", "burns", "grows", "swells", "traps", "waits"];
/// When entries with an end end.
const END: (&str, u64) = ("1970-01-12T13:46:40Z", 1_000_000);

/// Holds `property` against so many `cases`, or as many as `PROPTEST_CASES` asks for: a case builds several engines, each
/// with up to four policies of machine code, and takes tens of milliseconds and more, so that by default there are few.
#[track_caller]
pub(in crate::config) fn hold<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let (asked, given) = (std::env::var_os("PROPTEST_CASES").is_some(), Runs::default());
    let cases = if asked { given.cases } else { cases };
    let mut runner = TestRunner::new(Runs { cases, failure_persistence: None, ..given });
    if let Err(error) = runner.run(strategy, property) {
        panic!("{error}");
    }
}

/// Worlds whose live sources are told what `told` gives.
pub(in crate::config) fn world(told: impl Strategy<Value = Vec<Document>> + Clone) -> impl Strategy<Value = World> {
    let lists = (entries(), accounts(), vec(select(&ROLES[..]), 0..2), accounts(), any::<bool>(), any::<bool>());
    let keys = lists.prop_map(|(entries, accounts, admins, scrubbed, is_reserved, deny_root)| {
        let reserved = "{backendMode: MountedFile, usernamePrefixReserveList: ['s:']}";
        let [roles, users] = lists_of(&entries);
        format!(
            "  mapRoles: {roles}\n  mapUsers: {users}\n  mapAccounts: {}\n  bootstrapAdmins: {}\n  scrubbedAccounts: {}\n  \
             reservedPrefixConfig: [{}]\n  denyRoot: {deny_root}\n",
            json!(accounts),
            json!(admins),
            json!(scrubbed),
            if is_reserved { reserved } else { "" },
        )
    });
    let told = [told.clone(), told.clone(), told.clone(), told.clone(), told];
    (keys, vec(draft(), 1..=MAX_POLICIES), told).prop_flat_map(|(keys, policies, told)| {
        let map = policies.iter().enumerate().filter(|(_, draft)| draft.kind == "map");
        let names = map.map(|(index, _)| format!("Policy/p{index}"));
        let names: Vec<String> = LIVE.iter().copied().chain(["MountedFile"]).map(str::to_owned).chain(names).collect();
        (Just(keys), Just(names).prop_shuffle(), Just(policies), Just(told))
            .prop_map(|(keys, order, policies, told)| World { keys, order, policies, told, table: true, nodes: true })
    })
}

/// What a live source may be told from its first reading on.
pub(in crate::config) fn history() -> impl Strategy<Value = Vec<Document>> + Clone {
    let document = prop_oneof![
        6 => mappings(),
        2 => Just(Document::Garbled),
        1 => Just(Document::Gone),
        1 => Just(Document::Outage),
    ];
    prop_oneof![1 => Just(Vec::new()), 9 => vec(document, 1..4)]
}

/// What a live source is told that has been read and is well.
pub(in crate::config) fn read() -> impl Strategy<Value = Vec<Document>> + Clone {
    mappings().prop_map(|document| vec![document])
}

pub(in crate::config) fn mappings() -> impl Strategy<Value = Document> + Clone {
    (entries(), accounts()).prop_map(|(entries, accounts)| Document::Mappings(entries, accounts))
}

pub(in crate::config) fn failures() -> impl Strategy<Value = Failures> {
    let last = |document| Just(Some(Failure::Last(document)));
    let never = || Just(Some(Failure::NeverRead));
    // An object that is garbled is another object, and no failure of those who read it.
    let objects = || prop_oneof![4 => Just(None), 1 => never(), 2 => last(Document::Outage)];
    let text = || prop_oneof![4 => Just(None), 1 => never(), 1 => last(Document::Outage), 1 => last(Document::Garbled)];
    let policy = || prop::option::weighted(0.3, select(&FAULTS[..]));
    let sources = [text().boxed(), text().boxed(), objects().boxed(), objects().boxed(), text().boxed()];
    let policies = [policy(), policy(), policy(), policy()];
    let seldom = prop::bool::weighted(0.3);
    (sources, policies, seldom, seldom).prop_map(|(sources, policies, table, nodes)| Failures {
        sources,
        policies,
        table,
        nodes,
    })
}

pub(in crate::config) fn question() -> impl Strategy<Value = Question> {
    (0..CALLERS.len(), 0..2_u64).prop_map(|(who, late)| (who, END.1 - 1 + 2 * late))
}

/// Every caller, before and after entries end.
pub(in crate::config) fn every_question() -> impl Iterator<Item = Question> {
    (0..CALLERS.len()).flat_map(|who| [(who, END.1 - 1), (who, END.1 + 1)])
}

/// What `engine` decides, without what is another one each time.
pub(in crate::config) async fn said(engine: &Authenticator, (who, seconds): Question) -> Value {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let decision = engine.decide_unproven(Arc::new(caller(CALLERS[who], now)), now).await;
    let mut said = serde_json::to_value(&decision).expect("plain data");
    for key in ["decisionId", "micros", "verifyMicros"] {
        said[key].take();
    }
    for key in ["stages", "shadows"] {
        for record in said[key].as_array_mut().into_iter().flatten() {
            record["micros"].take();
            record["node"]["micros"].take();
        }
    }
    if let Some(extra) = said.pointer_mut("/user/extra").and_then(Value::as_object_mut) {
        extra.remove("herald.dev/decision-id");
    }
    said
}

fn caller(arn: &str, now: SystemTime) -> Caller {
    let mut caller = made_up::caller(&arn.parse().expect("an ARN"), now);
    caller.uid = format!("uid:{}", caller.canonical_arn);
    caller.extra = &[("arn", Fact::Arn), ("sessionName", Fact::SessionName)];
    caller
}

fn accounts() -> impl Strategy<Value = Vec<&'static str>> + Clone {
    prop_oneof![2 => Just(Vec::new()), 1 => select(&ACCOUNTS[..]).prop_map(|account| vec![account])]
}

/// Entries, no principal twice at one time.
fn entries() -> impl Strategy<Value = Vec<Entry>> + Clone {
    let subject = prop_oneof![
        3 => select(&ROLES[..]).prop_map(Subject::Role),
        1 => Just(Subject::Set),
        3 => select(&USERS[..]).prop_map(Subject::User),
    ];
    let entry = (subject, select(&NAMES[..]), select(&GROUPS[..]), prop::bool::weighted(0.2));
    let entry = entry.prop_map(|(subject, username, groups, ends)| Entry { subject, username, groups, ends });
    vec(entry, 0..6).prop_map(|all| {
        let mut kept: Vec<Entry> = Vec::new();
        for entry in all {
            if !kept.iter().any(|other| other.subject == entry.subject && (!other.ends || entry.ends)) {
                kept.push(entry);
            }
        }
        kept
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    let kind = select(vec!["map", "augment", "augment", "guard"]);
    let ceiling = select(vec!["{}", "{groups: [dev]}", "{usernames: [alice], groups: [dev, ops, 'system:masters']}"]);
    let guest = prop_oneof![9 => select(&GUESTS[..]), 1 => select(&FAULTS[..])];
    (kind, guest, ceiling, prop::bool::weighted(0.25), any::<bool>())
        .prop_map(|(kind, guest, ceiling, is_shadow, skip)| Draft { kind, guest, ceiling, is_shadow, skip })
}

/// The entries for roles and those for users, as they stand in a list.
fn lists_of(entries: &[Entry]) -> [Value; 2] {
    let (users, roles): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| matches!(entry.subject, Subject::User(_)));
    [roles, users].map(|list| list.into_iter().map(Entry::of_list).collect())
}

// === impl World ===

impl World {
    /// The configuration's text.
    pub(in crate::config) fn text(&self, place: &Place) -> String {
        // A folder is no file: whoever follows it never reads anything, and what is told alone counts.
        let (folder, order) = (place.0.path().display(), self.order.join(", "));
        let policies = (0..self.policies.len()).map(|index| self.policy(index, place)).collect::<String>();
        format!(
            "clusterID: c\nserver:\n  providers: [aws, alibaba]\n  kubeconfig: {folder}/none\n  dynamicFilePath: {folder}\n  \
             policyEngine: {{queueTimeout: 10m}}\n  backendMode: [{order}]\n{}  policies:{policies}\n",
            self.keys
        )
    }

    fn policy(&self, index: usize, place: &Place) -> String {
        let Draft { kind, guest, ceiling, is_shadow, .. } = &self.policies[index];
        format!(
            "\n  - {{name: p{index}, kind: {kind}, mode: {}, onFault: {}, component: {}, ceiling: {ceiling}, tables: {{rota: \
             {{configMap: rota}}}}, limits: {{timeout: 5s, fuel: 1000000}}}}",
            if *is_shadow { "shadow" } else { "enforce" },
            if self.skips(index) { "skip" } else { "refuse" },
            place.component(guest).display(),
        )
    }

    /// Whether the faults of this policy are skipped.
    fn skips(&self, index: usize) -> bool {
        let guarded = self.policies.iter().any(|draft| draft.kind == "guard" && !draft.is_shadow);
        let Draft { kind, skip, .. } = self.policies[index];
        kind == "augment" && skip && !guarded
    }

    /// The pipeline of this world, with nobody else in it.
    pub(in crate::config) fn engine(&self, place: &Place) -> Authenticator {
        self.raise(place).0
    }

    /// The pipeline, and who writes that of [`LIVE`].
    pub(in crate::config) fn written(
        &self,
        place: &Place,
        source: usize,
    ) -> (Authenticator, impl FnMut(&Document) + use<>) {
        let (engine, feeds) = self.raise(place);
        let mut feed = feeds.into_iter().nth(source).expect("one of them");
        (engine, move |document| feed.tell(&document.of(LIVE[source])))
    }

    fn raise(&self, place: &Place) -> (Authenticator, [Feed; LIVE.len()]) {
        let text = self.text(place);
        let config = Config::parse(Path::new("/config.yaml"), &text).expect(&text).config;
        let compiled = Some(place.compiled());
        let shared = Shared::new(&config, Arc::default(), compiled, || SystemTime::UNIX_EPOCH).expect("made");
        let feeds = self.tell(shared.sources());
        let mut engine = config.build(&shared).expect("built");
        engine.chain.nodes = Some(Arc::new(Nodes(self.nodes)));
        (engine, feeds)
    }

    /// Tells `sources` what stands there; gives those who do.
    pub(in crate::config) fn tell(&self, sources: &Sources) -> [Feed; LIVE.len()] {
        let rota = TableSource::ConfigMap { namespace: "kube-system".to_owned(), name: "rota".to_owned(), key: None };
        if self.table {
            sources.table(&rota).replace(Table::from_json(&json!({ "k": "alice" })).expect("an object"));
        }
        let mut feeds = LIVE.map(|name| Feed::of(sources, name));
        for ((feed, name), told) in zip(zip(&mut feeds, LIVE), &self.told) {
            told.iter().for_each(|document| feed.tell(&document.of(name)));
        }
        feeds
    }

    /// The same with `failures`.
    pub(in crate::config) fn failing(&self, failures: &Failures) -> Self {
        let mut world = self.clone();
        for (told, failure) in zip(&mut world.told, &failures.sources) {
            match failure {
                None => {}
                Some(Failure::NeverRead) => told.clear(),
                Some(Failure::Last(document)) => told.push(document.clone()),
            }
        }
        for (draft, fault) in zip(&mut world.policies, &failures.policies) {
            draft.guest = fault.unwrap_or(draft.guest);
        }
        (world.table, world.nodes) = (!failures.table, !failures.nodes);
        world
    }

    /// The same with those policies in shadow mode whose faults under `failures` are skipped.
    pub(in crate::config) fn without_skipped(&self, failures: &Failures) -> Self {
        let mut world = self.clone();
        for (index, draft) in world.policies.iter_mut().enumerate() {
            draft.is_shadow |= self.skips(index) && self.fails(index, failures);
        }
        world
    }

    /// Whether one of the policies that judge what others have mapped fails.
    pub(in crate::config) fn judge_fails(&self, failures: &Failures) -> bool {
        let judges = |draft: &Draft| draft.kind != "map" && !draft.is_shadow;
        let mut policies = self.policies.iter().enumerate();
        policies.any(|(index, draft)| judges(draft) && self.fails(index, failures))
    }

    fn fails(&self, index: usize, failures: &Failures) -> bool {
        failures.policies[index].is_some() || (failures.table && self.policies[index].guest == "names")
    }
}

// === impl Failures ===

impl Failures {
    /// Whether nothing fails but sources that were read before.
    pub(in crate::config) fn come_late(&self) -> bool {
        let none = self.policies.iter().all(Option::is_none) && !self.table && !self.nodes;
        none && !self.sources.iter().any(|failure| matches!(failure, Some(Failure::NeverRead)))
    }
}

// === impl Document ===

impl Document {
    /// What a source called `name` is told of it.
    pub(in crate::config) fn of(&self, name: &str) -> Told {
        let is_file = name == live::DYNAMIC_FILE;
        let are_objects = [live::CRD, live::RAM_IDENTITY_MAPPING].contains(&name);
        match self {
            Self::Gone => Told::Gone,
            Self::Outage => Told::Outage,
            Self::Garbled if are_objects => Told::Is(json!([{ "arn": 7 }, "{", { "username": "eve" }])),
            Self::Garbled if is_file => Told::Is("{\"mapRoles\": [".into()),
            Self::Garbled => Told::Is(json!({ "mapRoles": "- {a: b", "mapUsers": "text", "mapAccounts": "- [" })),
            Self::Mappings(entries, _) if are_objects => {
                Told::Is(entries.iter().filter_map(Entry::of_object).collect())
            }
            Self::Mappings(entries, accounts) => {
                let [roles, users] = lists_of(entries);
                Told::Is(if is_file {
                    json!({ "mapRoles": roles, "mapUsers": users, "mapAccounts": accounts }).to_string().into()
                } else {
                    let accounts = json!(accounts);
                    let texts = [roles, users, accounts].map(|list| list.to_string());
                    json!({ "mapRoles": texts[0], "mapUsers": texts[1], "mapAccounts": texts[2] })
                })
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    /// As it stands in `mapRoles` or `mapUsers`.
    fn of_list(&self) -> Value {
        self.with(match self.subject {
            Subject::Role(arn) => ("rolearn", json!(arn)),
            Subject::Set => ("sso", json!({ "permissionSetName": "Dev", "accountID": "123456789012" })),
            Subject::User(arn) => ("userarn", json!(arn)),
        })
    }

    /// As the `spec` of an object, which has no place for permission sets.
    fn of_object(&self) -> Option<Value> {
        match self.subject {
            Subject::Role(arn) | Subject::User(arn) => Some(self.with(("arn", json!(arn)))),
            Subject::Set => None,
        }
    }

    fn with(&self, (key, subject): (&str, Value)) -> Value {
        let mut entry = json!({ key: subject, "username": self.username, "groups": self.groups });
        if self.ends {
            entry["notAfter"] = END.0.into();
        }
        entry
    }
}

// === impl Place ===

impl Place {
    pub(in crate::config) fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        for name in GUESTS.iter().chain(&FAULTS) {
            fs::write(place.component(name), guest(name).component()).expect("written");
        }
        place
    }

    /// The component of one guest.
    fn component(&self, name: &str) -> PathBuf {
        self.0.path().join(name).with_extension("wasm")
    }

    /// Where machine code is kept.
    pub(in crate::config) fn compiled(&self) -> PathBuf {
        self.0.path().join("compiled")
    }
}

fn guest(name: &str) -> Guest {
    match name {
        "abstains" => Guest::default(),
        "allows" => Guest::allowing(),
        "asks" => Guest::asking_without_end(),
        "breaks" => Guest::deciding(saying(1, 1, 4)).with(text("oops")),
        "burns" => Guest::deciding("(loop $l (br $l)) unreachable"),
        "crowds" => crowding('c'),
        "denies" => Guest::deciding(saying(0, 2, 2)).with(text("no")),
        "echoes" => Guest::echoing_after(1000),
        "grows" => Guest::deciding("(drop (memory.grow (i32.const 1000))) unreachable"),
        "names" => Guest::naming(),
        "remembers" => remembering(),
        "swells" => Guest { pages: 20, ..Guest::deciding(saying(0, 2, 1 << 20)) },
        "throngs" => crowding('t'),
        "traps" => Guest::deciding("unreachable"),
        "waits" => Guest::deciding(saying(1, 0, 4)).with(text("late")),
        other => panic!("no guest {other}"),
    }
}

/// Allows, in what a mapping may have before it and 150 groups of its own.
fn crowding(name: char) -> Guest {
    let before = ["dev", "ops"].map(str::to_owned).into_iter();
    Guest::allowing_in(&before.chain((0..150).map(|number| format!("{name}{number}"))).collect::<Vec<_>>())
}

/// Allows, but for an instance that has decided before.
fn remembering() -> Guest {
    let once = "(if (i32.load (i32.const 512)) (then unreachable)) (i32.store (i32.const 512) (i32.const 1))";
    let allowing = Guest::allowing();
    Guest { decide: format!("{once} {}", allowing.decide), ..allowing }
}

/// Knows one node, if it can look at all.
struct Nodes(bool);

impl NodeNames for Nodes {
    fn find<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Found> {
        let none = NoNode { reason: "ec2_unavailable", message: "nobody answers".to_owned(), is_retryable: true };
        let name = self.0.then(|| NodeName::parse("ip-10-0-0-1.ec2.internal").expect("a name")).ok_or(none);
        std::future::ready(Found { name, source: "test" }).boxed()
    }
}
