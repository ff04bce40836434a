//! Folders of compiled policies: machine code is only taken as Herald wrote it, from where Herald put it, and under the key that it was
//! written with.
//!
//! The first byte chooses what is done to a file, the next four bytes where, the rest is what is put there.
#![no_main]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use herald::policy::{CompiledFolder, Engine, FolderError, compile, find_compiled};
use herald_fuzz::scratch;
use libfuzzer_sys::fuzz_target;

const COMPONENTS: [&[u8]; 2] = [include_bytes!("../seeds/component/pure"), include_bytes!("../seeds/component/table")];
const KEY: &str = "key";

/// A folder with the code of two components in it.
struct Made {
    engine: Engine,
    folder: CompiledFolder,
    path: PathBuf,
    components: [PathBuf; 2],
    /// The files of the code, and what was written into them.
    files: [PathBuf; 2],
    codes: [Vec<u8>; 2],
    key: Vec<u8>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let path = scratch().join("compiled");
    let engine = Engine::for_compiling_aside().expect("an engine");
    let folder = CompiledFolder::open(&path).expect("a folder");
    let components = ["one", "other"].map(|name| scratch().join(name));
    let files = [0, 1].map(|at| {
        fs::write(&components[at], COMPONENTS[at]).expect("written");
        compile(&engine, &components[at], &folder).expect("it compiles").path
    });
    let codes = [0, 1].map(|at| fs::read(&files[at]).expect("it was written"));
    let key = fs::read(path.join(KEY)).expect("it was made");
    Made { engine, folder, path, components, files, codes, key }
});

impl Made {
    /// Whether the code of each component is found in `folder`.
    fn found_in(&self, folder: &CompiledFolder) -> [bool; 2] {
        [0, 1].map(|at| {
            let found = find_compiled(&self.engine, &self.components[at], folder).expect("a component");
            found.is_some_and(|found| {
                assert_eq!((&found.path, found.has_settings), (&self.files[at], false));
                true
            })
        })
    }
}

fn put(path: &Path, bytes: &[u8]) {
    // A file that is mapped is never changed.
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("set");
}

/// `bytes` after one edit, at a place that is counted from the end as well.
fn edited(bytes: &[u8], how: u8, at: u32, text: &[u8]) -> Vec<u8> {
    let at = at as usize % (bytes.len() + 1);
    let at = if how & 8 == 0 { at } else { bytes.len() - at };
    let (head, tail) = bytes.split_at(at);
    match how % 5 {
        0 => head.to_vec(),
        1 => [head, text, tail].concat(),
        2 => [head, text, tail.get(text.len()..).unwrap_or_default()].concat(),
        3 => [head, tail.get(text.len()..).unwrap_or_default()].concat(),
        _ => text.to_vec(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([how, at @ ..], text)) = bytes.split_first_chunk::<5>() else { return };
    let (made, at) = (&*MADE, u32::from_le_bytes(*at));
    let [code, other] = &made.codes;

    let changed = edited(code, *how, at, text);
    put(&made.files[0], &changed);
    assert_eq!(made.found_in(&made.folder), [changed == *code, true]);
    // What Herald wrote, but about another component.
    put(&made.files[0], other);
    assert_eq!(made.found_in(&made.folder), [false, true]);
    put(&made.files[0], code);

    let key = edited(&made.key, *how, at, text);
    put(&made.path.join(KEY), &key);
    match CompiledFolder::open(&made.path) {
        Ok(folder) => {
            assert_eq!(key.len(), made.key.len());
            assert_eq!(made.found_in(&folder), [key == made.key; 2]);
        }
        Err(FolderError::BadKey(path)) => assert!(key.len() != made.key.len() && path == made.path.join(KEY)),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(fs::read(made.path.join(KEY)).expect("it is there"), key, "nobody makes another one");
    put(&made.path.join(KEY), &made.key);
    assert_eq!(made.found_in(&made.folder), [true; 2]);
});
