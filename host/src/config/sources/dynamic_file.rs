//! DynamicFile: a JSON file of mappings that other programs write, `{"LastUpdatedDateTime": "…", "Version": "…",
//! "mapRoles": […], "mapUsers": […], "mapAccounts": […]}`.
//!
//! A file that does not parse leaves the last good one in force; a file that is gone maps nobody.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::keeper::{self, Keeper, Read};
use crate::{
    config::{
        Checked, Config, Source,
        accounts::{self, Accounts, Numbers},
        backend_mode,
        entry::{Entries, Place, Style, UserIds, value},
        error::Problem,
        files::{Stamp, Watcher},
        finding::Findings,
        node::{self, Node, Value},
        remark::Census,
        together::Origin,
    },
    mapping::Mappings,
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
const STYLE: Style = Style { under: "", shared: true, user_ids: UserIds::Idle, globs: false };

/// What a file says.
struct Parsed {
    mappings: Mappings,
    findings: Findings,
    census: Census,
    /// When it was written, by its own word.
    written: Option<SystemTime>,
}

/// Keeps `keeper` in step with the file at `path`, for ever.
pub(super) async fn follow(path: PathBuf, by_user_id: bool, mut keeper: Keeper) {
    // One sender stays here, so that without a watcher nothing comes instead of the end.
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher = Watcher::new(sender.clone());
    let mut seen: Option<Vec<Stamp>> = None;
    for look in 0_u64.. {
        let stamp = Stamp::of(std::iter::once(path.as_path()));
        let changed = seen.as_ref() != Some(&stamp);
        if changed || look % WATCH_ANEW == 0 {
            watcher.follow(std::iter::once(path.as_path()).filter(|path| path.parent().is_some_and(Path::exists)));
        }
        if changed {
            let file = path.clone();
            // A panic here would be one of ours; the file is read again in a moment.
            match tokio::task::spawn_blocking(move || load(&file, by_user_id)).await {
                Ok(Ok(read)) => {
                    keeper.take(read, None);
                    keeper.in_step();
                    seen = Some(stamp);
                }
                Ok(Err(refused)) => {
                    keeper.failed("source_refused", &refused);
                    seen = Some(stamp);
                }
                Err(error) => tracing::error!(%error, "the file of DynamicFile could not be read"),
            }
        } else if keeper.is_well() {
            keeper.in_step();
        }
        if timeout(LOOK_AGAIN, changes.recv()).await.is_ok() {
            sleep(DEBOUNCE).await;
            while changes.try_recv().is_ok() {}
        }
    }
}

fn load(path: &Path, by_user_id: bool) -> Result<Read, String> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    parse(&text, by_user_id).map_err(|problem| format!("{}:{}", path.display(), located(&problem)))
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
    let user_ids = if by_user_id { UserIds::Match } else { UserIds::Idle };
    let Parsed { mappings, findings, written, .. } = entries(text, Style { user_ids, ..STYLE })?;
    let hash = keeper::hash([text.as_bytes()].into_iter());
    Ok(Read { mappings, warnings: findings.warnings(), refused: Vec::new(), hash, written })
}

/// Whether `root` is such a file, by what only it has on top.
pub(in crate::config) fn is_dynamic_file(root: &Node) -> bool {
    let Value::Map(keys) = &root.value else { return false };
    [LAST_UPDATED, LISTS[0], LISTS[1], ACCOUNTS].iter().any(|key| value(keys, key).is_some())
}

/// The file as `herald check-config` sees it. Whether its entries match by `userid` is the configuration's to say.
pub(in crate::config) fn check(text: &str) -> Checked {
    let origin = Origin::Live(Source::DynamicFile);
    match entries(text, Style { user_ids: UserIds::Unknown, ..STYLE }) {
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
