//! Manifests: mappings in the shape of Kubernetes objects, as `kubectl get -o yaml` prints them and people keep
//! them in repositories: `aws-auth` ConfigMaps, identity mapping objects, and ConfigMaps that hold a configuration. Tables of
//! policies are among them.
//!
//! A text inside a document (`mapRoles: |`) is read in its place, by blanking what stands before it, so that what
//! is said of it names the line of the file. Where that cannot be, as in a quoted text, its key is named.

use std::{collections::BTreeSet, path::Path};

use super::{
    Checked, CheckedFile, Config, Source,
    entry::{Entries, Place, Style, UserIds, value},
    error::{Position, Problem, did_you_mean},
    file,
    finding::{CheckId, Finding, Findings, Severity},
    node::{self, Key, Node, Section, Value},
    sources::{
        NAMESPACE, config_map, dynamic_file, identity_mapping,
        table::{self, POLICY_TABLE},
    },
    together::Origin,
};
use crate::{
    caller::AccountId,
    kubernetes::watch::{Object, TOO_LARGE},
    policy::TableSource,
    provider::Cloud,
};

mod objects;

pub(super) use objects::OtherMap;

/// Kinds of objects that are a mapping each.
const IDENTITIES: [&str; 2] = [identity_mapping::TARGET.kind, identity_mapping::RAM_TARGET.kind];
/// ConfigMaps that hold mappings.
const AUTH_MAPS: [&str; 2] = [config_map::AWS_AUTH, config_map::ALIBABACLOUD_AUTH];
/// The key of a ConfigMap that its documents stand under.
const DATA: &str = "data";
/// How entries are read and named: as the sources do that follow these objects.
const STYLE: Style = Style { under: DATA, shared: true, user_ids: UserIds::Idle, globs: false, sessions: &[] };
/// Most documents in a file.
pub(super) const MAX_DOCUMENTS: usize = 1_000;
/// Most empty lines in front of all of them together.
const MAX_BLANKS: usize = 64 << 20;

/// The objects of one file.
struct Objects<'a> {
    file: &'a Path,
    /// The cloud of a configuration that names none.
    usual: Cloud,
    findings: Findings,
    /// Texts inside documents, each with where it stands, by what reads them.
    lists: Vec<(Origin, Section, Inner)>,
    accounts: Vec<(Origin, Inner)>,
    /// Those of identity mappings.
    specs: Vec<Spec>,
    parts: Vec<Checked>,
    /// No part of it is unknown because it could not be read.
    readable: bool,
    /// There is an `aws-auth`, which says that nobody is let in if it is empty.
    is_aws_auth: bool,
    config_maps: Vec<OtherMap>,
}

/// The `spec` of an object.
struct Spec {
    /// Which document it is of.
    document: usize,
    kind: &'static str,
    /// The object's name, if it is told.
    name: Box<str>,
    node: Node,
}

/// A text inside a document.
struct Inner {
    /// The text, in its place if that is known.
    text: String,
    /// The value's key, if the text is not in its place.
    outside: Option<Position>,
}

/// Reads `text` as what stands in `file`: a configuration, or manifests. Tokens are of cloud `usual` where a configuration
/// names none.
pub(super) fn check(usual: Cloud, file: &Path, text: String) -> CheckedFile {
    let documents = documents(&text);
    let roots: Vec<_> = documents.iter().map(|document| node::read(document, &mut |_, _, _| ())).collect();
    if !roots.iter().any(|root| root.as_ref().is_ok_and(is_object)) {
        let dynamic = |root: &Node| !is_configuration(root) && dynamic_file::is_dynamic_file(root, &text);
        let is_dynamic = matches!(&roots[..], [Ok(root)] if dynamic(root));
        let checked = match is_dynamic {
            true => dynamic_file::check(&text, UserIds::Unknown),
            false => file::parse_for(usual, file, &text),
        };
        return CheckedFile::of(text, checked);
    }
    let mut objects = Objects::new(usual, file);
    for (index, root) in roots.into_iter().enumerate() {
        match root {
            Ok(root) => objects.add(index, root, &documents[index]),
            Err(problem) => {
                objects.readable = false;
                objects.findings.refuse(problem);
            }
        }
    }
    let config_maps = std::mem::take(&mut objects.config_maps);
    let (findings, parts, is_manifest) = objects.finish(&documents);
    CheckedFile { text, findings, parts, is_manifest, config_maps }
}

/// Each document of `text`, behind as many empty lines as stand before it. Its lines cannot start with `---`
/// (YAML 1.2.2, "Document Markers"), so that no parser is needed to tell them apart.
pub(super) fn documents(text: &str) -> Vec<String> {
    let (mut documents, mut started, mut blanks) = (vec![String::new()], false, 0);
    for (line, piece) in text.split_inclusive('\n').enumerate() {
        let marker =
            piece.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && started && documents.len() < MAX_DOCUMENTS && blanks + line <= MAX_BLANKS {
            documents.push("\n".repeat(line));
            (started, blanks) = (false, blanks + line);
        }
        if let Some(last) = documents.last_mut() {
            last.push_str(piece);
        }
        started |= is_content(piece);
    }
    if documents.len() > 1 && !started {
        documents.pop();
    }
    documents
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with(['#', '%']) && line != "---"
}

pub(super) fn is_object(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    ["apiVersion", "kind"].iter().all(|key| exact(entries, key).is_some())
}

fn exact<'n>(entries: &'n [(Key, Node)], key: &str) -> Option<&'n Node> {
    entries.iter().find(|(other, _)| *other.text == *key).map(|(_, node)| node)
}

pub(super) fn is_configuration(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if ["clusterID", "server"].iter().any(|key| value(entries, key).is_some()))
}

/// The name in `metadata`; empty if there is none.
fn name_in(metadata: Option<&Node>) -> Box<str> {
    let Some(Node { value: Value::Map(entries), .. }) = metadata else { return Box::default() };
    exact(entries, "name").and_then(Node::plain).unwrap_or_default().into()
}

// === impl Objects ===

impl<'a> Objects<'a> {
    fn new(usual: Cloud, file: &'a Path) -> Self {
        let (findings, lists, accounts) = (Findings::default(), Vec::new(), Vec::new());
        Self {
            file,
            usual,
            findings,
            lists,
            accounts,
            specs: Vec::new(),
            parts: Vec::new(),
            readable: true,
            is_aws_auth: false,
            config_maps: Vec::new(),
        }
    }

    fn add(&mut self, document: usize, root: Node, source: &str) {
        // A document by itself starts where its text does.
        let blank = source.len() - source.trim_start_matches('\n').len();
        let top = Position { line: u32::try_from(blank + 1).unwrap_or(u32::MAX), column: 1 };
        let at = if root.at.line == 1 { top } else { root.at };
        if !is_object(&root) {
            if is_configuration(&root) {
                self.configuration(file::parse_for(self.usual, self.file, source));
            } else if !matches!(root.value, Value::Null) {
                self.note(at, "neither a configuration nor an object of Kubernetes: not checked");
            }
            return;
        }
        let Value::Map(mut entries) = root.value else { return };
        let word = |key: &str| exact(&entries, key).and_then(Node::plain).unwrap_or_default().to_owned();
        let (kind, group) = (word("kind"), word("apiVersion"));
        let group = group.split('/').next().unwrap_or_default();
        let is_table = kind == POLICY_TABLE.kind && group == POLICY_TABLE.group;
        // What is not read need not be small.
        let is_read = kind == "ConfigMap" || is_table || IDENTITIES.contains(&kind.as_str());
        let object = if is_read { objects::object(&entries) } else { Object::default() };
        let mut take = |key: &str| {
            let index = entries.iter().position(|(other, _)| *other.text == *key)?;
            Some(entries.swap_remove(index).1)
        };
        match (kind.as_str(), IDENTITIES.into_iter().find(|identity| *identity == kind)) {
            ("ConfigMap", _) => {
                let metadata = match take("metadata").map(|metadata| metadata.value) {
                    Some(Value::Map(entries)) => entries,
                    _ => Vec::new(),
                };
                let data = match take(DATA).map(|data| data.value) {
                    Some(Value::Map(data)) => data,
                    _ => Vec::new(),
                };
                let text = |key| exact(&metadata, key).and_then(|node| Some((node.plain()?, node.at)));
                let name = text("name").map_or("", |(name, _)| name);
                if !AUTH_MAPS.contains(&name) {
                    let namespace = text("namespace").map(|(namespace, _)| namespace.into());
                    self.config_maps.push(OtherMap { name: name.into(), namespace, at, object });
                    return self.other_map(data, source);
                }
                self.is_aws_auth |= name == config_map::AWS_AUTH;
                // A tool that applies the manifest may know the namespace.
                if let Some((_, at)) = text("namespace").filter(|(namespace, _)| *namespace != NAMESPACE) {
                    let problem = Problem::new(at, format!("is not read: it is not in the namespace `{NAMESPACE}`"));
                    self.findings
                        .remark(Severity::Warning, problem.id(CheckId::NoEffect).under("metadata.namespace", at));
                    return self.auth_map(&Origin::Nowhere, data, source);
                }
                if object.is_too_large {
                    self.readable = false;
                    return self.findings.refuse(Problem::new(at, TOO_LARGE).under(name, at));
                }
                let source_of = if name == config_map::AWS_AUTH { Source::EksConfigMap } else { Source::AckConfigMap };
                self.auth_map(&Origin::Live(source_of), data, source);
            }
            (_, Some(kind)) => match take("spec") {
                Some(spec) => {
                    let name = name_in(take("metadata").as_ref());
                    if let Some(mut problem) = identity_mapping::beyond_bounds(&object) {
                        problem.at = Some(spec.at);
                        let place = Place::Spec(name);
                        return self.findings.left_out(place.of(problem, Section::Identities, "", spec.at));
                    }
                    self.specs.push(Spec { document, kind, name, node: spec });
                }
                None => self.findings.left_out(Problem::new(at, "the key `spec` is missing").id(CheckId::MissingKey)),
            },
            (_, None) if is_table => {
                let name = name_in(take("metadata").as_ref());
                let table = TableSource::Object { name: name.to_string() };
                if let Some(why) = table::refusal(&table, &object) {
                    self.findings.refuse(Problem::new(at, why).under(&name, at));
                }
            }
            (kind, None) if kind.ends_with("List") => {
                let Some(Node { value: Value::List(items), .. }) = take("items") else { return };
                items.into_iter().for_each(|item| self.add(document, item, source));
            }
            (kind, None) => self.note(at, &format!("a {kind} holds no mappings: not checked")),
        }
    }

    fn note(&mut self, at: Position, what: &str) {
        self.findings.remark(Severity::Note, Problem::new(at, what).id(CheckId::UnknownKind));
    }

    fn auth_map(&mut self, origin: &Origin, data: Vec<(Key, Node)>, source: &str) {
        for (key, node) in data {
            let section = match &*key.text {
                "mapRoles" => Some(Section::Roles),
                "mapUsers" => Some(Section::Users),
                "mapAccounts" => None,
                _ => {
                    let hint = did_you_mean(&key.text, config_map::DOCUMENTS);
                    let problem = Problem::new(key.at, format!("the key `{}` has no effect", key.text));
                    let problem = problem.id(CheckId::NoEffect).maybe(hint).under(&key.text, key.at);
                    self.findings.remark(Severity::Warning, problem.under(DATA, key.at));
                    continue;
                }
            };
            let full = |problem: Problem| problem.under(&key.text, node.at).under(DATA, node.at);
            match node.text(source) {
                Ok(text) if config_map::is_nothing(text) => {}
                Ok(text) => {
                    let inner = Inner::new(&key, text, source);
                    match section {
                        Some(section) => self.lists.push((origin.clone(), section, inner)),
                        None => self.accounts.push((origin.clone(), inner)),
                    }
                }
                Err(_) if matches!(node.value, Value::Null) => {}
                Err(_) => {
                    let what = format!("expected a text, found {}", node.value.noun());
                    let fix = format!("write `{}: |`, and the list below it", key.text);
                    self.findings.left_out(full(Problem::new(node.at, what).fix(fix)));
                }
            }
        }
    }

    /// A ConfigMap may hold the configuration itself.
    fn other_map(&mut self, data: Vec<(Key, Node)>, source: &str) {
        for (key, node) in data {
            let is_one = |text: &&str| node::read(text, &mut |_, _, _| ()).is_ok_and(|root| is_configuration(&root));
            if let Some(text) = node.plain().filter(is_one) {
                let inner = Inner::new(&key, text, source);
                let mut checked = file::parse_for(self.usual, self.file, &inner.text);
                checked.findings = inner.placed(std::mem::take(&mut checked.findings));
                self.configuration(checked);
            }
        }
    }

    fn configuration(&mut self, checked: Checked) {
        checked.findings.iter().cloned().for_each(|finding| self.findings.push(finding));
        self.parts.push(checked);
    }

    fn finish(mut self, documents: &[String]) -> (Vec<Finding>, Vec<Checked>, bool) {
        let is_auth_map = !(self.lists.is_empty() && self.accounts.is_empty());
        let is_manifest = is_auth_map || self.is_aws_auth || !self.specs.is_empty();
        let (lists, accounts, specs) =
            (std::mem::take(&mut self.lists), std::mem::take(&mut self.accounts), std::mem::take(&mut self.specs));
        for origin in [Origin::Live(Source::EksConfigMap), Origin::Live(Source::AckConfigMap), Origin::Nowhere] {
            self.auth_maps(origin, &lists, &accounts);
        }
        // Other sources, and so nobody's duplicates.
        for (kind, source) in IDENTITIES.into_iter().zip([Source::Crd, Source::RamIdentityMapping]) {
            let globs = source == Source::RamIdentityMapping;
            let mut entries = Entries::new("", Style { globs, sessions: identity_mapping::SESSIONS, ..STYLE });
            for spec in specs.iter().filter(|spec| spec.kind == kind) {
                entries.source = &documents[spec.document];
                entries.add(Section::Identities, Place::Spec(spec.name.clone()), &spec.node);
            }
            self.part(Origin::Live(source), None, entries, BTreeSet::new(), self.readable);
        }
        (self.findings.finish(), self.parts, is_manifest)
    }

    /// What the ConfigMaps of one `origin` say.
    fn auth_maps(&mut self, origin: Origin, lists: &[(Origin, Section, Inner)], accounts: &[(Origin, Inner)]) {
        let mut readable = self.readable;
        let mut outside = None;
        let mut entries = Entries::new("", STYLE);
        for (_, section, inner) in lists.iter().filter(|(of, ..)| *of == origin) {
            let section = *section;
            entries.source = &inner.text;
            let before = entries.findings.len();
            match config_map::items(&inner.text) {
                Ok(items) => {
                    items.iter().enumerate().for_each(|(index, node)| entries.add(section, Place::Item(index), node));
                }
                Err(problem) => {
                    readable = false;
                    let at = Position::default();
                    entries.findings.whole_list(problem.under(section.key(), at).under(DATA, at));
                }
            }
            entries.findings.place_from(before, inner.outside);
            outside = outside.or(inner.outside);
        }
        let mut map_accounts = BTreeSet::new();
        for (_, inner) in accounts.iter().filter(|(of, _)| *of == origin) {
            let before = entries.findings.len();
            let list = config_map::account_list(&inner.text, &[DATA, config_map::ACCOUNTS]);
            match config_map::items(&inner.text) {
                Ok(items) => map_accounts.extend(list.read(&items, &mut entries.findings)),
                Err(problem) => entries.findings.whole_list(list.placed(problem, Position::default())),
            }
            entries.findings.place_from(before, inner.outside);
        }
        self.part(origin, outside, entries, map_accounts, readable);
    }

    /// What one source would have in force.
    fn part(
        &mut self,
        origin: Origin,
        outside: Option<Position>,
        entries: Entries<'_>,
        map_accounts: BTreeSet<AccountId>,
        readable: bool,
    ) {
        let (rules, findings, census) = entries.finish();
        findings.finish().into_iter().for_each(|finding| self.findings.push(finding));
        let config = Config { rules: rules.into(), map_accounts, ..Config::default() };
        self.parts.push(Checked { readable, origin, outside, ..Checked::new(config, Findings::default(), census) });
    }
}

// === impl Inner ===

impl Inner {
    /// `text` as the value of `key` in `source`.
    fn new(key: &Key, text: &str, source: &str) -> Self {
        let first = key.at.line as usize;
        let literal = source.lines().nth(first - 1).is_some_and(|line| {
            let value = line.rsplit_once(": ").map_or("", |(_, value)| value);
            matches!(value.split(" #").next().unwrap_or_default().trim(), "|" | "|-" | "|+")
        });
        // With blanks before it a marker of documents is none.
        let marked = text.lines().any(|line| ["---", "...", "%"].iter().any(|marker| line.starts_with(marker)));
        if !literal || marked {
            return Self { text: text.to_owned(), outside: Some(key.at) };
        }
        // As many lines as the text has: its last line breaks may be more or fewer than are written.
        let lines = text.trim_end().lines().count();
        let mut placed = "\n".repeat(first);
        for line in source.lines().skip(first).take(lines) {
            placed.push_str(line);
            placed.push('\n');
        }
        Self { text: placed, outside: None }
    }

    fn placed(&self, findings: Vec<Finding>) -> Vec<Finding> {
        findings.into_iter().map(|finding| finding.placed(self.outside)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_far_down_take_no_more_memory_than_is_given_them() {
        let text = "\n".repeat(100_000) + &"---\na: 1\n".repeat(MAX_DOCUMENTS);
        let documents = documents(&text);
        assert!(documents.len() > 1);
        assert!(documents.iter().map(String::len).sum::<usize>() <= MAX_BLANKS + text.len());
    }
}
