//! Tracks: the versions of the policy contract that this host speaks, side by side.
//!
//! A component says its version in the name of its export, `herald:policy/mapper@0.1.0`. Versions that differ
//! in the last number are one track; a new minor version is a new module beside the old one, and one more line in
//! [`RELEASED`]. Nothing else in this room knows a version; `tests/later.rs` proves it with one that does not exist.

use futures_util::future::BoxFuture;
use wasmtime::{
    Store,
    component::{Component, Instance},
};

use super::{Engine, Fault, LoadProblem, Request, Verdict, limits::Guest, since_v0_1};

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

/// A call into a component; its error is a broken bound or a trap.
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
/// The one that a table grants.
pub(super) const DATA: &str = "herald:policy/data";
/// The one that `cloud` grants.
pub(super) const CLOUD: &str = "herald:policy/cloud";

/// Whether `component` imports `interface`, of whatever version.
pub(super) fn imports(engine: &Engine, component: &Component, interface: &str) -> bool {
    let shape = component.component_type();
    let mut names = shape.imports(engine.wasmtime()).map(|(name, _)| name);
    names.any(|name| name.split_once('@').is_some_and(|(imported, _)| imported == interface))
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
    for (import, _) in shape.imports(engine.wasmtime()) {
        if !known.grants(import, grants) {
            return Err(LoadProblem::UngrantedImport(import.to_owned()));
        }
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
