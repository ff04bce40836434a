//! DynamicFile: a JSON file of mappings that other programs write, `{"LastUpdatedDateTime": "…", "Version": "…",
//! "mapRoles": […], "mapUsers": […], "mapAccounts": […]}`.
//!
//! A file that does not parse, or cannot be read, leaves the last good one in force; a file that is gone maps nobody.
//! What could not be read is tried again with every look: it may become readable without being changed.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::de::IgnoredAny;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    aside,
    keeper::{self, Keeper, Read},
};
use crate::{
    MISTAKE,
    config::{
        Checked, Config, Source,
        accounts::{self, Accounts, Numbers},
        backend_mode,
        de::twice,
        entry::{Entries, Place, Style, UserIds, value},
        error::Problem,
        file,
        files::{Stamp, Watcher},
        finding::Findings,
        node::{self, Key, Node, Value},
        remark::Census,
        together::Origin,
    },
    mapping::Mappings,
    provider::Cloud,
};

/// How long changes are collected before they are looked at.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How often the file is looked at without being told, e.g. because its folder was not there before.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After so many looks the folder is watched anew, in case it is another one.
const WATCH_ANEW: u64 = 30;
/// Lists of a file, which must be lists.
const LISTS: [&str; 2] = ["mapRoles", "mapUsers"];
const ACCOUNTS: &str = "mapAccounts";
const LAST_UPDATED: &str = "LastUpdatedDateTime";
const STYLE: Style = Style { under: "", shared: true, user_ids: UserIds::Idle, globs: false, sessions: &Cloud::ALL };
/// The label of a mistake of ours.
const NOT_TAKEN: &str = "source_not_taken";

/// Keeps a [`Keeper`] in step with one file.
struct Follower {
    path: PathBuf,
    by_user_id: bool,
    keeper: Keeper,
    /// How the file looked last.
    seen: Option<Vec<Stamp>>,
    /// Whether what it said then is in force, or is no such file.
    is_judged: bool,
}

/// Why what stands in a file is not in force.
enum Failure {
    /// It was read whole, and is no such file.
    Refused(String),
    /// It cannot be read at the moment.
    Unreadable(String),
}

/// What a file says.
struct Parsed {
    mappings: Mappings,
    findings: Findings,
    census: Census,
    /// When it was written, by its own word.
    written: Option<SystemTime>,
}

/// Keeps `keeper` in step with the file at `path`, for ever.
pub(super) async fn follow(path: PathBuf, by_user_id: bool, keeper: Keeper) {
    // One sender stays here, so that without a watcher nothing comes instead of the end.
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher = Watcher::new(sender.clone());
    let mut follower = Follower { path, by_user_id, keeper, seen: None, is_judged: false };
    let mut is_told = false;
    for look in 0_u64.. {
        let changed = follower.look(is_told).await;
        if changed || look % WATCH_ANEW == 0 {
            let file = follower.path.as_path();
            watcher.follow(std::iter::once(file).filter(|path| path.parent().is_some_and(Path::exists)));
        }
        is_told = timeout(LOOK_AGAIN, changes.recv()).await.is_ok();
        if is_told {
            sleep(DEBOUNCE).await;
            while changes.try_recv().is_ok() {}
        }
    }
}

// === impl Follower ===

impl Follower {
    /// Reads the file if there may be something new in it, which there may be if somebody `is_told` so. Gives whether it
    /// looks otherwise than before.
    async fn look(&mut self, is_told: bool) -> bool {
        let stamp = Some(Stamp::of(std::iter::once(self.path.as_path())));
        let changed = self.seen != stamp;
        if changed || is_told || !self.is_judged {
            self.seen = stamp;
            self.is_judged = self.read().await;
        } else if self.keeper.is_well()
            && let Err(mistake) = self.take(None)
        {
            self.keeper.failed(NOT_TAKEN, &format!("{}: {mistake}", self.path.display()));
            self.is_judged = false;
        }
        changed
    }

    /// Reads the file and puts it in force. Gives whether it was judged, one way or the other.
    async fn read(&mut self) -> bool {
        let (file, by_user_id) = (self.path.clone(), self.by_user_id);
        let loaded = tokio::task::spawn_blocking(move || load(&file, by_user_id)).await;
        let (reason, why) = match loaded.map(|loaded| loaded.map(|read| aside(|| self.take(Some(read))))) {
            Ok(Ok(Ok(()))) => return true,
            Ok(Err(Failure::Refused(why))) => {
                self.keeper.failed("source_refused", &why);
                return true;
            }
            Ok(Err(Failure::Unreadable(why))) => ("source_unreadable", why),
            Ok(Ok(Err(mistake))) => (NOT_TAKEN, format!("{}: {mistake}", self.path.display())),
            Err(_) => (NOT_TAKEN, format!("{}: reading it failed: {MISTAKE}", self.path.display())),
        };
        self.keeper.failed(reason, &why);
        false
    }

    /// Puts what was `read` in force, or tells that what is in force still stands there. Should a mistake of ours in that end
    /// the follower, what is taken away later would stay in force unseen.
    fn take(&mut self, read: Option<Read>) -> Result<(), String> {
        let what = if read.is_some() { "it was read, and taking it in failed" } else { "looking after it failed" };
        let taken = AssertUnwindSafe(|| {
            if let Some(read) = read {
                self.keeper.take(read, None);
            }
            self.keeper.in_step();
        });
        catch_unwind(taken).map_err(|_| format!("{what}: {MISTAKE}"))
    }
}

fn load(path: &Path, by_user_id: bool) -> Result<Read, Failure> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            let why = format!("{}: {error}", path.display());
            return match error.kind() {
                ErrorKind::NotFound => Ok(nothing()),
                ErrorKind::FileTooLarge | ErrorKind::InvalidData => Err(Failure::Refused(why)),
                _ => Err(Failure::Unreadable(why)),
            };
        }
    };
    parse(&text, by_user_id).map_err(|problem| Failure::Refused(format!("{}:{}", path.display(), located(&problem))))
}

/// What a file that is not there says.
pub(super) fn nothing() -> Read {
    Read {
        mappings: Mappings::default(),
        warnings: Vec::new(),
        refused: Vec::new(),
        hash: keeper::hash(std::iter::empty()),
        written: None,
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(node::MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > node::MAX_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("larger than {} MiB", node::MAX_BYTES >> 20)));
    }
    Ok(text)
}

/// Whom the file `text` maps; its entries match by unique id if `by_user_id`.
///
/// # Errors
///
/// What keeps it from being read, and where.
pub fn read_dynamic_file(text: &str, by_user_id: bool) -> Result<Mappings, String> {
    parse(text, by_user_id).map(|read| read.mappings).map_err(|problem| located(&problem))
}

fn located(problem: &Problem) -> String {
    format!("{}: {problem}", problem.at.unwrap_or_default())
}

pub(super) fn parse(text: &str, by_user_id: bool) -> Result<Read, Problem> {
    let user_ids = UserIds::of(by_user_id);
    let Parsed { mappings, findings, written, .. } = entries(text, Style { user_ids, ..STYLE })?;
    let hash = keeper::hash([text.as_bytes()].into_iter());
    Ok(Read { mappings, warnings: findings.warnings(), refused: Vec::new(), hash, written })
}

/// Whether `text`, whose tree is `root`, is such a file: by the key that no other with mappings has, or by its lists on top of a
/// JSON text. In YAML, and beside settings, those are a configuration's whose writer has left `server` out: existing programs
/// read no mappings there.
pub(in crate::config) fn is_dynamic_file(root: &Node, text: &str) -> bool {
    let Value::Map(keys) = &root.value else { return false };
    let is_setting = |(key, _): &(Key, Node)| !is_list(key) && file::is_key(&key.text);
    let is_json = || serde_json::from_str::<IgnoredAny>(text).is_ok();
    value(keys, LAST_UPDATED).is_some()
        || (keys.iter().any(|(key, _)| is_list(key)) && !keys.iter().any(is_setting) && is_json())
}

/// Whether entries or accounts stand under `key`.
fn is_list(key: &Key) -> bool {
    LISTS.into_iter().chain([ACCOUNTS]).any(|list| list.eq_ignore_ascii_case(&key.text))
}

/// Refuses a second list of one name: existing programs read the last alone, and with all of them others would be let in.
fn check_lists(keys: &[(Key, Node)]) -> Result<(), Problem> {
    for (index, (key, _)) in keys.iter().enumerate().filter(|(_, (key, _))| is_list(key)) {
        if let Some((first, _)) = keys[..index].iter().find(|(other, _)| other.text.eq_ignore_ascii_case(&key.text)) {
            return Err(twice(key, first));
        }
    }
    Ok(())
}

/// The file as `herald check-config` sees it. What `user_ids` are for is the configuration's to say.
pub(in crate::config) fn check(text: &str, user_ids: UserIds) -> Checked {
    let origin = Origin::Live(Source::DynamicFile);
    match entries(text, Style { user_ids, ..STYLE }) {
        Ok(Parsed { mappings: Mappings { rules, accounts }, findings, census, .. }) => {
            let config = Config { rules: rules.into(), map_accounts: accounts, ..Config::default() };
            Checked { origin, ..Checked::new(config, findings, census) }
        }
        Err(problem) => {
            let mut findings = Findings::default();
            findings.refuse(problem);
            Checked { origin, ..Checked::new(Config::default(), findings, Census::default()) }
        }
    }
}

fn entries(text: &str, style: Style) -> Result<Parsed, Problem> {
    let mut entries = Entries::new(text, style);
    let root = node::read_mappings(text, &mut |section, index, node| {
        entries.add(section, Place::Item(index), &node);
    })?;
    let Value::Map(keys) = &root.value else {
        return Err(Problem::new(root.at, format!("expected a map, found {}", root.value.noun())));
    };
    check_lists(keys)?;
    for key in LISTS {
        if let Some(node) = value(keys, key) {
            return Err(Problem::new(node.at, format!("{key}: expected a list, found {}", node.value.noun())));
        }
    }
    let items = value(keys, ACCOUNTS).map(accounts::items).transpose()?.unwrap_or_default();
    let list = Accounts { source: text, path: &[ACCOUNTS], numbers: Numbers::AsWritten, wrong: Findings::left_out };
    let accounts = list.read(items, &mut entries.findings);
    let (rules, findings, census) = entries.finish();
    let written = value(keys, LAST_UPDATED).and_then(Node::plain).and_then(backend_mode::moment);
    Ok(Parsed { mappings: Mappings { rules, accounts }, findings, census, written })
}

#[cfg(test)]
mod tests;
