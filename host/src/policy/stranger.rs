//! Strangers: what they have made is looked at before a library reads it, and one that panics over it has said that it is no component.
//!
//! Readers of components call themselves for what is inside another part or behind a type, and a thread's stack is short: a few
//! kilobytes of types in types end the process, where nobody can catch it. Here they are counted without such calls.

use std::{
    any::Any,
    cell::Cell,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentAlias, ComponentExternName, ComponentImport, ComponentType,
    ComponentTypeRef, CoreType, Parser, Payload,
};

use super::{LoadProblem, limits::MAX_REASON, shape::ShapeError, text::tame};

/// Why bytes are not read: their author's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Strange {
    /// What declares something in a type, and what it is is not known.
    #[error("unknown declaration 0x{0:x} in a type")]
    Declaration(u8),
    /// A library came across what it holds for impossible; its words.
    #[error("the library that reads it panics over it: {0}")]
    Panic(String),
    /// There is more to go down into than a stack may have room for.
    #[error("more than {MAX_PARTS} components, instances and types of them are in it")]
    Parts,
    /// A type that nobody can read.
    #[error(transparent)]
    Type(#[from] BinaryReaderError),
}

/// Most components, instances and types of them. A policy of our SDKs has six; each interface of the system's (WASI) is one more.
const MAX_PARTS: u32 = 100;
/// What a type of a component and one of an instance begin with (Component Model, "Binary Format: Type Definitions").
const COMPONENT_TYPE: u8 = 0x41;
const INSTANCE_TYPE: u8 = 0x42;

thread_local! {
    /// Whether a panic on this thread is an error that somebody is given, and so nothing to write to stderr.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `read` gives, unless it panics. On threads of the library's own a panic is written to stderr as well.
pub(crate) fn caught<T>(read: impl FnOnce() -> T) -> Result<T, Strange> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let write = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                write(panic);
            }
        }));
    });
    let before = IS_CAUGHT.replace(true);
    let read = catch_unwind(AssertUnwindSafe(read));
    IS_CAUGHT.set(before);
    read.map_err(|panic| Strange::Panic(last_words(&*panic)))
}

/// With what words `panic` ended a library.
fn last_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    words(text.unwrap_or("it does not say why"))
}

/// What a library says about somebody's bytes, often in the words that it found there: fit for a line of ours.
pub(crate) fn words(said: impl Display) -> String {
    tame(&format!("{said:#}"), MAX_REASON)
}

/// Whether libraries can be left to read `component`, which may be no component at all: that is for them to say.
pub(super) fn check(component: &[u8]) -> Result<(), Strange> {
    let mut parts = Parts(0);
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::ComponentInstanceSection(section)) => parts.add(section.count())?,
            Ok(Payload::ComponentSection { .. }) => parts.add(1)?,
            Ok(Payload::ComponentTypeSection(section)) => {
                let range = section.range();
                parts.add_types(BinaryReader::new(&component[range.clone()], range.start))?;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// How many there are.
struct Parts(u32);

// === impl Parts ===

impl Parts {
    fn add(&mut self, more: u32) -> Result<(), Strange> {
        self.0 = self.0.saturating_add(more);
        if self.0 <= MAX_PARTS { Ok(()) } else { Err(Strange::Parts) }
    }

    /// Those of a section of types.
    fn add_types(&mut self, mut reader: BinaryReader<'_>) -> Result<(), Strange> {
        // How many types of the section are left, then how many declarations of each type that is open.
        let mut left = vec![reader.read_var_u32()?];
        while let Some(here) = left.last_mut() {
            let Some(fewer) = here.checked_sub(1) else {
                left.pop();
                continue;
            };
            *here = fewer;
            if left.len() > 1 && !declares_type(&mut reader)? {
                continue;
            }
            let mut inner = reader.clone();
            if matches!(inner.read_u8()?, COMPONENT_TYPE | INSTANCE_TYPE) {
                self.add(1)?;
                left.push(inner.read_var_u32()?);
                reader = inner;
            } else {
                reader.read::<ComponentType<'_>>()?;
            }
        }
        Ok(())
    }
}

/// Whether a type is declared here, which is what comes next. Other declarations are read to their end.
fn declares_type(reader: &mut BinaryReader<'_>) -> Result<bool, Strange> {
    match reader.read_u8()? {
        0x00 => {
            reader.read::<CoreType<'_>>()?;
        }
        0x01 => return Ok(true),
        0x02 => {
            reader.read::<ComponentAlias<'_>>()?;
        }
        0x03 => {
            reader.read::<ComponentImport<'_>>()?;
        }
        0x04 => {
            reader.read::<ComponentExternName<'_>>()?;
            reader.read::<ComponentTypeRef>()?;
        }
        unknown => return Err(Strange::Declaration(unknown)),
    }
    Ok(false)
}

// === impl Strange ===

impl From<Strange> for LoadProblem {
    fn from(why: Strange) -> Self {
        Self::Invalid(words(why))
    }
}

impl From<Strange> for ShapeError {
    fn from(why: Strange) -> Self {
        Self::Invalid(words(why))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use crate::policy::{CompiledFolder, Engine, EngineConfig, compile, shape::Shape};

    /// A section of a component, short enough for three bytes of length.
    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        let length = body.len();
        let length = [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14 & 0x7f];
        let length = length.map(|part| u8::try_from(part).expect("eight bits"));
        [&[id][..], &length, body].concat()
    }

    fn component(sections: &[u8]) -> Vec<u8> {
        [&b"\0asm\x0d\0\x01\0"[..], sections].concat()
    }

    /// Types of instances, each but the last with one declaration: that of the next.
    fn types_in_types(count: usize) -> Vec<u8> {
        let body = [&[1][..], &[INSTANCE_TYPE, 1, 1].repeat(count - 1), &[INSTANCE_TYPE, 0]].concat();
        component(&section(7, &body))
    }

    fn components_in_components(count: usize) -> Vec<u8> {
        (0..count).fold(component(&[]), |inner, _| component(&section(4, &inner)))
    }

    /// Lists of lists in an instance, which is all that the next one exports, and so on.
    pub(crate) fn instances_of_instances(count: usize) -> Vec<u8> {
        let lists: String = (0..40).map(|inner| format!("(type (list {inner}))")).collect();
        let more: String = (1..count).map(|at| format!("(instance (export \"a\" (instance {})))", at - 1)).collect();
        let text = format!("(component (type (list u8)) {lists} (instance (export \"a\" (type 40))) {more})");
        wat::parse_str(text).expect("a component")
    }

    /// One in which each type of an instance has an instance of the type before in it.
    fn types_of_types(count: usize) -> Vec<u8> {
        let one =
            |at: usize| format!("(type (instance (alias outer 1 {at} (type)) (export \"a\" (instance (type 0)))))");
        let more: String = (1..count).map(|at| one(at - 1)).collect();
        let import = format!("(import \"a\" (instance (type {})))", count - 1);
        wat::parse_str(format!("(component (type (instance)) {more} {import})")).expect("a component")
    }

    #[track_caller]
    fn check_refused(component: &[u8], expected: &str) {
        let expected = format!("not a valid component: {expected}");
        let told = Shape::of(component).expect_err("nobody reads it").to_string();
        assert!(told.starts_with(&expected), "{told}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.wasm");
        fs::write(&path, component).expect("a file");
        let engine = Engine::new(&EngineConfig::default()).expect("an engine");
        let compiled = CompiledFolder::open(&folder.path().join("compiled")).expect("a folder");
        let error = compile(&engine, &path, &compiled).expect_err("nobody compiles it");
        let told = error.problem.to_string();
        assert!(told.starts_with(&expected), "{told}");
    }

    #[test]
    fn what_would_end_the_process_is_not_read() {
        let many = "more than 100 components, instances and types of them are in it";
        check_refused(&types_in_types(20_000), many);
        check_refused(&types_of_types(5000), many);
        check_refused(&components_in_components(5000), many);
        check_refused(&instances_of_instances(900), many);
        check_refused(&instances_of_instances(96), "the library that reads it panics over it: ");
        let unknown = component(&section(7, &[1, INSTANCE_TYPE, 1, 9]));
        check_refused(&unknown, "unknown declaration 0x9 in a type");
    }

    #[test]
    fn a_library_that_panics_says_why() {
        #[track_caller]
        fn check(read: fn(), expected: &str) {
            let told = caught(read).expect_err("it panics").to_string();
            assert_eq!(told, format!("the library that reads it panics over it: {expected}"));
            assert!(!IS_CAUGHT.get(), "the next panic on this thread is written");
        }
        check(|| panic!("no such thing"), "no such thing");
        check(|| panic!("no such {}", "\u{1b}[2Jthing"), r"no such \u{1b}[2Jthing");
        check(|| std::panic::panic_any(7), "it does not say why");
        let behind_another: fn() = || {
            caught(|| ()).expect("it does not panic");
            panic!("behind another");
        };
        check(behind_another, "behind another");
    }

    #[test]
    fn everything_else_is_left_to_others() {
        #[track_caller]
        fn check_left(component: &[u8]) {
            check(component).expect("it can be read, or is no component");
        }
        check_left(&types_in_types(100));
        check_left(&components_in_components(100));
        let declarations = r#"(component (type (enum "a")) (type (component
            (core type (module)) (type (enum "b")) (alias outer 1 0 (type)) (import "i" (func)) (export "e" (instance)))))"#;
        check_left(&wat::parse_str(declarations).expect("a component"));
        check_left(&wat::parse_str("(module)").expect("a module"));
        let whole = types_in_types(2);
        (0..whole.len()).for_each(|length| check_left(&whole[..length]));
    }
}
