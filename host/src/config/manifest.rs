//! Manifests: mappings in the shape of Kubernetes objects, as `kubectl get -o yaml` prints them and people keep
//! them in repositories: `aws-auth` ConfigMaps, IAMIdentityMappings, and ConfigMaps that hold a configuration.
//!
//! A text inside a document (`mapRoles: |`) is read in its place, by blanking what stands before it, so that what
//! is said of it names the line of the file. Where that cannot be, as in a quoted text, its key is named.

use std::path::Path;

use super::{
    Checked, CheckedFile, Config,
    entry::{Entries, accounts_as_written, value},
    error::{Position, Problem},
    file,
    finding::{CheckId, Finding, Findings, Severity},
    node::{self, Key, Node, Section, Value},
};

/// Kinds of objects that are one mapping each.
const IDENTITY_MAPPINGS: [&str; 2] = ["IAMIdentityMapping", "RAMIdentityMapping"];
/// ConfigMaps that hold mappings.
const AUTH_MAPS: [&str; 2] = ["aws-auth", "alibabacloud-auth"];
/// The keys of such a ConfigMap, whose case counts.
const AUTH_KEYS: [&str; 3] = ["mapRoles", "mapUsers", "mapAccounts"];
/// Values that stand for nothing, as tools leave them behind.
const NOTHING: [&str; 4] = ["", "``", "\"\"", "''"];
/// Most documents in a file.
const MAX_DOCUMENTS: usize = 1_000;

/// The objects of one file.
struct Objects<'a> {
    file: &'a Path,
    findings: Findings,
    /// Texts inside documents, each with where it stands.
    lists: Vec<(Section, Inner)>,
    accounts: Vec<Inner>,
    /// `spec`s and the document that they are of.
    specs: Vec<(usize, Node)>,
    parts: Vec<Checked>,
    /// No part of it is unknown because it could not be read.
    readable: bool,
}

/// A text inside a document.
struct Inner {
    /// The text, in its place if that is known.
    text: String,
    /// The value's key, if the text is not in its place.
    outside: Option<Position>,
}

/// Reads `text` as what stands in `file`: a configuration, or manifests.
pub(super) fn check(file: &Path, text: String) -> CheckedFile {
    let documents = documents(&text);
    let roots: Vec<_> = documents.iter().map(|document| node::read(document, &mut |_, _, _| ())).collect();
    if !roots.iter().any(|root| root.as_ref().is_ok_and(is_object)) {
        let checked = file::parse(file, &text);
        return CheckedFile { findings: checked.findings.clone(), parts: vec![checked], is_manifest: false, text };
    }
    let mut objects = Objects::new(file);
    for (index, root) in roots.into_iter().enumerate() {
        match root {
            Ok(root) => objects.add(index, root, &documents[index]),
            Err(problem) => {
                objects.readable = false;
                objects.findings.refuse(problem);
            }
        }
    }
    let (findings, parts, is_manifest) = objects.finish(&documents);
    CheckedFile { text, findings, parts, is_manifest }
}

/// Each document of `text`, behind as many empty lines as stand before it. Its lines cannot start with `---`
/// (YAML 1.2.2, "Document Markers"), so that no parser is needed to tell them apart.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for (line, piece) in text.split_inclusive('\n').enumerate() {
        let marker =
            piece.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        let started = documents.last().is_some_and(|last| last.lines().any(is_content));
        if marker && started && documents.len() < MAX_DOCUMENTS {
            documents.push("\n".repeat(line));
        }
        if let Some(last) = documents.last_mut() {
            last.push_str(piece);
        }
    }
    if documents.len() > 1 && !documents.last().is_some_and(|last| last.lines().any(is_content)) {
        documents.pop();
    }
    documents
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with(['#', '%']) && line != "---"
}

fn is_object(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    ["apiVersion", "kind"].iter().all(|key| exact(entries, key).is_some())
}

fn exact<'n>(entries: &'n [(Key, Node)], key: &str) -> Option<&'n Node> {
    entries.iter().find(|(other, _)| *other.text == *key).map(|(_, node)| node)
}

fn is_configuration(root: &Node) -> bool {
    matches!(&root.value, Value::Map(entries) if ["clusterID", "server"].iter().any(|key| value(entries, key).is_some()))
}

// === impl Objects ===

impl<'a> Objects<'a> {
    fn new(file: &'a Path) -> Self {
        let (findings, lists, accounts) = (Findings::default(), Vec::new(), Vec::new());
        Self { file, findings, lists, accounts, specs: Vec::new(), parts: Vec::new(), readable: true }
    }

    fn add(&mut self, document: usize, root: Node, source: &str) {
        // A document by itself starts where its text does.
        let blank = source.len() - source.trim_start_matches('\n').len();
        let top = Position { line: u32::try_from(blank + 1).unwrap_or(u32::MAX), column: 1 };
        let at = if root.at.line == 1 { top } else { root.at };
        if !is_object(&root) {
            if is_configuration(&root) {
                self.configuration(file::parse(self.file, source));
            } else if !matches!(root.value, Value::Null) {
                self.note(at, "neither a configuration nor an object of Kubernetes: not checked");
            }
            return;
        }
        let Value::Map(mut entries) = root.value else { return };
        let kind = exact(&entries, "kind").and_then(Node::plain).unwrap_or_default().to_owned();
        let mut take = |key: &str| {
            let index = entries.iter().position(|(other, _)| *other.text == *key)?;
            Some(entries.swap_remove(index).1)
        };
        match kind.as_str() {
            "ConfigMap" => {
                let name = take("metadata").and_then(|metadata| match metadata.value {
                    Value::Map(entries) => exact(&entries, "name").and_then(Node::plain).map(str::to_owned),
                    _ => None,
                });
                let Some(Node { value: Value::Map(data), .. }) = take("data") else { return };
                if AUTH_MAPS.contains(&name.as_deref().unwrap_or_default()) {
                    self.auth_map(data, source);
                } else {
                    self.other_map(data, source);
                }
            }
            kind if IDENTITY_MAPPINGS.contains(&kind) => match take("spec") {
                Some(spec) => self.specs.push((document, spec)),
                None => self.findings.left_out(Problem::new(at, "the key `spec` is missing").id(CheckId::MissingKey)),
            },
            kind if kind.ends_with("List") => {
                let Some(Node { value: Value::List(items), .. }) = take("items") else { return };
                items.into_iter().for_each(|item| self.add(document, item, source));
            }
            kind => self.note(at, &format!("a {kind} holds no mappings: not checked")),
        }
    }

    fn note(&mut self, at: Position, what: &str) {
        self.findings.remark(Severity::Note, Problem::new(at, what).id(CheckId::UnknownKind));
    }

    fn auth_map(&mut self, data: Vec<(Key, Node)>, source: &str) {
        for (key, node) in data {
            let section = match &*key.text {
                "mapRoles" => Some(Section::Roles),
                "mapUsers" => Some(Section::Users),
                "mapAccounts" => None,
                _ => {
                    let meant = AUTH_KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(&key.text));
                    let hint = meant.map(|known| format!("write `{known}`"));
                    let problem = Problem::new(key.at, format!("the key `{}` has no effect", key.text));
                    let problem = problem.id(CheckId::NoEffect).maybe(hint).under(&key.text, key.at);
                    self.findings.remark(Severity::Warning, problem.under("data", key.at));
                    continue;
                }
            };
            let full = |problem: Problem| problem.under(&key.text, node.at).under("data", node.at);
            match node.text(source) {
                Ok(text) if NOTHING.contains(&text.trim()) => {}
                Ok(text) => {
                    let inner = Inner::new(&key, text, source);
                    match section {
                        Some(section) => self.lists.push((section, inner)),
                        None => self.accounts.push(inner),
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
            let Some(text) = node.plain() else { continue };
            let inner = Inner::new(&key, text, source);
            if node::read(&inner.text, &mut |_, _, _| ()).is_ok_and(|root| is_configuration(&root)) {
                let mut checked = file::parse(self.file, &inner.text);
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
        let is_manifest = !(self.lists.is_empty() && self.accounts.is_empty() && self.specs.is_empty());
        let mut readable = self.readable;
        let mut entries = Entries::new("", "data");
        for (section, inner) in &self.lists {
            entries.source = &inner.text;
            let before = entries.findings.len();
            let read =
                node::read_list(&inner.text, *section, &mut |section, index, node| entries.add(section, index, &node));
            let wrong = match read {
                Ok(Node { value: Value::Null, .. }) => None,
                Ok(node) => Some(Problem::new(node.at, format!("expected a list, found {}", node.value.noun()))),
                Err(problem) => Some(problem),
            };
            if let Some(problem) = wrong {
                readable = false;
                entries.forget_last(before);
                let problem = problem.under(section.key(), Position::default()).under("data", Position::default());
                entries.findings.whole_list(problem);
            }
            entries.findings.place_from(before, inner.outside);
        }
        for inner in &self.accounts {
            let before = entries.findings.len();
            accounts_as_written(&inner.text, &mut entries.findings);
            entries.findings.place_from(before, inner.outside);
        }
        for (document, spec) in &self.specs {
            entries.source = &documents[*document];
            entries.add(Section::Identities, 0, spec);
        }
        let (rules, findings, census) = entries.finish();
        findings.finish().into_iter().for_each(|finding| self.findings.push(finding));
        let config = Config { rules: rules.into(), ..Config::default() };
        let mut mappings = Checked::new(config, Findings::default(), census);
        mappings.readable = readable;
        self.parts.push(mappings);
        (self.findings.finish(), self.parts, is_manifest)
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
        if !literal {
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
