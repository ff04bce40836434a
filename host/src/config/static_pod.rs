//! Static pod: the flag and the mount by which an API server asks the webhook, put into its manifest or taken out of it, as text
//! (Kubernetes documentation, "Create static Pods" and "Webhook Token Authentication").
//!
//! Lines come and go where the parser of YAML says that lists end; what is not ours stays as it is written. The result is read
//! again before anybody sees it, and has to be the old manifest with exactly the wanted entries more or less.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::{
    error::{Position, Problem},
    node::{self, Key, Node, Value},
    yaml_error::from_yaml,
};

/// Why nothing is changed.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StaticPodError {
    /// The API server has a webhook, and nothing in it says that [`patch`] put it there.
    #[error(
        "it asks the webhook of {found}, not of {wanted}: if `init` wrote that file, give it as --generate-kubeconfig; else edit \
         the manifest by hand"
    )]
    Foreign {
        /// The kubeconfig that its flag names.
        found: String,
        /// The one that was looked for.
        wanted: String,
    },
    /// The API server has a webhook already, or something else has our volume's name.
    #[error("it has {0} already: take that away first")]
    Other(String),
    /// The kubeconfig's place is no absolute path in a folder.
    #[error("{0} is no absolute path of a file in a folder of its own")]
    Path(String),
    /// The manifest runs something else.
    #[error("no container in it runs kube-apiserver with a list of flags")]
    Shape,
    /// The manifest is no YAML, or more than one document.
    #[error("line {at}: {what}")]
    Syntax {
        /// Where.
        at: Position,
        /// What is wrong.
        what: String,
    },
    /// No lines can come or go without touching others.
    #[error("it is written in a way that cannot be changed line by line: edit it by hand")]
    Unsafe,
}

const FLAG: &str = "--authentication-token-webhook-config-file";
const PROGRAM: &str = "kube-apiserver";
/// Name of the volume that holds the kubeconfig.
const VOLUME: &str = "herald-webhook";

/// `text`, the manifest of an API server, with the flag that names `kubeconfig` and the mount that it needs. What is there
/// already is not added.
///
/// # Errors
///
/// [`StaticPodError`]. Nothing is to be written then.
pub fn patch(text: &str, kubeconfig: &Path) -> Result<String, StaticPodError> {
    let (path, folder) = place(kubeconfig)?;
    let pod = Pod::read(text)?;
    let (mut lines, mut wanted) = (Lines::of(text), pod.json.clone());
    if !pod.has_flag(path)? {
        let flag = format!("{FLAG}={path}");
        push(&mut wanted, &pod.pointer(pod.flags), json!(flag));
        lines.append(pod.container()?, pod.flags, &[format!("- {flag}")])?;
    }
    if !pod.is_mounted(folder)? {
        push(&mut wanted, &pod.pointer("volumeMounts"), json!({"mountPath": folder, "name": VOLUME, "readOnly": true}));
        let mount = [format!("- mountPath: {folder}"), format!("  name: {VOLUME}"), "  readOnly: true".to_owned()];
        lines.append(pod.container()?, "volumeMounts", &mount)?;
        if !pod.has_volume(folder)? {
            let host_path = json!({"path": folder, "type": "DirectoryOrCreate"});
            push(&mut wanted, "/spec/volumes", json!({"hostPath": host_path, "name": VOLUME}));
            let volume = ["- hostPath:", &format!("    path: {folder}"), "    type: DirectoryOrCreate"];
            let volume = [&volume.map(str::to_owned)[..], &[format!("  name: {VOLUME}")]].concat();
            lines.append(pod.spec()?, "volumes", &volume)?;
        }
    }
    lines.finish(&wanted)
}

/// `text` without what [`patch`] puts into it: for `kubeconfig`, or for another one that our volume shows the API server.
///
/// # Errors
///
/// [`StaticPodError`]. Nothing is to be written then.
pub fn undo(text: &str, kubeconfig: &Path) -> Result<String, StaticPodError> {
    let (path, _) = place(kubeconfig)?;
    let pod = Pod::read(text)?;
    let (mut lines, mut wanted) = (Lines::of(text), pod.json.clone());
    let flag = pod.our_flag(path)?;
    let is_ours = |entry: &Json| entry["name"] == VOLUME || (flag.is_some() && entry.as_str() == flag);
    let lists = [
        (pod.container()?, pod.flags, pod.pointer(pod.flags)),
        (pod.container()?, "volumeMounts", pod.pointer("volumeMounts")),
        (pod.spec()?, "volumes", "/spec/volumes".to_owned()),
    ];
    for (parent, key, pointer) in lists {
        let Some(entries) = wanted.pointer_mut(&pointer).and_then(Json::as_array_mut) else { continue };
        let ours: Vec<usize> = (0..entries.len()).filter(|at| is_ours(&entries[*at])).collect();
        lines.remove(parent, key, &ours)?;
        entries.retain(|entry| !is_ours(entry));
        let emptied = entries.is_empty() && !ours.is_empty();
        if let Some((above, _)) = pointer.rsplit_once('/')
            && emptied
            && let Some(parent) = wanted.pointer_mut(above).and_then(Json::as_object_mut)
        {
            parent.remove(key);
        }
    }
    lines.finish(&wanted)
}

/// The kubeconfig's path and its folder, if YAML takes them without quotes.
fn place(kubeconfig: &Path) -> Result<(&str, &str), StaticPodError> {
    let wrong = || StaticPodError::Path(kubeconfig.display().to_string());
    let is_plain = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let path = kubeconfig.to_str().filter(is_plain).filter(|text| text.starts_with('/')).ok_or_else(wrong)?;
    let folder = path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty());
    Ok((path, folder.ok_or_else(wrong)?))
}

fn push(json: &mut Json, pointer: &str, entry: Json) {
    let Some((above, key)) = pointer.rsplit_once('/') else { return };
    let Some(parent) = json.pointer_mut(above).and_then(Json::as_object_mut) else { return };
    if let Some(list) = parent.entry(key).or_insert_with(|| json!([])).as_array_mut() {
        list.push(entry);
    }
}

/// A manifest as it is understood, and where things stand in it.
struct Pod {
    json: Json,
    root: Node,
    /// Which container is the API server.
    index: usize,
    /// The list that its flags are in: `args` or `command`.
    flags: &'static str,
}

// === impl Pod ===

impl Pod {
    fn read(text: &str) -> Result<Self, StaticPodError> {
        let root = node::read_whole(text).map_err(|problem| syntax(&problem))?;
        let json: Json = serde_saphyr::from_str(text).map_err(|error| syntax(&from_yaml(&error, text)))?;
        let containers = json["spec"]["containers"].as_array().ok_or(StaticPodError::Shape)?;
        let found = containers.iter().enumerate().find_map(|(index, container)| Some((index, flags_of(container)?)));
        let (index, flags) = found.filter(|_| json["kind"] == "Pod").ok_or(StaticPodError::Shape)?;
        Ok(Self { index, flags, json, root })
    }

    fn pointer(&self, key: &str) -> String {
        format!("/spec/containers/{}/{key}", self.index)
    }

    fn spec(&self) -> Result<Parent<'_>, StaticPodError> {
        let (key, node) = child(&self.root, "spec").ok_or(StaticPodError::Unsafe)?;
        Ok(Parent { line: line_of(key.at)?, node })
    }

    fn container(&self) -> Result<Parent<'_>, StaticPodError> {
        let (_, list) = child(self.spec()?.node, "containers").ok_or(StaticPodError::Unsafe)?;
        let node = items(list).get(self.index).ok_or(StaticPodError::Unsafe)?;
        Ok(Parent { line: line_of(node.at)?, node })
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &Json> {
        self.json.pointer(&self.pointer(key)).and_then(Json::as_array).into_iter().flatten()
    }

    /// The word that is the flag or starts with it, and the file that it names.
    fn flag(&self) -> Option<(&str, &str)> {
        let words: Vec<&str> = self.list("command").chain(self.list("args")).filter_map(Json::as_str).collect();
        let at = words.iter().position(|word| word.split('=').next() == Some(FLAG))?;
        let value = words[at].split_once('=').map(|(_, value)| value).or_else(|| words.get(at + 1).copied());
        Some((words[at], value.unwrap_or_default()))
    }

    /// Whether the flag names `path`; an error if it names another one.
    fn has_flag(&self, path: &str) -> Result<bool, StaticPodError> {
        match self.flag() {
            None => Ok(false),
            Some((_, file)) if file == path => Ok(true),
            Some((word, _)) => Err(StaticPodError::Other(word.to_owned())),
        }
    }

    /// The flag, if it names `path` or what our mount shows: without the mount an API server with it would not start. An error
    /// if it names something else and nothing here is ours.
    fn our_flag(&self, path: &str) -> Result<Option<&str>, StaticPodError> {
        let Some((word, file)) = self.flag() else { return Ok(None) };
        let mounts: Vec<&Json> = self.list("volumeMounts").filter(|mount| mount["name"] == VOLUME).collect();
        let mut folders = mounts.iter().filter_map(|mount| mount["mountPath"].as_str());
        if file != path && !folders.any(|folder| Path::new(file).starts_with(folder)) {
            let foreign = || StaticPodError::Foreign { found: file.to_owned(), wanted: path.to_owned() };
            return if mounts.is_empty() { Err(foreign()) } else { Ok(None) };
        }
        let is_one_entry = word != FLAG && self.list(self.flags).any(|entry| entry == word);
        if is_one_entry { Ok(Some(word)) } else { Err(StaticPodError::Unsafe) }
    }

    /// Whether the container sees the machine's own `folder` there; an error if it sees something else.
    fn is_mounted(&self, folder: &str) -> Result<bool, StaticPodError> {
        let mounts: Vec<&Json> = self.list("volumeMounts").collect();
        let path = |mount: &Json| mount["mountPath"].as_str().map(|path| Path::new(path).to_owned());
        let holds = |mount: &&&Json| path(mount).is_some_and(|path| Path::new(folder).starts_with(path));
        let same =
            |mount: &&Json| mount["subPath"].is_null() && self.host_path(&mount["name"]) == path(mount).as_deref();
        // The deepest one is what is seen.
        let seen = mounts.iter().filter(holds).max_by_key(|mount| path(mount).map(|path| path.components().count()));
        if seen.is_some_and(same) {
            return Ok(true);
        }
        let is_in_the_way = |mount: &Json| mount["name"] == VOLUME || path(mount).as_deref() == Some(Path::new(folder));
        match mounts.iter().find(|mount| is_in_the_way(mount)) {
            Some(mount) => {
                Err(StaticPodError::Other(format!("a mount of {} on {}", mount["name"], mount["mountPath"])))
            }
            None => Ok(false),
        }
    }

    /// The folder of the machine that the volume `name` is.
    fn host_path(&self, name: &Json) -> Option<&Path> {
        let mut volumes = self.json["spec"]["volumes"].as_array()?.iter();
        volumes.find(|volume| volume["name"] == *name)?["hostPath"]["path"].as_str().map(Path::new)
    }

    fn has_volume(&self, folder: &str) -> Result<bool, StaticPodError> {
        let mut volumes = self.json["spec"]["volumes"].as_array().into_iter().flatten();
        let Some(volume) = volumes.find(|volume| volume["name"] == VOLUME) else { return Ok(false) };
        let same = volume["hostPath"]["path"] == folder;
        if same { Ok(true) } else { Err(StaticPodError::Other(format!("a volume {VOLUME}"))) }
    }
}

fn syntax(problem: &Problem) -> StaticPodError {
    let what = problem.to_string();
    // Behind it the parser has advice for those who call it.
    let what = what.split(", set ").next().unwrap_or_default().to_owned();
    StaticPodError::Syntax { at: problem.at.unwrap_or_default(), what }
}

/// The list in which the flags of an API server stand; a shell's script is none.
fn flags_of(container: &Json) -> Option<&'static str> {
    let words = |key: &str| container[key].as_array().map(|list| list.iter().filter_map(Json::as_str));
    let is_program = |word: &str| word.rsplit('/').next() == Some(PROGRAM);
    let by_command = words("command").is_some_and(|mut words| words.any(is_program));
    let by_name = container["command"].is_null() && container["name"] == PROGRAM;
    match words("args").map(Iterator::count) {
        Some(count) if count > 0 && (by_command || by_name) => Some("args"),
        _ if by_command => Some("command"),
        _ => None,
    }
}

/// A map, and the line that it starts on.
#[derive(Clone, Copy)]
struct Parent<'a> {
    line: usize,
    node: &'a Node,
}

fn child<'a>(node: &'a Node, key: &str) -> Option<(&'a Key, &'a Node)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(other, _)| &*other.text == key).map(|(key, node)| (key, node))
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

/// Counted from 0.
fn line_of(at: Position) -> Result<usize, StaticPodError> {
    (at.line as usize).checked_sub(1).ok_or(StaticPodError::Unsafe)
}

/// A text as lines, and what becomes of them.
struct Lines<'a> {
    text: &'a str,
    lines: Vec<&'a str>,
    /// From which line up to which, and what takes their place.
    cuts: Vec<(usize, usize, String)>,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, lines: text.split_inclusive('\n').collect(), cuts: Vec::new() }
    }

    /// Puts an entry at the end of the list `key` of `parent`, which is made if there is none.
    fn append(&mut self, parent: Parent<'_>, key: &str, entry: &[String]) -> Result<(), StaticPodError> {
        let Some((_, list)) = child(parent.node, key) else {
            let Value::Map(entries) = &parent.node.value else { return Err(StaticPodError::Unsafe) };
            let column = entries.first().and_then(|(key, _)| key.at.column.checked_sub(1));
            let column = column.ok_or(StaticPodError::Unsafe)? as usize;
            let at = self.end(parent.line);
            self.insert(at, column, &[&[format!("{key}:")], entry].concat());
            return Ok(());
        };
        let last = items(list).last().ok_or(StaticPodError::Unsafe)?;
        let line = self.dash(last)?;
        let (at, column) = (self.end(line), self.indent(line));
        self.insert(at, column, entry);
        Ok(())
    }

    /// Takes entries out of the list `key` of `parent`, and the list itself if it has no others.
    fn remove(&mut self, parent: Parent<'_>, key: &str, which: &[usize]) -> Result<(), StaticPodError> {
        let Some((key, list)) = child(parent.node, key) else { return Ok(()) };
        for index in which {
            let line = self.dash(items(list).get(*index).ok_or(StaticPodError::Unsafe)?)?;
            self.cuts.push((line, self.end(line), String::new()));
        }
        if !which.is_empty() && which.len() == items(list).len() {
            let line = line_of(key.at)?;
            self.cuts.push((line, line + 1, String::new()));
        }
        Ok(())
    }

    fn insert(&mut self, at: usize, column: usize, entry: &[String]) {
        let break_ = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let open = at == self.lines.len() && !self.text.ends_with('\n');
        let new: String = entry.iter().map(|line| format!("{}{line}{break_}", " ".repeat(column))).collect();
        self.cuts.push((at, at, if open { format!("{break_}{}", new.trim_end()) } else { new }));
    }

    fn dash(&self, item: &Node) -> Result<usize, StaticPodError> {
        let line = line_of(item.at)?;
        let is_dash = self.lines.get(line).is_some_and(|line| line.trim_start().starts_with("- "));
        if is_dash { Ok(line) } else { Err(StaticPodError::Unsafe) }
    }

    fn indent(&self, line: usize) -> usize {
        self.lines.get(line).map_or(0, |line| line.len() - line.trim_start().len())
    }

    /// The line behind what belongs to the one numbered `line`, without comments and empty lines.
    fn end(&self, line: usize) -> usize {
        let mut end = line + 1;
        for (number, text) in self.lines.iter().enumerate().skip(end) {
            let content = text.trim_start();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if self.indent(number) <= self.indent(line) {
                break;
            }
            end = number + 1;
        }
        end
    }

    /// The new text, if it says `wanted` and nothing else.
    fn finish(mut self, wanted: &Json) -> Result<String, StaticPodError> {
        // What was asked for later stands further down, where both are at one line.
        self.cuts.sort_by_key(|(from, ..)| *from);
        let (mut text, mut next) = (String::with_capacity(self.text.len() + 512), 0);
        for (from, to, new) in &self.cuts {
            text.extend(self.lines.get(next..*from).ok_or(StaticPodError::Unsafe)?.iter().copied());
            text.push_str(new);
            next = *to;
        }
        text.extend(self.lines.get(next..).ok_or(StaticPodError::Unsafe)?.iter().copied());
        let read: Option<Json> = serde_saphyr::from_str(&text).ok();
        if read.as_ref() == Some(wanted) { Ok(text) } else { Err(StaticPodError::Unsafe) }
    }
}

#[cfg(test)]
mod tests;
