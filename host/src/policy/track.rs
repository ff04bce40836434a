//! Tracks: the versions of the policy contract that this host speaks, side by side.
//!
//! A component says its version in the name of its export, `herald:policy/mapper@0.1.0`. Versions that differ
//! in the last number are one track; a new minor version is a new module beside the old one, and one more line in
//! [`RELEASED`]. Nothing else in this room knows a version; `tests/later.rs` proves it with one that does not exist.

use futures_util::future::BoxFuture;
use wasmtime::{
    Store,
    component::{Component, Instance, types::ComponentItem},
};

use super::{
    Engine, Fault, LoadProblem, Request, Verdict,
    cloud::Fact,
    limits::{Guest, MAX_REASON},
    since_v0_1,
    text::tame,
};

/// A component linked to one version of the contract.
pub(super) trait Track: Send + Sync {
    /// Starts an instance, and gives it `settings` unless it has taken them in already. `Ok(Err(…))` is what it
    /// has against them.
    fn start<'a>(
        &'a self,
        store: &'a mut Store<Guest>,
        settings: Option<&'a str>,
    ) -> Call<'a, Result<Instance, String>>;

    /// Starts an instance likewise and asks it one question.
    fn decide<'a>(
        &'a self,
        store: &'a mut Store<Guest>,
        settings: Option<&'a str>,
        request: &'a Request<'a>,
    ) -> Call<'a, Result<Verdict, Fault>>;
}

/// A call into a component; its error is a broken bound, a trap or a value that is none of its type.
pub(super) type Call<'a, T> = BoxFuture<'a, wasmtime::Result<T>>;

/// A version that an engine speaks.
pub(super) struct Known {
    /// Major and minor.
    pub(super) version: &'static str,
    /// Links a component of this version; what it wants of the host and does not get, or gets in another shape, is
    /// an error.
    pub(super) link: fn(&Engine, &Component) -> wasmtime::Result<Box<dyn Track>>,
}

/// The released versions of the contract, `wit/`.
pub(super) const RELEASED: &[Known] = &[Known { version: since_v0_1::VERSION, link: since_v0_1::link }];
const MAPPER: &str = "herald:policy/mapper@";

/// What an operator grants beyond [`GRANTED`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grants {
    /// `herald:policy/data`: there are tables to read.
    pub(super) data: bool,
    /// `herald:policy/cloud`: there are facts about callers to know.
    pub(super) cloud: bool,
}

/// Interfaces that every policy may import, without `@version`.
const GRANTED: [&str; 2] = ["herald:policy/log", "herald:policy/types"];
/// Interfaces of the system's (WASI), which nobody is granted.
const SYSTEM: &str = "wasi:";
/// The one that a table grants.
pub(super) const DATA: &str = "herald:policy/data";
/// The one that `cloud` grants.
pub(super) const CLOUD: &str = "herald:policy/cloud";

/// The facts about callers that `component` asks for: the functions of [`CLOUD`] that it imports, of whatever version.
pub(super) fn facts(engine: &Engine, component: &Component) -> Vec<Fact> {
    let (engine, shape) = (engine.wasmtime(), component.component_type());
    let is_cloud = |name: &str| name.split_once('@').is_some_and(|(interface, _)| interface == CLOUD);
    let interfaces = shape.imports(engine).filter(|(name, _)| is_cloud(name));
    interfaces.flat_map(|(_, item)| facts_in(engine, &item.ty)).collect()
}

/// In the order of [`Fact::ALL`].
fn facts_in(engine: &wasmtime::Engine, interface: &ComponentItem) -> Vec<Fact> {
    let ComponentItem::ComponentInstance(interface) = interface else { return Vec::new() };
    Fact::ALL.into_iter().filter(|fact| interface.exports(engine).any(|(name, _)| name == fact.word())).collect()
}

/// Links `component` to the version it was made for.
pub(super) fn link(engine: &Engine, component: &Component, grants: Grants) -> Result<Box<dyn Track>, LoadProblem> {
    let shape = component.component_type();
    let exports = shape.exports(engine.wasmtime());
    let mut versions = exports.filter_map(|(name, _)| name.strip_prefix(MAPPER)).peekable();
    let Some(&version) = versions.peek() else { return Err(LoadProblem::NotAPolicy) };
    let tracks = engine.tracks();
    let known = versions.find_map(|version| tracks.iter().find(|known| known.speaks(version)));
    let known =
        known.ok_or_else(|| LoadProblem::UnknownVersion { found: version.to_owned(), known: listed(tracks) })?;
    for (import, item) in shape.imports(engine.wasmtime()) {
        if known.grants(import, grants) {
            continue;
        }
        // A name may be a URL, and hold whatever its author likes.
        let (import, all) = (tame(import, MAX_REASON), Grants { data: true, cloud: true });
        return Err(if import.starts_with(SYSTEM) {
            LoadProblem::SystemImport(import)
        } else if known.grants(&import, all) {
            let is_cloud = import.split_once('@').is_some_and(|(interface, _)| interface == CLOUD);
            let facts = if is_cloud { facts_in(engine.wasmtime(), &item.ty) } else { Vec::new() };
            LoadProblem::UngrantedImport { import, facts }
        } else {
            LoadProblem::UnknownImport(import)
        });
    }
    (known.link)(engine, component).map_err(|error| LoadProblem::mismatch(&error))
}

fn listed(tracks: &[Known]) -> String {
    tracks.iter().map(|known| known.version).collect::<Vec<_>>().join(", ")
}

// === impl Known ===

impl Known {
    fn speaks(&self, version: &str) -> bool {
        let patch = version.strip_prefix(self.version).and_then(|rest| rest.strip_prefix('.'));
        patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
    }

    fn grants(&self, import: &str, grants: Grants) -> bool {
        let Some((interface, version)) = import.split_once('@') else { return false };
        let granted = match interface {
            CLOUD => grants.cloud,
            DATA => grants.data,
            other => GRANTED.contains(&other),
        };
        granted && self.speaks(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_a_major_and_a_minor_version() {
        #[track_caller]
        fn check(import: &str, granted: bool) {
            assert_eq!(RELEASED[0].grants(import, Grants::default()), granted, "{import}");
            let with_tables = granted || import == "herald:policy/data@0.1.0";
            assert_eq!(RELEASED[0].grants(import, Grants { data: true, cloud: false }), with_tables, "{import}");
        }
        check("herald:policy/log@0.1.0", true);
        check("herald:policy/log@0.1.17", true);
        check("herald:policy/types@0.1.0", true);
        check("herald:policy/log@0.2.0", false);
        check("herald:policy/log@0.10.0", false);
        check("herald:policy/log@0.1.0-rc1", false);
        check("herald:policy/log@0.1.", false);
        check("herald:policy/log", false);
        check("herald:policy/cloud@0.1.0", false);
        check("herald:policy/data@0.1.0", false);
        check("herald:policy/data@0.2.0", false);
        check("wasi:clocks/wall-clock@0.2.0", false);
    }
}
