//! A version of the contract that nobody has released, beside the one that is: proof that a later version is a module
//! and a line in a table. What differs between the two is the business of their modules alone.

use wasmtime::{
    Store,
    component::{Component, HasSelf, Instance, Linker},
};

use super::*;
use crate::policy::{
    limits::Guest as Host,
    since_v0_1,
    track::{Call, Known, RELEASED, Track},
};
use bindings::herald::policy::{
    log,
    types::{self, Decision},
};

mod bindings {
    wasmtime::component::bindgen!({
        path: "src/policy/tests/later",
        world: "policy",
        imports: { default: trappable },
        exports: { default: async },
    });
}

const LATER_WIT: &str = include_str!("later/policy.wit");
/// What an engine of that day would speak.
static BOTH: [Known; 2] =
    [Known { version: since_v0_1::VERSION, link: since_v0_1::link }, Known { version: "0.2", link }];

static SPEAKING_BOTH: LazyLock<Engine> = LazyLock::new(|| Engine::speaking(&BOTH).expect("an engine"));

// === the module of that version ===

struct Linked(bindings::PolicyPre<Host>);

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Box<dyn Track>> {
    let mut linker = Linker::new(engine.wasmtime());
    types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    log::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(Box::new(Linked(bindings::PolicyPre::new(linker.instantiate_pre(component)?)?)))
}

impl types::Host for Host {}

impl log::Host for Host {
    fn line(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.push("info", &message);
        Ok(())
    }
}

impl Track for Linked {
    fn start<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        settings: Option<&'a str>,
    ) -> Call<'a, Result<Instance, String>> {
        Box::pin(async move {
            let instance = self.0.instance_pre().instantiate_async(&mut *store).await?;
            let policy = bindings::Policy::new(&mut *store, &instance)?;
            let Some(settings) = settings else { return Ok(Ok(instance)) };
            let taken = policy.herald_policy_mapper().call_configure(store, settings.as_bytes()).await?;
            Ok(taken.map(|()| instance))
        })
    }

    fn decide<'a>(
        &'a self,
        store: &'a mut Store<Host>,
        settings: Option<&'a str>,
        request: &'a Request<'a>,
    ) -> Call<'a, Result<Verdict, Fault>> {
        Box::pin(async move {
            let instance = match self.start(store, settings).await? {
                Ok(instance) => instance,
                Err(why) => return Ok(Err(Fault::Broken(why))),
            };
            let policy = bindings::Policy::new(&mut *store, &instance)?;
            store.data_mut().asked = true;
            let said = policy.herald_policy_mapper().call_decide(store, &asked(request)).await?;
            Ok(said.map(Verdict::from).map_err(Fault::Broken))
        })
    }
}

fn asked(request: &Request<'_>) -> types::Request {
    let Request { caller, cluster_id, now, current, .. } = request;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    types::Request {
        caller: types::Caller {
            arn: caller.canonical_arn.clone(),
            kind: match caller.kind {
                PrincipalKind::Root => types::PrincipalKind::Root,
                PrincipalKind::Role => types::PrincipalKind::Role,
                PrincipalKind::AssumedRole => types::PrincipalKind::Session,
                _ => types::PrincipalKind::Other,
            },
            account: Some(caller.account_id.as_str().to_owned()),
        },
        cluster: (*cluster_id).to_owned(),
        now: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        current: current
            .map(|Mapping { username, groups, .. }| types::Subject { name: username.clone(), groups: groups.clone() }),
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Accept(types::Subject { name, groups }) => {
                Self::Allow(Mapping { username: name, groups, ..Mapping::default() })
            }
            Decision::Pass => Self::Abstain,
            Decision::Refuse(why) => Self::Deny(why),
        }
    }
}

// === a policy of that version ===

/// Accepts the caller under the ARN in the request, in one group called as the settings; `decide` is the body before.
fn later_text(decide: &str) -> String {
    format!(
        r#"(module
            (import "herald:policy/log@0.2.0" "line" (func $line (param i32 i32)))
            (memory (export "memory") 1)
            (global $heap (mut i32) (i32.const 8192))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "herald:policy/mapper@0.2.0#configure") (param $settings i32) (param $length i32) (result i32)
                (i32.store (i32.const 512) (local.get $settings)) (i32.store (i32.const 516) (local.get $length))
                i32.const 0)
            (func (export "herald:policy/mapper@0.2.0#decide")
                (param $arn i32) (param $arn-length i32) (param $kind i32) (param $account? i32) (param $account i32)
                (param $account-length i32) (param $cluster i32) (param $cluster-length i32) (param $now i64)
                (param $current? i32) (param $name i32) (param $name-length i32) (param $groups i32) (param $groups-length i32)
                (result i32)
                {decide}
                (call $line (local.get $cluster) (local.get $cluster-length))
                (i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 1))
                (i32.store (i32.const 24) (local.get $arn)) (i32.store (i32.const 28) (local.get $arn-length))
                (i32.store (i32.const 32) (i32.const 512)) (i32.store (i32.const 36) (i32.const 1))
                i32.const 16))"#
    )
}

fn later(decide: &str) -> Fixture {
    let mut fixture = Fixture::new(&componentise(&later_text(decide), LATER_WIT, "policy"));
    fixture.config.settings = serde_json::json!("team");
    fixture
}

fn load(fixture: &Fixture) -> Result<Policy, LoadError> {
    Policy::load(&SPEAKING_BOTH, &fixture.config, None)
}

#[test]
fn two_versions_of_the_contract_live_side_by_side() {
    let (old, new) = (load(&Fixture::new(&Guest::allowing().component())).unwrap(), load(&later("")).unwrap());
    let decide = |policy: &Policy| run(policy.decide(&request(&caller("Admin"))));
    for _ in 0..3 {
        let alice = Mapping { username: "alice".into(), groups: vec!["dev".into()], ..Mapping::default() };
        assert_eq!(decide(&old).verdict, Ok(Verdict::Allow(alice)));
        let admin = Mapping {
            username: "arn:aws:iam::123456789012:role/Admin".into(),
            groups: vec!["\"team\"".into()],
            ..Mapping::default()
        };
        let said = decide(&new);
        assert_eq!(said.verdict, Ok(Verdict::Allow(admin)));
        assert_eq!(said.log, [LogLine { level: "info", message: "prod".into() }]);
    }
    assert!(new.prepared.settings.is_none(), "settings are taken in once, whatever the version");
}

#[test]
fn what_a_policy_of_today_does_costs_the_same_beside_a_later_version() {
    let fixture = Fixture::new(&Guest::allowing().component());
    let fuel = |engine: &Engine| {
        let policy = Policy::load(engine, &fixture.config, None).unwrap();
        run(policy.decide(&request(&caller("Admin")))).fuel
    };
    assert_eq!(fuel(&SPEAKING_BOTH), fuel(&ENGINE));
}

#[test]
fn bounds_are_those_of_every_version() {
    let fault = |decide: &str| {
        let fixture = later(decide).limited(PATIENT, SMALL, 1_000_000);
        run(load(&fixture).unwrap().decide(&request(&caller("a")))).verdict.unwrap_err().reason()
    };
    assert_eq!(fault(LOOP), "policy_fuel");
    assert_eq!(fault("unreachable"), "policy_trap");
    assert_eq!(fault("(drop (memory.grow (i32.const 1000)))"), "policy_memory");
    assert_eq!(fault("(return (i32.const -4))"), "policy_malformed");
}

#[test]
fn a_version_is_spoken_as_a_whole_or_not_at_all() {
    #[track_caller]
    fn check(engine: &Engine, component: &[u8], reason: &str, words: &str) {
        let error = Policy::load(engine, &Fixture::new(component).config, None).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let of = |version: &str| {
        let renamed = |text: &str| text.replace("0.2.0", version);
        componentise(&renamed(&later_text("")), &renamed(LATER_WIT), "policy")
    };
    assert_eq!(RELEASED.len(), 1, "today");
    check(
        &ENGINE,
        &of("0.2.0"),
        "unknown_version",
        "made for version 0.2.0 of the policy contract; this host speaks 0.1",
    );
    check(&SPEAKING_BOTH, &of("0.3.0"), "unknown_version", "this host speaks 0.1, 0.2");
    assert!(Policy::load(&SPEAKING_BOTH, &Fixture::new(&of("0.2.9")).config, None).is_ok(), "a later patch");
    // The later types under the number of today.
    check(&ENGINE, &of("0.1.0"), "contract_mismatch", "does not fit the policy contract");
}
