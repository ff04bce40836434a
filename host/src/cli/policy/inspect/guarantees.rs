//! What cannot happen, whatever is in a component: each in words for people, under an identifier that stays.

use std::time::Duration;

use serde::Serialize;

use crate::{
    mapping::guard::MAX_EXTRA,
    policy::{Ceiling, Config, InvalidLimit, Kind, Limits, Mode, OnFault, cloud::Fact},
};

/// One thing that holds.
#[derive(Debug, Serialize)]
pub(super) struct Guarantee {
    /// Stable, in kebab case.
    pub(super) id: &'static str,
    pub(super) text: String,
    /// Of a ceiling: the only names that can be granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    patterns: Option<Vec<String>>,
}

/// The most that one decision takes.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bounds {
    source: Source,
    /// Of a processor's time.
    milliseconds: u64,
    /// In all, however little of a processor it gets; the wait for a free instance is not in it.
    longest_milliseconds: u64,
    /// About one unit an instruction.
    fuel: u64,
    /// Of memory.
    bytes: u64,
}

/// Whose bounds they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    /// An entry's of `server.policies`, by what it says or by default.
    Configured,
    /// The host's: no entry can say more.
    HardMaximum,
}

// === impl Bounds ===

impl Bounds {
    /// Those of every policy.
    pub(super) fn hard() -> Result<Self, InvalidLimit> {
        let most = Limits::new(Limits::MAX_TIMEOUT, Limits::MAX_MEMORY, Limits::MAX_FUEL)?;
        Ok(Self::of(&most, Source::HardMaximum))
    }

    /// Those of an entry.
    pub(super) fn configured(limits: &Limits) -> Self {
        Self::of(limits, Source::Configured)
    }

    fn of(limits: &Limits, source: Source) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            source,
            milliseconds: milliseconds(limits.timeout()),
            longest_milliseconds: milliseconds(limits.longest()),
            fuel: limits.fuel(),
            bytes: limits.memory().bytes(),
        }
    }

    fn guarantee(&self, is_shadow: bool) -> Guarantee {
        let Self { source, milliseconds, longest_milliseconds, fuel, bytes } = *self;
        let time = |milliseconds| humantime::format_duration(Duration::from_millis(milliseconds));
        let says_who = if source == Source::HardMaximum { ", whatever is configured" } else { "" };
        let wait = if is_shadow { "which no login waits for" } else { "and the wait for a free instance" };
        Guarantee::new(
            "bounded",
            format!(
                "at worst {} of a processor's time, {fuel} fuel and {} MiB of memory for a login{says_who}; \
                 on a busy machine it takes up to {}, {wait}",
                time(milliseconds),
                bytes.div_ceil(1 << 20),
                time(longest_milliseconds),
            ),
        )
    }
}

// === impl Guarantee ===

impl Guarantee {
    fn new(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, text: text.into(), patterns: None }
    }
}

/// What holds of a component whatever is configured: what follows from the imports alone, and from the facts about callers
/// that are among them.
pub(super) fn of_component(imports: &[String], facts: &[Fact], bounds: &Bounds) -> Vec<Guarantee> {
    vec![
        by_imports(imports, facts),
        Guarantee::new(
            "isolated",
            "sees no token, secret key or signature; has no network, files, clock, randomness or environment",
        ),
        Guarantee::new("stateless", "keeps nothing from one login to the next"),
        bounds.guarantee(false),
    ]
}

fn by_imports(imports: &[String], facts: &[Fact]) -> Guarantee {
    let interface = |import: &String| import.split_once('@').map_or(import.as_str(), |(name, _)| name).to_owned();
    let beyond: Vec<String> = imports.iter().map(interface).filter(|name| name != "herald:policy/log").collect();
    match beyond.as_slice() {
        [] => Guarantee::new("pure", "pure: the same settings and the same request always get the same answer"),
        [only] if only == "herald:policy/data" => Guarantee::new(
            "depends-on-tables",
            "depends on its settings, the request and the tables that it is attached, on nothing else",
        ),
        known if known.iter().all(|name| ["herald:policy/cloud", "herald:policy/data"].contains(&name.as_str())) => {
            let about = match facts {
                [Fact::CallerInstance] => " and the caller's own machine",
                [Fact::CallerTags] => " and the tags of the caller's own role or user",
                _ => ", the caller's own machine and the tags of his role or user",
            };
            let text =
                format!("depends on its settings, the request, the tables that it is attached{about}, on nothing else");
            Guarantee::new("depends-on-facts", text)
        }
        others => {
            let text = format!("asks for what no server grants: {}", others.join(", "));
            Guarantee::new("never-loads", text)
        }
    }
}

/// What holds beyond that of a component by the entry of `server.policies` that uses it.
pub(super) fn of_entry(config: &Config, bounds: &Bounds) -> Vec<Guarantee> {
    let mut guarantees = vec![match config.kind {
        Kind::Augment => {
            Guarantee::new("only-adds", "cannot change usernames or uids, cannot take a group or an extra value away")
        }
        Kind::Guard => Guarantee::new("only-takes-away", "cannot grant anything, cannot change usernames"),
        Kind::Map => Guarantee::new("unmapped-only", "is asked only about callers whom no stage before it has mapped"),
    }];
    let is_shadow = config.mode == Mode::Shadow;
    if is_shadow {
        let text = "counts for nothing: it is in shadow mode, and what would follow is only told";
        guarantees.push(Guarantee::new("shadow", text));
    }
    if config.kind != Kind::Guard {
        guarantees.extend(by_ceiling(&config.ceiling, config.kind));
    }
    guarantees.push(match config.on_fault {
        _ if is_shadow => Guarantee::new("fault-unnoticed", "when it fails, no login notices"),
        OnFault::Refuse => Guarantee::new("fault-refuses", "when it fails, the login is refused"),
        OnFault::Skip => Guarantee::new("fault-skips", "when it fails, its groups are missing"),
    });
    guarantees.push(bounds.guarantee(is_shadow));
    guarantees
}

fn by_ceiling(ceiling: &Ceiling, kind: Kind) -> Vec<Guarantee> {
    let within = |id, what: &str, patterns: &[String]| {
        let text = match patterns {
            [] => format!("cannot grant {what} at all"),
            some => format!("cannot grant {what} outside {}", some.join(", ")),
        };
        Guarantee { patterns: Some(patterns.to_vec()), ..Guarantee::new(id, text) }
    };
    let mut guarantees = vec![match &ceiling.groups {
        Some(patterns) => within("groups-within", "groups", patterns),
        None => Guarantee::new("no-system-groups", "cannot grant groups under system:"),
    }];
    if kind == Kind::Map {
        guarantees.push(match &ceiling.usernames {
            Some(patterns) => within("usernames-within", "usernames", patterns),
            None => Guarantee::new("no-system-usernames", "cannot grant usernames under system:"),
        });
        guarantees.push(within("uids-within", "uids", ceiling.uids.as_deref().unwrap_or_default()));
    }
    let text = format!(
        "no ceiling covers extra: it may set any key but the host's own and those of kubernetes.io and k8s.io, at most \
         {MAX_EXTRA} with {MAX_EXTRA} values each"
    );
    guarantees.push(Guarantee::new("extra-without-ceiling", text));
    guarantees
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn imports_say_what_cannot_happen() {
        #[track_caller]
        fn check(imports: &[&str], facts: &[Fact], id: &str, first: &str) {
            let imports: Vec<String> = imports.iter().map(|&text| text.to_owned()).collect();
            let found = by_imports(&imports, facts);
            assert!(found.text.starts_with(first) && found.id == id, "{imports:?}: {found:?}");
        }
        check(&[], &[], "pure", "pure");
        check(&["herald:policy/log@0.1.0"], &[], "pure", "pure");
        check(
            &["herald:policy/log@0.1.0", "herald:policy/data@0.1.0"],
            &[],
            "depends-on-tables",
            "depends on its settings, the request and the tables",
        );
        let cloud = ["herald:policy/cloud@0.1.0", "herald:policy/log@0.1.0"];
        check(
            &cloud,
            &[Fact::CallerInstance],
            "depends-on-facts",
            "depends on its settings, the request, the tables that it is attached and the caller's own machine, on nothing else",
        );
        check(
            &cloud,
            &[Fact::CallerTags],
            "depends-on-facts",
            "depends on its settings, the request, the tables that it is attached and the tags of the caller's own role or user, on nothing else",
        );
        check(
            &cloud,
            &Fact::ALL,
            "depends-on-facts",
            "depends on its settings, the request, the tables that it is attached, the caller's own machine and the tags of his role or user, on nothing else",
        );
        check(&["wasi:sockets/tcp@0.2.0"], &[], "never-loads", "asks for what no server grants: wasi:sockets/tcp");
    }

    /// An id of a key is among the facts about a caller; the key itself is not.
    #[test]
    fn every_component_is_isolated_and_stateless() {
        let bounds = Bounds::hard().expect("the maxima are within themselves");
        let found = of_component(&["wasi:sockets/tcp@0.2.0".to_owned()], &[], &bounds);
        let ids: Vec<_> = found.iter().map(|guarantee| guarantee.id).collect();
        assert_eq!(ids, ["never-loads", "isolated", "stateless", "bounded"]);
        assert!(found[1].text.starts_with("sees no token, secret key or signature; has no network"), "{found:?}");
    }

    #[test]
    fn every_policy_is_bounded() {
        let bounds = Bounds::hard().expect("the maxima are within themselves");
        expect![[r#"{"source":"hard-maximum","milliseconds":5000,"longestMilliseconds":50000,"fuel":20000000000,"bytes":67108864}"#]]
            .assert_eq(&serde_json::to_string(&bounds).expect("JSON"));
        expect!["at worst 5s of a processor's time, 20000000000 fuel and 64 MiB of memory for a login, whatever is configured; on a busy machine it takes up to 50s, and the wait for a free instance"]
            .assert_eq(&bounds.guarantee(false).text);
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "a row reads better")]
    fn entries_say_what_cannot_happen() {
        #[track_caller]
        fn check(json: serde_json::Value, expected: Expect) {
            let config: Config = serde_json::from_value(json).expect("an entry");
            let guarantees = of_entry(&config, &Bounds::configured(&config.limits));
            let lines = guarantees.iter().map(|guarantee| format!("{}: {}", guarantee.id, guarantee.text));
            expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
        }
        check(
            serde_json::json!({"name": "a", "kind": "map", "component": "a.wasm", "ceiling": {"groups": ["corp:*"]}}),
            expect![[r#"
                unmapped-only: is asked only about callers whom no stage before it has mapped
                groups-within: cannot grant groups outside corp:*
                no-system-usernames: cannot grant usernames under system:
                uids-within: cannot grant uids at all
                extra-without-ceiling: no ceiling covers extra: it may set any key but the host's own and those of kubernetes.io and k8s.io, at most 64 with 64 values each
                fault-refuses: when it fails, the login is refused
                bounded: at worst 50ms of a processor's time, 50000000 fuel and 16 MiB of memory for a login; on a busy machine it takes up to 500ms, and the wait for a free instance"#]],
        );
        check(
            serde_json::json!({"name": "a", "kind": "augment", "component": "a.wasm", "onFault": "skip", "mode": "shadow"}),
            expect![[r#"
                only-adds: cannot change usernames or uids, cannot take a group or an extra value away
                shadow: counts for nothing: it is in shadow mode, and what would follow is only told
                no-system-groups: cannot grant groups under system:
                extra-without-ceiling: no ceiling covers extra: it may set any key but the host's own and those of kubernetes.io and k8s.io, at most 64 with 64 values each
                fault-unnoticed: when it fails, no login notices
                bounded: at worst 50ms of a processor's time, 50000000 fuel and 16 MiB of memory for a login; on a busy machine it takes up to 500ms, which no login waits for"#]],
        );
        check(
            serde_json::json!({"name": "a", "kind": "guard", "component": "a.wasm"}),
            expect![[r#"
                only-takes-away: cannot grant anything, cannot change usernames
                fault-refuses: when it fails, the login is refused
                bounded: at worst 50ms of a processor's time, 50000000 fuel and 16 MiB of memory for a login; on a busy machine it takes up to 500ms, and the wait for a free instance"#]],
        );
    }
}
