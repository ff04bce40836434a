//! Files that are there whole or not at all.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown},
    path::Path,
};

use tempfile::{NamedTempFile, TempPath};

/// Writes `path` anew, over what is there.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    staged(folder, bytes, mode)?.persist(path)?;
    sync(folder)
}

/// Writes `path`, which must not exist: [`io::ErrorKind::AlreadyExists`] if somebody was faster.
pub(super) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder(path);
    staged(folder, bytes, mode)?.persist_noclobber(path)?;
    sync(folder)
}

/// Makes a folder, and those above it, for the owner alone. One that exists stays as it is.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file beside its destination, complete and on disk, gone again unless it is put in place. What root makes in somebody's
/// folder is theirs: a server that has a state directory must be able to read the key that `herald init` makes there.
fn staged(folder: &Path, bytes: &[u8], mode: u32) -> io::Result<TempPath> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    let about = fs::metadata(folder)?;
    if rustix::process::geteuid().is_root() && about.uid() != 0 {
        // Root without the right to is an owner like any other.
        let _ = fchown(file.as_file(), Some(about.uid()), Some(about.gid()));
    }
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
