//! The chain as a table: stages and what they say, and who gets in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::SystemTime,
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    caller::Caller,
    mapping::{
        Live, Mappings, MountedFile, NodeName, PolicyStage, Rules, node::Found, rule::Subject, shadow::Login,
        template::Template,
    },
    policy::{
        LiveTable, Table,
        tests::{self, Fixture, guest::Guest},
    },
};

mod properties;

static CALLER: LazyLock<Arc<Caller>> = LazyLock::new(|| {
    let caller = Caller::clone(&tests::caller("Admin"));
    Arc::new(Caller { extra: &[("arn", crate::caller::Fact::Arn)], attributes: vec![], ..caller })
});

/// A stage that always says the same, or adds to what it is shown.
struct Fake(&'static str, fn(Option<&Mapping>) -> Result<Verdict, StageError>);

impl Stage for Fake {
    fn name(&self) -> &str {
        self.0
    }

    fn decide<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::plain((self.1)(request.current)) })
    }
}

fn named(username: &str, groups: &[&str]) -> Mapping {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Mapping { username: username.to_owned(), groups, ..Mapping::default() }
}

const NO: Fake = Fake("no", |_| Ok(Verdict::Abstain));
const ALICE: Fake = Fake("alice", |_| Ok(Verdict::Allow(named("alice", &["dev", "ops"]))));
const BOB: Fake = Fake("bob", |_| Ok(Verdict::Allow(named("bob", &[]))));
const MASTER: Fake = Fake("master", |_| Ok(Verdict::Allow(named("root", &["system:masters"]))));
const DENY: Fake = Fake("deny", |_| Ok(Verdict::Deny("not today".into())));
const BROKEN: Fake = Fake("broken", |_| Err(Fault::Timeout.into()));
const LATER: Fake = Fake("later", |_| Err(StageError::NotReady));
const EMPTY: Fake = Fake("empty", |_| Ok(Verdict::Allow(named("", &["dev"]))));
const ADD_X: Fake = Fake("add-x", |current| changed(current, |m| m.groups.push("x".into())));
const ADD_Y: Fake = Fake("add-y", |current| changed(current, |m| m.groups.push("y".into())));
const ADD_MASTERS: Fake = Fake("add-masters", |current| changed(current, |m| m.groups.push("system:masters".into())));
const ADD_100: Fake = Fake("add-100", |current| changed(current, |m| crowd(m, 'x', 100)));
const ADD_127: Fake = Fake("add-127", |current| changed(current, |m| crowd(m, 'x', 127)));
const ADD_128: Fake = Fake("add-128", |current| changed(current, |m| crowd(m, 'y', 128)));
const ADD_254: Fake = Fake("add-254", |current| changed(current, |m| crowd(m, 'z', 254)));
const ADD_255: Fake = Fake("add-255", |current| changed(current, |m| crowd(m, 'z', 255)));
const ADD_NOTHING: Fake = Fake("add-nothing", |current| changed(current, |m| m.groups.push(String::new())));
const SAME: Fake = Fake("same", |current| changed(current, |_| ()));
const TURNED: Fake = Fake("turned", |current| changed(current, |m| m.groups.reverse()));
const DROP_OPS: Fake = Fake("drop-ops", |current| changed(current, |m| m.groups.retain(|group| group != "ops")));
const RENAME: Fake = Fake("rename", |current| changed(current, |m| m.username = "eve".into()));
const REID: Fake = Fake("reid", |current| changed(current, |m| m.uid = Some("0".into())));
const ADD_EXTRA: Fake = Fake("add-extra", |current| changed(current, |m| m.extra.push(("k".into(), vec!["v".into()]))));

#[allow(clippy::unnecessary_wraps, reason = "the shape every fake has")]
fn changed(current: Option<&Mapping>, change: fn(&mut Mapping)) -> Result<Verdict, StageError> {
    let mut mapping = current.cloned().expect("a refining stage sees a mapping");
    change(&mut mapping);
    Ok(Verdict::Allow(mapping))
}

fn crowd(mapping: &mut Mapping, name: char, count: usize) {
    mapping.groups.extend((0..count).map(|number| format!("{name}{number}")));
}

fn links(stages: Vec<Fake>, policy: bool) -> Vec<Link> {
    let link = |stage| Link { stage: Box::new(stage), ceiling: policy.then(Ceiling::default), skip_on_fault: false };
    stages.into_iter().map(link).collect()
}

fn decide(chain: &Chain) -> Trace {
    let request = Request::new(&CALLER, "c", SystemTime::UNIX_EPOCH);
    futures_util::FutureExt::now_or_never(chain.decide(request)).expect("fakes answer at once")
}

fn words(trace: &Trace) -> String {
    match &trace.outcome {
        Ok(mapping) => format!("{} [{}] by {}", mapping.username, mapping.groups.join(" "), trace.trail.join(" ")),
        Err(refusal) => refusal.reason().to_owned(),
    }
}

#[track_caller]
fn check(map: Vec<Fake>, augment: Vec<Fake>, guards: Vec<Fake>, expected: &str) {
    let chain = Chain {
        map: links(map, false),
        augment: links(augment, true),
        guards: links(guards, true),
        ..Chain::default()
    };
    assert_eq!(words(&decide(&chain)), expected);
}

#[test]
fn the_first_map_stage_that_answers_wins() {
    check(vec![], vec![], vec![], "not_mapped");
    check(vec![NO, NO], vec![], vec![], "not_mapped");
    check(vec![NO, ALICE, BOB], vec![], vec![], "alice [dev ops] by alice");
    check(vec![ALICE, BROKEN], vec![], vec![], "alice [dev ops] by alice");
    check(vec![BROKEN, ALICE], vec![], vec![], "policy_timeout");
    check(vec![LATER, ALICE], vec![], vec![], "source_not_ready");
    check(vec![DENY, ALICE], vec![], vec![], "policy_denied");
    check(vec![EMPTY], vec![], vec![], "guard_empty_username");
}

/// What it refuses may be of any of them, and whoever looks for it in one alone may not find it there.
#[test]
fn the_guard_names_all_who_gave_what_it_refuses() {
    #[track_caller]
    fn check(map: Vec<Fake>, augment: Vec<Fake>, skipped: Vec<Fake>, expected: &str) {
        let skipped = links(skipped, true).into_iter().map(|link| Link { skip_on_fault: true, ..link });
        let augment = links(augment, true).into_iter().chain(skipped).collect();
        let chain = Chain { map: links(map, false), augment, ..Chain::default() };
        assert_eq!(decide(&chain).outcome.unwrap_err().to_string(), format!("refused by the guard after {expected}"));
    }
    check(vec![NO, EMPTY], vec![NO], vec![], "empty: the username is empty");
    check(vec![NO, ALICE], vec![ADD_X, NO, ADD_NOTHING], vec![], "alice, add-x, add-nothing: a group is empty");
    check(vec![ALICE], vec![ADD_NOTHING], vec![ADD_X], "alice, add-nothing, add-x: a group is empty");
}

#[test]
fn augment_policies_unite_what_they_add() {
    check(vec![ALICE], vec![ADD_X, NO, ADD_Y], vec![], "alice [dev ops x y] by alice add-x add-y");
    check(vec![ALICE], vec![ADD_X, ADD_X], vec![], "alice [dev ops x] by alice add-x add-x");
    check(vec![ALICE], vec![DROP_OPS], vec![], "policy_out_of_bounds");
    check(vec![ALICE], vec![RENAME], vec![], "policy_out_of_bounds");
    check(vec![ALICE], vec![REID], vec![], "policy_out_of_bounds");
    check(vec![ALICE], vec![ADD_MASTERS], vec![], "policy_out_of_bounds");
    check(vec![ALICE], vec![BROKEN], vec![], "policy_timeout");
    check(vec![NO], vec![ADD_X], vec![], "not_mapped");
}

#[test]
fn guard_policies_only_take_away() {
    check(vec![ALICE], vec![], vec![DROP_OPS], "alice [dev] by alice drop-ops");
    check(vec![ALICE], vec![ADD_X], vec![NO, DROP_OPS], "alice [dev x] by alice add-x drop-ops");
    check(vec![ALICE], vec![], vec![ADD_X], "policy_out_of_bounds");
    check(vec![ALICE], vec![], vec![ADD_EXTRA], "policy_out_of_bounds");
    check(vec![ALICE], vec![], vec![RENAME], "policy_out_of_bounds");
    check(vec![ALICE], vec![], vec![DENY], "policy_denied");
    check(vec![ALICE], vec![], vec![BROKEN], "policy_timeout");
}

#[test]
fn a_policy_cannot_give_system_names_without_a_ceiling_that_spells_them() {
    #[track_caller]
    fn check(groups: Option<&[&str]>, expected: &str) {
        let mut map = links(vec![MASTER], true);
        let groups = groups.map(|list| list.iter().map(|&text| text.to_owned()).collect());
        map[0].ceiling = Some(Ceiling { groups, ..Ceiling::default() });
        assert_eq!(words(&decide(&Chain { map, ..Chain::default() })), expected);
    }
    check(None, "policy_out_of_bounds");
    check(Some(&["*"]), "policy_out_of_bounds");
    check(Some(&["system:*"]), "policy_out_of_bounds");
    check(Some(&["system:masters"]), "root [system:masters] by master");
}

#[test]
fn skipping_an_augment_policy_only_loses_what_it_would_add() {
    let mut augment = links(vec![BROKEN, DROP_OPS, ADD_X], true);
    augment.iter_mut().for_each(|link| link.skip_on_fault = true);
    let chain = Chain { map: links(vec![ALICE], false), augment, ..Chain::default() };
    assert_eq!(words(&decide(&chain)), "alice [dev ops x] by alice add-x");
}

/// The number of groups, and who gave them.
#[track_caller]
fn check_sharing(augment: Vec<(Fake, bool)>, expected: Result<(usize, &str), &str>) {
    let link = |(stage, skip_on_fault)| Link { skip_on_fault, ..links(vec![stage], true).remove(0) };
    let augment = augment.into_iter().map(link).collect();
    let trace = decide(&Chain { map: links(vec![ALICE], false), augment, ..Chain::default() });
    let (trail, expected) = (trace.trail.join(" "), expected.map(|(count, trail)| (count, trail.to_owned())));
    let found = trace.outcome.map(|mapping| (mapping.groups.len(), trail));
    assert_eq!(found.as_ref().map_err(Refusal::reason), expected.as_ref().map_err(|reason| *reason));
}

#[test]
fn a_policy_that_is_skipped_has_a_share_that_others_cannot_take() {
    const SKIP: bool = true;
    const REFUSE: bool = false;
    let check = check_sharing;
    check(vec![(ADD_254, SKIP)], Ok((256, "alice add-254")));
    check(vec![(ADD_255, SKIP)], Ok((2, "alice")));
    check(vec![(ADD_254, REFUSE)], Ok((256, "alice add-254")));
    check(vec![(ADD_255, REFUSE)], Err("guard_too_many"));
    // Two share what is left beside alice's own groups, and neither gets more where the other fails.
    check(vec![(ADD_127, SKIP), (ADD_128, SKIP)], Ok((129, "alice add-127")));
    check(vec![(BROKEN, SKIP), (ADD_128, SKIP)], Ok((2, "alice")));
    check(vec![(NO, SKIP), (ADD_128, SKIP)], Ok((2, "alice")));
    check(vec![(ADD_127, SKIP), (BROKEN, SKIP)], Ok((129, "alice add-127")));
    // Those whose faults refuse come first, wherever they stand.
    check(vec![(ADD_128, SKIP), (ADD_127, REFUSE)], Ok((129, "alice add-127")));
    check(vec![(ADD_128, REFUSE), (ADD_100, SKIP)], Ok((230, "alice add-128 add-100")));
    check(vec![(ADD_127, REFUSE), (ADD_128, REFUSE)], Err("guard_too_many"));
    check(vec![(ADD_255, SKIP), (DENY, SKIP)], Err("policy_denied"));
    check(vec![(ADD_NOTHING, SKIP), (ADD_X, SKIP)], Ok((3, "alice add-x")));
    check(vec![(ADD_NOTHING, REFUSE), (ADD_X, SKIP)], Err("guard_empty_group"));
}

#[test]
fn what_a_skipped_policy_may_not_add_is_on_record() {
    let mut augment = links(vec![ADD_128, ADD_X], true);
    augment.iter_mut().for_each(|link| link.skip_on_fault = true);
    let trace = decide(&Chain { map: links(vec![ALICE], false), augment, ..Chain::default() });
    let verdicts: Vec<_> = trace.stages.iter().map(|record| record.verdict).collect();
    assert_eq!(verdicts, ["allow", "policy_out_of_bounds", "allow"]);
}

#[test]
fn keys_that_differ_in_case_alone_are_one() {
    let extra = |key: &str, value: &str| (key.to_owned(), vec![value.to_owned()]);
    let mut united = Mapping { extra: vec![extra("team", "a")], ..named("alice", &[]) };
    unite(&mut united, Mapping { extra: vec![extra("Team", "b"), extra("k", "v")], ..named("alice", &[]) });
    assert_eq!(united.extra, [("team".to_owned(), vec!["a".to_owned(), "b".to_owned()]), extra("k", "v")]);
}

#[test]
fn the_trail_has_those_who_changed_something() {
    check(vec![ALICE], vec![SAME, ADD_X, TURNED], vec![], "alice [dev ops x] by alice add-x");
    check(vec![ALICE], vec![], vec![SAME, DROP_OPS, SAME], "alice [dev] by alice drop-ops");
    check(vec![ALICE], vec![], vec![TURNED], "alice [ops dev] by alice turned");
}

#[test]
fn account_rules_come_after_every_explicit_mapping() {
    let accounts = BTreeSet::from(["123456789012".parse().expect("12 digits")]);
    let listing = MountedFile::new(Arc::default(), accounts);
    let with = |later| {
        let mut chain = Chain { map: links(later, false), ..Chain::default() };
        let stage: Box<dyn Stage> = Box::new(listing.clone());
        chain.map.insert(0, Link { stage, ceiling: None, skip_on_fault: false });
        chain
    };
    assert_eq!(words(&decide(&with(vec![NO]))), "arn:aws:iam::123456789012:role/Admin [] by mapAccounts");
    assert_eq!(words(&decide(&with(vec![NO, BOB]))), "bob [] by bob");
    assert_eq!(words(&decide(&with(vec![DENY]))), "policy_denied");
    assert_eq!(words(&decide(&with(vec![LATER]))), "source_not_ready");
}

/// Knows nobody, and while it is asked, somebody writes what others look at.
struct Rewrites(Box<dyn Fn() + Send + Sync>);

impl Stage for Rewrites {
    fn name(&self) -> &str {
        "rewrites"
    }

    fn decide<'a>(&'a self, _: &'a Request<'a>) -> BoxFuture<'a, Answer> {
        (self.0)();
        Box::pin(async { Answer::plain(Ok(Verdict::Abstain)) })
    }
}

#[test]
fn a_source_that_changes_meanwhile_is_looked_at_once() {
    #[track_caller]
    fn check(before: &[&str], after: &[&str], expected: &str) {
        let listing = |ids: &[&str]| {
            let accounts = ids.iter().map(|id| id.parse().expect("12 digits")).collect();
            Arc::new(Mappings { accounts, ..Mappings::default() })
        };
        let live = Live::new("live");
        live.replace(listing(before));
        let (written, after) = (live.clone(), listing(after));
        let rewrites = Rewrites(Box::new(move || drop(written.replace(Arc::clone(&after)))));
        let stages: [Box<dyn Stage>; 2] = [Box::new(live), Box::new(rewrites)];
        let map = stages.map(|stage| Link { stage, ceiling: None, skip_on_fault: false }).into();
        assert_eq!(words(&decide(&Chain { map, ..Chain::default() })), expected);
    }
    check(&["123456789012"], &[], "arn:aws:iam::123456789012:role/Admin [] by mapAccounts");
    check(&[], &["123456789012"], "not_mapped");
}

/// The policy names whoever its table says: it would be out of bounds for its second place, or other in its shadow, if it saw
/// a table that was written meanwhile.
#[tokio::test]
async fn a_table_that_changes_meanwhile_is_of_one_version_for_the_whole_login() {
    let table = |name: &str| Table::from_json(&serde_json::json!({ "k": name })).expect("an object");
    let live = LiveTable::default();
    live.replace(table("bob"));
    let policy = Fixture::new(&Guest::naming().component()).load_following(&live).expect("it loads");
    let policy = Arc::new(policy);
    let link = |stage: Box<dyn Stage>| Link { stage, ceiling: Some(Ceiling::default()), skip_on_fault: false };
    let asked = || link(Box::new(PolicyStage::new(Arc::clone(&policy))));
    let writes = |name: &'static str| {
        let live = live.clone();
        link(Box::new(Rewrites(Box::new(move || live.replace(table(name))))))
    };
    let shadow = Shadow::new(Arc::clone(&policy), Ceiling::default(), Place::Map(1), false);
    let chain = Chain {
        map: vec![writes("eve"), asked()],
        augment: vec![writes("mallory")],
        guards: vec![asked()],
        shadows: vec![Arc::new(shadow)],
        ..Chain::default()
    };
    let (cluster_id, now) = ("c", SystemTime::UNIX_EPOCH);
    let request = Request::new(&CALLER, cluster_id, now);
    let trace = chain.decide(request).await;
    assert_eq!(words(&trace), "bob [] by Policy/test");
    let login = Login { caller: &CALLER, cluster_id, now };
    let record = trace.questions[0].ask(login, &Guard::default()).await;
    assert!(record.same && record.verdict == "allow", "{record:?}");
    assert_eq!(words(&chain.decide(request).await), "mallory [] by Policy/test", "the next login");
}

#[test]
fn reserved_prefixes_belong_to_the_source_that_decided() {
    let reserve = |source: &str| Guard::new(BTreeMap::from([(source.to_owned(), vec!["ali".to_owned()])]));
    let with = |guard| Chain { map: links(vec![ALICE], false), guard, ..Chain::default() };
    assert_eq!(words(&decide(&with(reserve("alice")))), "guard_reserved_prefix");
    assert_eq!(words(&decide(&with(reserve("bob")))), "alice [dev ops] by alice");
}

#[test]
fn every_stage_that_was_asked_is_on_record() {
    let chain = Chain { map: links(vec![NO, ALICE], false), guards: links(vec![ADD_X], true), ..Chain::default() };
    let verdicts: Vec<_> = decide(&chain).stages.iter().map(|record| (record.stage.clone(), record.verdict)).collect();
    let expected = [("no", "abstain"), ("alice", "allow"), ("add-x", "policy_out_of_bounds")];
    assert_eq!(verdicts, expected.map(|(stage, verdict)| (stage.to_owned(), verdict)));
}

/// Knows one name, or says why not.
struct Knows(Result<&'static str, &'static str>);

impl NodeNames for Knows {
    fn find<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Found> {
        let none = |reason| NoNode { reason, message: "no".into(), is_retryable: reason == "later" };
        let name = self.0.map_err(none).map(|text| NodeName::parse(text).expect("a name"));
        Box::pin(async { Found { name, source: "test" } })
    }
}

#[tokio::test]
async fn the_name_of_a_node_is_looked_up_for_the_entry_that_asks_for_it() {
    async fn check(nodes: Option<Knows>, arn: &str, expected: Result<&str, (&str, bool)>, asked: bool) {
        let mut rules = Rules::default();
        for (arn, username) in [
            ("arn:aws:iam::123456789012:role/Node", "system:node:{{EC2PrivateDNSName}}"),
            ("arn:aws:iam::123456789012:role/Admin", "admin"),
        ] {
            let template = Template::parse(username).expect("a template");
            let subject = Subject::Arn(arn.parse().expect("an ARN"));
            rules.insert(subject, Rule::new(template, Arc::from([]), 1)).expect("written once");
        }
        let stage = MountedFile::new(Arc::new(rules), BTreeSet::new());
        let caller = Arc::new(Caller { canonical_arn: arn.to_owned(), ..Caller::clone(&CALLER) });
        let nodes = nodes.map(|nodes| Arc::new(nodes) as Arc<dyn NodeNames>);
        let chain = Chain {
            map: vec![Link { stage: Box::new(stage), ceiling: None, skip_on_fault: false }],
            nodes,
            ..Chain::default()
        };
        let now = SystemTime::UNIX_EPOCH;
        let trace = chain.decide(Request::new(&caller, "c", now)).await;
        let found = trace.outcome.as_ref().map(|mapping| mapping.username.as_str());
        assert_eq!(found.map_err(|refusal| (refusal.reason(), refusal.is_retryable())), expected);
        assert_eq!(trace.stages[0].node.is_some(), asked);
    }
    let (node, admin) = ("arn:aws:iam::123456789012:role/Node", "arn:aws:iam::123456789012:role/Admin");
    check(Some(Knows(Ok("a.internal"))), node, Ok("system:node:a.internal"), true).await;
    check(Some(Knows(Err("never"))), node, Err(("never", false)), true).await;
    check(Some(Knows(Err("later"))), node, Err(("later", true)), true).await;
    check(None, node, Err(("node_not_looked_up", false)), false).await;
    check(Some(Knows(Err("never"))), admin, Ok("admin"), false).await;
}
