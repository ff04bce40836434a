//! Guests for tests and benchmarks: components made from a few lines of WebAssembly text.
//!
//! The canonical ABI by hand (Component Model, "Canonical ABI"): `decide` gets the address of its request and
//! gives that of its answer; `configure` gets its settings' address and length.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest's parts. What is left at its default is harmless.
pub(crate) struct Guest {
    /// Body of `configure` (parameters `$settings`, `$length`).
    pub(crate) configure: String,
    /// Body of `decide` (parameter `$request`).
    pub(crate) decide: String,
    /// Body of `cabi_realloc` (parameters 0 to 3: old address and size, alignment, new size).
    pub(crate) realloc: String,
    /// Imports besides the log.
    pub(crate) imports: String,
    /// More of the module: functions, data, a start function.
    pub(crate) more: String,
    /// Pages of memory it starts with.
    pub(crate) pages: u32,
}

/// Where a guest keeps an answer; the layout of `result<decision, fault>` starts here.
const ANSWER: u32 = 16;
/// Where a guest keeps its texts.
const TEXTS: u32 = 1024;
/// Says `get("rota", "k")` and keeps the result at 2064.
pub(crate) const GET: &str =
    "(call $get (i32.const 2048) (i32.const 4) (i32.const 2056) (i32.const 1) (i32.const 2064))";

impl Default for Guest {
    fn default() -> Self {
        let realloc = "(local $at i32)
            (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
            (global.set $heap (i32.add (local.get $at) (local.get 3)))
            (local.get $at)";
        Self {
            configure: "i32.const 0".into(),
            decide: answer(&[]),
            realloc: realloc.into(),
            imports: String::new(),
            more: String::new(),
            pages: 1,
        }
    }
}

impl Guest {
    pub(crate) fn deciding(decide: impl Into<String>) -> Self {
        Self { decide: decide.into(), ..Self::default() }
    }

    pub(crate) fn configuring(configure: impl Into<String>) -> Self {
        Self { configure: configure.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, more: impl Into<String>) -> Self {
        self.more = more.into();
        self
    }

    /// Always says that the caller is `alice` in group `dev`.
    pub(crate) fn allowing() -> Self {
        Self::allowing_in(&["dev".to_owned()])
    }

    /// Always says that the caller is `alice` in these groups, a few kilobytes of names at most.
    pub(crate) fn allowing_in(groups: &[String]) -> Self {
        let (list, count) = (TEXTS + 32, length(groups.len()));
        let words = [(0, 0), (4, 1), (8, TEXTS), (12, 5), (16, 0), (28, list), (32, count)];
        let (mut at, mut entries) = (list + 8 * count, String::new());
        for group in groups {
            entries.push_str(&(little_endian(at) + &little_endian(length(group.len()))));
            at += length(group.len());
        }
        Self::deciding(answer(&words)).with(format!(
            r#"(data (i32.const {TEXTS}) "alice") (data (i32.const {list}) "{entries}{}")"#,
            groups.concat()
        ))
    }

    /// Says that the caller is whoever the request's `name` says; computes for a while first.
    pub(crate) fn echoing() -> Self {
        Self::echoing_after(2_000_000)
    }

    /// The same after so many turns of a loop.
    pub(crate) fn echoing_after(turns: u32) -> Self {
        let work = format!(
            "(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
            (i32.const {turns}))))"
        );
        let name = format!(
            "(i32.store (i32.const {}) (i32.load offset=44 (local.get $request)))
             (i32.store (i32.const {}) (i32.load offset=48 (local.get $request)))",
            ANSWER + 8,
            ANSWER + 12
        );
        Self::deciding(format!("{work} {name} {}", answer(&[(0, 0), (4, 1), (16, 0), (28, 0), (32, 0)])))
    }

    /// Reads the key `k` of the table `rota`, which it has to be attached, again and again.
    pub(crate) fn asking_without_end() -> Self {
        Self::reading(&format!("(loop $l {GET} (br $l)) unreachable"))
    }

    /// Says that the caller is whoever the key `k` of the table `rota` says, and traps without such a key.
    pub(crate) fn naming() -> Self {
        let [text, length] = [ANSWER + 8, ANSWER + 12];
        Self::reading(&format!(
            "{GET} (if (i32.load8_u (i32.const 2064)) (then unreachable)) (if (i32.eqz (i32.load8_u (i32.const 2068))) (then unreachable))
             (i32.store (i32.const {text}) (i32.load (i32.const 2072))) (i32.store (i32.const {length}) (i32.load (i32.const 2076))) {}",
            answer(&[(0, 0), (4, 1), (16, 0), (28, 0), (32, 0)])
        ))
    }

    /// One that imports tables; [`GET`] is there for `decide`.
    pub(crate) fn reading(decide: &str) -> Self {
        Self {
            imports: r#"(import "herald:policy/data@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))"#.into(),
            ..Self::deciding(decide).with(r#"(data (i32.const 2048) "rota") (data (i32.const 2056) "k")"#)
        }
    }

    /// The module's text.
    pub(crate) fn text(&self) -> String {
        let Self { configure, decide, realloc, imports, more, pages } = self;
        format!(
            r#"(module
                (import "herald:policy/log@0.1.0" "log" (func $log (param i32 i32 i32)))
                {imports}
                (memory (export "memory") {pages})
                (global $heap (mut i32) (i32.const 8192))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    {realloc})
                (func (export "herald:policy/mapper@0.1.0#configure") (param $settings i32) (param $length i32) (result i32)
                    {configure})
                (func (export "herald:policy/mapper@0.1.0#decide") (param $request i32) (result i32)
                    {decide})
                {more})"#
        )
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let world = if self.imports.is_empty() { "policy" } else { "policy-with-capabilities" };
        componentise(&self.text(), include_str!("../../../../wit/v0.1.0/policy.wit"), world)
    }
}

/// Code that stores `words` (offset in the answer, value) and gives the answer's address. None: abstain.
pub(crate) fn answer(words: &[(u32, u32)]) -> String {
    let stores: String = words
        .iter()
        .map(|(offset, word)| format!("(i32.store (i32.const {}) (i32.const {word})) ", ANSWER + offset))
        .collect();
    format!("{stores} i32.const {ANSWER}")
}

/// Code for an answer with one text: `result` 0 for a decision, 1 for a fault.
pub(crate) fn saying(result: u32, case: u32, length: u32) -> String {
    answer(&[(0, result), (4, case), (8, TEXTS), (12, length)])
}

/// A text for [`saying`].
pub(crate) fn text(text: &str) -> String {
    format!("(data (i32.const {TEXTS}) {text:?})")
}

/// Makes a component of a core module's text and a WIT world.
pub(crate) fn componentise(module: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("the guest is good text");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", wit).expect("the WIT is good");
    let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata fits");
    let encoder = ComponentEncoder::default().module(&module).expect("a module");
    encoder.validate(true).encode().expect("the module fits its world")
}

/// A section for the end of a component, with a short module (Component Model, "Binary Format").
pub(crate) fn module_section(module: &str) -> Vec<u8> {
    let module = wat::parse_str(module).expect("the module is good text");
    assert!(module.len() < 128, "its length is one byte");
    [&[1, module.len() as u8][..], &module].concat()
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("short")
}

fn little_endian(number: u32) -> String {
    number.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect()
}
