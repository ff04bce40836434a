//! The contract in `wit/`: frozen once released, and documented item by item.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use wit_parser::{Docs, Interface, Resolve, TypeDef, TypeDefKind, UnresolvedPackageGroup};

/// Each version's folder and its SHA-256, over every file's name and bytes in order of name. A released
/// version never changes; see `wit/README.md` for what to do instead.
const FROZEN: &[(&str, &str)] = &[("v0.1.0", "caedeb43e06fc3c4300c8a5a6e598e147739c89bb316d212e30eaaf1124c4861")];

#[test]
fn versions_are_frozen() {
    let found: Vec<_> = versions().iter().map(|folder| (name(folder), digest(folder))).collect();
    let found: Vec<_> = found.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
    assert_eq!(found, FROZEN);
}

#[test]
fn folders_are_named_by_their_package() {
    for folder in versions() {
        let (resolve, package) = parse(&folder);
        assert_eq!(resolve.packages[package].name.to_string(), name(&folder).replacen('v', "herald:policy@", 1));
    }
}

#[test]
fn every_item_has_words() {
    for folder in versions() {
        let (resolve, package) = parse(&folder);
        let package = &resolve.packages[package];
        let mut bare = Bare(Vec::new());
        bare.check("package", &package.docs);
        for (name, id) in &package.interfaces {
            bare.interface(name, &resolve.interfaces[*id], &resolve);
        }
        for (name, id) in &package.worlds {
            bare.check(name, &resolve.worlds[*id].docs);
        }
        assert_eq!(bare.0, Vec::<String>::new(), "items without words in {}", folder.display());
    }
}

#[test]
fn the_test_for_words_finds_what_has_none() {
    let text = "/// P\npackage a:b@0.1.0;\ninterface i { record r { f: u8 } enum e { c } x: func(); }";
    let mut resolve = Resolve::default();
    let package = resolve.push_group(UnresolvedPackageGroup::parse("x.wit", text).unwrap()).unwrap();
    let mut bare = Bare(Vec::new());
    for (name, id) in &resolve.packages[package].interfaces {
        bare.interface(name, &resolve.interfaces[*id], &resolve);
    }
    assert_eq!(bare.0, ["i", "i.r", "i.r.f", "i.e", "i.e.c", "i.x"]);
}

/// Paths of the items that have no documentation.
struct Bare(Vec<String>);

impl Bare {
    fn check(&mut self, path: &str, docs: &Docs) {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            self.0.push(path.to_owned());
        }
    }

    fn interface(&mut self, path: &str, interface: &Interface, resolve: &Resolve) {
        self.check(path, &interface.docs);
        for (name, id) in &interface.types {
            self.type_def(&format!("{path}.{name}"), &resolve.types[*id]);
        }
        for (name, function) in &interface.functions {
            self.check(&format!("{path}.{name}"), &function.docs);
        }
    }

    fn type_def(&mut self, path: &str, def: &TypeDef) {
        let mut members = |members: Vec<(&String, &Docs)>| {
            self.check(path, &def.docs);
            members.into_iter().for_each(|(name, docs)| self.check(&format!("{path}.{name}"), docs));
        };
        match &def.kind {
            TypeDefKind::Record(record) => members(record.fields.iter().map(|f| (&f.name, &f.docs)).collect()),
            TypeDefKind::Enum(cases) => members(cases.cases.iter().map(|c| (&c.name, &c.docs)).collect()),
            TypeDefKind::Variant(cases) => members(cases.cases.iter().map(|c| (&c.name, &c.docs)).collect()),
            TypeDefKind::Flags(flags) => members(flags.flags.iter().map(|f| (&f.name, &f.docs)).collect()),
            // A `use` of another interface's type, documented there.
            TypeDefKind::Type(_) => {}
            _ => members(Vec::new()),
        }
    }
}

fn parse(folder: &Path) -> (Resolve, wit_parser::PackageId) {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_dir(folder).expect("a good package");
    (resolve, package)
}

fn versions() -> Vec<PathBuf> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut folders: Vec<_> = entries(&wit).into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn digest(folder: &Path) -> String {
    let mut files = entries(folder);
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let bytes = fs::read(&file).expect("a file");
        hash.update(format!("{} {}\n", name(&file), bytes.len()));
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned()
}
