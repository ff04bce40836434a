//! The functions of a component, compiled: other settings change its data and hardly any of them, so that it is compiled with
//! those in a quarter of the time.
//!
//! Whether a function is the same is for the library to say, which asks by the SHA-256 of all that its code depends on. What
//! is kept is as much code as any other: it is read from a [`CompiledFolder`](super::CompiledFolder) alone.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use wasmtime::CacheStore;

/// Those of one compilation, while it lasts. Two at the same time would share them, which costs them time and nothing more.
#[derive(Debug, Default)]
pub(super) struct Functions(Mutex<Option<HashMap<Vec<u8>, Function>>>);

#[derive(Debug)]
struct Function {
    code: Vec<u8>,
    last: Last,
}

/// What the last compilation had to do with a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Last {
    Compiled,
    Took,
    LeftAlone,
}

/// What is kept begins with this and its length, all of it, in bytes; keys and code follow in turn, each behind its own
/// length. Lengths are 64-bit integers in big-endian order.
const MAGIC: [u8; 8] = *b"\x7fherald\0";
const LENGTH_BYTES: usize = size_of::<u64>();
/// What is kept is kept anew when a compilation has made more than one function in so many itself.
const FEW: usize = 10;

// === impl Functions ===

impl Functions {
    /// Begins with what [`end`](Self::end) has given; with nothing, if that is something else.
    pub(super) fn begin(&self, kept: Option<&[u8]>) {
        *self.lock() = Some(kept.and_then(read).unwrap_or_default());
    }

    /// Ends a compilation. Gives all functions that it used, to be kept; `None`: what was kept before is nearly that.
    pub(super) fn end(&self) -> Option<Vec<u8>> {
        let functions = self.lock().take()?;
        let compiled = functions.values().filter(|function| function.last == Last::Compiled).count();
        (compiled * FEW > functions.len()).then(|| write(functions))
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<Vec<u8>, Function>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut functions = self.lock();
        let function = functions.as_mut()?.get_mut(key)?;
        if function.last == Last::LeftAlone {
            function.last = Last::Took;
        }
        Some(Cow::Owned(function.code.clone()))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        let mut functions = self.lock();
        let Some(functions) = functions.as_mut() else { return false };
        functions.insert(key.to_vec(), Function { code, last: Last::Compiled });
        true
    }
}

/// How long it is that begins like this, if it is something kept.
pub(super) fn length(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.strip_prefix(&MAGIC)?.first_chunk()?))
}

/// What was used of `functions`, each of which is let go as soon as it is written: a large component has 60 MB of them.
fn write(mut functions: HashMap<Vec<u8>, Function>) -> Vec<u8> {
    functions.retain(|_, function| function.last != Last::LeftAlone);
    let parts = functions.iter().map(|(key, function)| key.len() + function.code.len() + 2 * LENGTH_BYTES);
    let all = MAGIC.len() + LENGTH_BYTES + parts.sum::<usize>();
    let length = |bytes: usize| (bytes as u64).to_be_bytes();
    let mut bytes = Vec::with_capacity(all);
    bytes.extend(MAGIC);
    bytes.extend(length(all));
    for (key, Function { code, .. }) in functions {
        for part in [key, code] {
            bytes.extend(length(part.len()));
            bytes.extend(part);
        }
    }
    bytes
}

fn read(bytes: &[u8]) -> Option<HashMap<Vec<u8>, Function>> {
    let (_, mut rest) = bytes.split_at_checked(MAGIC.len() + LENGTH_BYTES)?;
    if length(bytes)? != bytes.len() as u64 {
        return None;
    }
    let mut functions = HashMap::new();
    while !rest.is_empty() {
        let (key, behind) = part(rest)?;
        let (code, behind) = part(behind)?;
        functions.insert(key.to_vec(), Function { code: code.to_vec(), last: Last::LeftAlone });
        rest = behind;
    }
    Some(functions)
}

/// One part, and what is behind it.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept after a compilation that asks for functions by these names, and how many of them it had to compile.
    fn compile(functions: &Functions, kept: Option<&[u8]>, names: &[&str]) -> (Option<Vec<u8>>, usize) {
        functions.begin(kept);
        let mut compiled = 0;
        for name in names {
            match functions.get(name.as_bytes()) {
                Some(code) => assert_eq!(&*code, format!("code of {name}").as_bytes()),
                None => {
                    compiled += 1;
                    assert!(functions.insert(name.as_bytes(), format!("code of {name}").into_bytes()));
                }
            }
        }
        (functions.end(), compiled)
    }

    #[test]
    fn what_is_the_same_is_compiled_once() {
        let functions = Functions::default();
        let (kept, compiled) = compile(&functions, None, &["a", "b", "a"]);
        assert_eq!(compiled, 2);
        let kept = kept.expect("all of it is new");
        assert_eq!(compile(&functions, Some(&kept), &["b", "a"]), (None, 0), "nothing is new");
        let (newer, compiled) = compile(&functions, Some(&kept), &["b", "c"]);
        assert_eq!(compiled, 1);
        let newer = newer.expect("a third is new");
        assert_eq!(compile(&functions, Some(&newer), &["b", "c"]), (None, 0));
        assert_eq!(compile(&functions, Some(&newer), &["a"]).1, 1, "what was not used is not kept");
        assert_eq!(compile(&functions, None, &["b"]).1, 1, "nothing is left of another component");
    }

    #[test]
    fn what_is_nearly_the_same_is_kept_as_it_was() {
        let functions = Functions::default();
        let names: Vec<String> = (0..FEW).map(|nth| format!("f{nth}")).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        let kept = compile(&functions, None, &names).0.expect("all of it is new");
        names.push("one more");
        assert_eq!(compile(&functions, Some(&kept), &names), (None, 1));
        names.push("two more");
        assert!(compile(&functions, Some(&kept), &names).0.is_some());
    }

    #[test]
    fn nothing_is_gathered_that_nobody_keeps() {
        let functions = Functions::default();
        assert!(!functions.insert(b"a", b"code".to_vec()));
        assert!(functions.get(b"a").is_none() && functions.end().is_none());
    }

    #[test]
    fn what_is_something_else_is_nothing() {
        let functions = Functions::default();
        let kept = compile(&functions, None, &["a"]).0.expect("it is new");
        for cut in 0..kept.len() {
            assert_eq!(compile(&functions, Some(&kept[..cut]), &["a"]).1, 1, "{cut} bytes");
        }
        assert_eq!(compile(&functions, Some(&[&kept[..], b"x"].concat()), &["a"]).1, 1, "one byte more");
    }
}
