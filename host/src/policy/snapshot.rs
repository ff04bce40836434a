//! Snapshot: a component that has taken in its settings, so that no decision parses them again.
//!
//! `configure` runs once, in a copy of the component whose state can be read; what it left behind becomes the
//! initial state of a new component, which every decision starts from. A component of a shape that this does not
//! work for (`wasmtime-wizer` says which, or stumbles over it) takes its settings in each instance instead.

use std::future::pending;

use futures_util::FutureExt as _;
use wasmtime::{
    Store,
    component::{Component, Instance, Lift, WasmList},
};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::{
    CompiledFolder, Config, Engine, LoadProblem,
    compiled::Form,
    limits::Guest,
    loader::{self, Source},
    stranger::caught,
    track::{self, Grants},
};

/// A snapshot, and the component that it was taken of.
pub(super) struct Taken {
    /// The component that starts configured.
    pub(super) bytes: Vec<u8>,
    /// The one that does not, compiled by the [draft](Engine::draft): it takes any settings.
    pub(super) readable: Component,
}

/// A component to which functions were added that tell its state.
pub(super) struct Instrumented<'a> {
    source: &'a Source,
    context: ComponentContext<'a>,
    bytes: Vec<u8>,
}

// === impl Instrumented ===

impl<'a> Instrumented<'a> {
    /// `None`: there can be no snapshot of this one.
    pub(super) fn of(source: &'a Source) -> Option<Self> {
        let (context, bytes) = or_none(|| Wizer::new().instrument_component(&source.bytes))?;
        Some(Self { source, context, bytes })
    }

    /// Runs `configure` under ten times the limits of `config`; gives the component that starts where it ended. `None`: there
    /// can be no snapshot of this one either.
    ///
    /// # Errors
    ///
    /// Whatever keeps the component from being a policy, or its settings from being taken.
    pub(super) fn take(
        self,
        engine: &Engine,
        config: &Config,
        compiled: Option<&CompiledFolder>,
        grants: Grants,
    ) -> Result<Option<Taken>, LoadProblem> {
        let origin = self.source.in_form(Form::Readable);
        let draft = engine.draft();
        let readable = match loader::fetch(draft, origin, compiled) {
            Some(component) => component,
            None => match loader::compile_here(draft, &self.bytes, origin, compiled) {
                Ok(component) => component,
                Err(machine @ LoadProblem::System(_)) => return Err(machine),
                Err(_) => return Ok(None),
            },
        };
        let track = track::link(draft, &readable, grants)?;
        let taken = draft.with_load_slot(|slot| {
            let mut store = slot.store(&config.limits.of_configure());
            let instance = loader::start(&mut store, track.as_ref(), Some(&config.settings.to_string()))?;
            lift_bounds(&mut store);
            let mut state = State { store, instance };
            let taken =
                or_none(|| Wizer::new().snapshot_component(&self.context, &mut state).now_or_never().transpose());
            Ok::<_, LoadProblem>(taken.flatten())
        })?;
        Ok(taken.map(|bytes| Taken { bytes, readable }))
    }
}

/// What the library gives; `None`: it does not take a component of this shape. Of some shapes it takes for granted that there
/// are none, and panics: an import that we do not let through, memory in a module that exports nothing.
fn or_none<T>(attempt: impl FnOnce() -> wasmtime::Result<T>) -> Option<T> {
    let given = caught(attempt).inspect_err(|panic| tracing::debug!(%panic, "no snapshot can be taken of a component"));
    given.ok()?.ok()
}

/// Reading the state calls functions that the instrumentation has added. They are ours, short, and owe the
/// policy's limits nothing; a list of all its memory is more than a policy may hand out, and is told in a page that is added
/// to it.
fn lift_bounds(store: &mut Store<Guest>) {
    store.data_mut().room.lift();
    store.set_fuel(u64::MAX).expect("this engine counts fuel");
    store.set_hostcall_fuel(usize::MAX);
    store.epoch_deadline_callback(|_| Ok(wasmtime::UpdateDeadline::Continue(1)));
}

/// An instance whose state can be read.
struct State {
    store: Store<Guest>,
    instance: Instance,
}

// === impl State ===

impl State {
    /// What the added function `name` returns, as `read` sees it. Never ends where that cannot be told: memory that has all that it
    /// may ever have has no room for the answer.
    async fn ask<A: Lift + 'static, T>(
        &mut self,
        interface: &str,
        name: &str,
        read: impl FnOnce(&Store<Guest>, A) -> T,
    ) -> T {
        const ADDED: &str = "the instrumentation added this function";
        let Self { store, instance } = self;
        let interface = instance.get_export_index(&mut *store, None, interface).expect(ADDED);
        let function = instance.get_export_index(&mut *store, Some(&interface), name).expect(ADDED);
        let function = instance.get_typed_func::<(), (A,)>(&mut *store, function).expect(ADDED);
        let Ok((answer,)) = function.call_async(&mut *store, ()).await else { return pending().await };
        read(store, answer)
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        self.ask(instance, func, |store, list: WasmList<u8>| contents(list.as_le_slice(store))).await;
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.ask(instance, func, |_, value| value).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.ask(instance, func, |_, value| value).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.ask(instance, func, |_, value: f32| value.to_bits()).await
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.ask(instance, func, |_, value: f64| value.to_bits()).await
    }
}

#[cfg(test)]
mod tests;
