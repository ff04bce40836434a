//! Watched files: a word when one of them may have changed.
//!
//! Watched are the folders, not the files: an editor replaces a file, and Kubernetes swaps the `..data` link
//! beside it (Kubernetes documentation, "Mounted ConfigMaps are updated automatically"). Failure rule: what cannot
//! be watched has to be looked at now and then; whoever watches does that too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// What tells one version of a file from the next without reading it; nothing of a file that is not there.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Stamp(Option<Seen>);

#[derive(Debug, Eq, PartialEq)]
struct Seen {
    place: PathBuf,
    modified: SystemTime,
    length: u64,
    /// Who may read it can change without its text, and writers may set the time of a change.
    inode: u64,
    changed: (i64, i64),
}

/// Sees changes of files in a few folders.
pub(super) struct Watcher {
    notify: Option<RecommendedWatcher>,
    folders: BTreeMap<PathBuf, Folder>,
    names: Arc<ArcSwap<BTreeSet<std::ffi::OsString>>>,
}

/// What tells a folder from another one that takes its place.
#[derive(Debug, Eq, PartialEq)]
struct Folder {
    device: u64,
    /// May be that of one which is gone.
    inode: u64,
    made: Option<SystemTime>,
}

// === impl Stamp ===

impl Stamp {
    pub(super) fn of<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<Self> {
        let stamp = |file: &Path| {
            let place = fs::canonicalize(file).ok()?;
            let about = fs::metadata(&place).ok()?;
            let (inode, changed) = (about.ino(), (about.ctime(), about.ctime_nsec()));
            Some(Seen { place, modified: about.modified().ok()?, length: about.len(), inode, changed })
        };
        files.map(|file| Self(stamp(file))).collect()
    }
}

// === impl Watcher ===

impl Watcher {
    /// `changed` is told when a file may have changed.
    pub(super) fn new(changed: mpsc::Sender<()>) -> Self {
        let names: Arc<ArcSwap<BTreeSet<std::ffi::OsString>>> = Arc::default();
        let wanted = Arc::clone(&names);
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| concerns(&event, &wanted.load())) {
                // A full channel says already what there is to say.
                changed.try_send(()).ok();
            }
        };
        let notify = notify::recommended_watcher(tell);
        let notify = notify.inspect_err(|error| {
            tracing::warn!("files cannot be watched, so changes take up to 30 s: {error}");
        });
        Self { notify: notify.ok(), folders: BTreeMap::new(), names }
    }

    /// A watcher that sees nothing, as on a node without inotify instances.
    #[cfg(test)]
    pub(super) fn deaf() -> Self {
        Self { notify: None, folders: BTreeMap::new(), names: Arc::default() }
    }

    /// Watches the folders of `files` and no others.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let files: Vec<&Path> = files.collect();
        let names = files.iter().filter_map(|file| Some(file.file_name()?.to_owned()));
        let real = files.iter().filter_map(|file| Some(fs::canonicalize(file).ok()?.file_name()?.to_owned()));
        self.names.store(Arc::new(names.chain(real).collect()));
        let folders: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(file)).collect();
        let Some(notify) = &mut self.notify else { return };
        self.folders.retain(|path, watched| {
            let stays = folders.contains(path) && Folder::at(path).is_some_and(|folder| folder == *watched);
            if !stays {
                // It may be gone from the disk as well.
                notify.unwatch(path).ok();
            }
            stays
        });
        for path in folders {
            if self.folders.contains_key(&path) {
                continue;
            }
            // One that takes its place from here on is not taken for it.
            let folder = Folder::at(&path);
            match notify.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => self.folders.extend(folder.map(|folder| (path, folder))),
                Err(error) => tracing::warn!(folder = %path.display(), "cannot be watched: {error}"),
            }
        }
    }
}

// === impl Folder ===

impl Folder {
    fn at(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self { device: about.dev(), inode: about.ino(), made: about.created().ok() })
    }
}

/// The folder in which a file stands, and the one in which it really is.
fn folders_of(file: &Path) -> impl Iterator<Item = PathBuf> {
    let parent = |path: &Path| {
        let folder = path.parent()?;
        Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
    };
    let real = fs::canonicalize(file).ok().and_then(|path| parent(&path));
    parent(file).into_iter().chain(real)
}

/// Whether a change is one of ours. Reading a file is an event too, and must not lead to reading it again.
fn concerns(event: &notify::Event, names: &BTreeSet<std::ffi::OsString>) -> bool {
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        names.contains(name) || name.as_encoded_bytes().starts_with(b"..")
    };
    !matches!(event.kind, EventKind::Access(_)) && (event.paths.is_empty() || event.paths.iter().any(ours))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn stamps_tell_versions_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, new) = (folder.path().join("file"), folder.path().join("new"));
        let stamp = || Stamp::of(std::iter::once(file.as_path()));
        let mut seen = vec![stamp()];
        fs::write(&file, "one").expect("written");
        let time = fs::metadata(&file).and_then(|about| about.modified()).expect("a time");
        let as_old = |path: &Path| fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time));
        let steps: [&dyn Fn() -> std::io::Result<()>; 4] = [
            &|| Ok(()),
            &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)),
            &|| fs::write(&file, "two").and_then(|()| as_old(&file)),
            &|| fs::write(&new, "six").and_then(|()| as_old(&new)).and_then(|()| fs::rename(&new, &file)),
        ];
        for step in steps {
            // Clocks of file systems have ticks.
            std::thread::sleep(std::time::Duration::from_millis(20));
            step().expect("done");
            let now = stamp();
            assert_eq!(now, stamp());
            assert!(!seen.contains(&now), "{now:?}");
            seen.push(now);
        }
    }

    #[tokio::test]
    async fn a_folder_that_takes_the_place_of_another_is_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, next) = (folder.path().join("place"), folder.path().join("next"));
        fs::create_dir(&place).and_then(|()| fs::create_dir(&next)).expect("made");
        let (file, (changed, mut changes)) = (place.join("file"), mpsc::channel(1));
        let mut watcher = Watcher::new(changed);
        watcher.follow(std::iter::once(file.as_path()));
        fs::rename(&place, folder.path().join("old")).and_then(|()| fs::rename(&next, &place)).expect("swapped");
        watcher.follow(std::iter::once(file.as_path()));
        fs::write(&file, "text").expect("written");
        let told = tokio::time::timeout(std::time::Duration::from_secs(60), changes.recv()).await;
        assert_eq!(told, Ok(Some(())));
    }

    #[test]
    fn only_changes_of_our_files_count() {
        #[track_caller]
        fn check(kind: EventKind, path: &str, expected: bool) {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(concerns(&event, &BTreeSet::from(["config.yaml".into()])), expected, "{event:?}");
        }
        use notify::event::{AccessKind, CreateKind, ModifyKind, RemoveKind};
        check(EventKind::Create(CreateKind::File), "/etc/herald/config.yaml", true);
        check(EventKind::Modify(ModifyKind::Any), "/etc/herald/config.yaml", true);
        check(EventKind::Remove(RemoveKind::File), "/etc/herald/config.yaml", true);
        check(EventKind::Create(CreateKind::Any), "/etc/herald/..data", true);
        check(EventKind::Access(AccessKind::Any), "/etc/herald/config.yaml", false);
        check(EventKind::Create(CreateKind::File), "/etc/herald/other.yaml", false);
    }
}
