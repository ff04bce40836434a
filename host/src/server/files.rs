//! Files that are there whole or not at all.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
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

/// A file beside its destination, complete and on disk, gone again unless it is put in place.
fn staged(folder: &Path, bytes: &[u8], mode: u32) -> io::Result<TempPath> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
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
