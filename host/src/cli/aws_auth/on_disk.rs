//! Files with mappings: read within a bound, and replaced whole.
//!
//! A link stays a link: what it points to is replaced. Failure rule: the file is as it was, or as it is to be.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use anyhow::{Context as _, ensure};

use crate::config::edit::MapFile;

/// Largest file, in bytes.
const MAX_BYTES: u64 = 32 << 20;

/// The file and its lists.
pub(super) fn read(path: &Path) -> anyhow::Result<MapFile> {
    let text = text(path).with_context(|| format!("{} cannot be read", path.display()))?;
    MapFile::parse(text).with_context(|| path.display().to_string())
}

/// Puts `after` in the place of `before`, unless the file says something else by now.
pub(in crate::cli) fn replace(path: &Path, before: &str, after: &str) -> anyhow::Result<()> {
    let path = fs::canonicalize(path)?;
    let folder = path.parent().context("it is in no folder")?;
    let old = fs::metadata(&path)?;
    ensure!(old.is_file(), "it is no file");
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(after.as_bytes())?;
    let new = file.as_file().metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()))
            .context("its owner cannot be kept")?;
    }
    file.as_file().set_permissions(old.permissions())?;
    file.as_file().sync_all()?;
    ensure!(text(&path)? == before, "somebody else has changed it meanwhile");
    file.persist(&path)?;
    Ok(File::open(folder)?.sync_all()?)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    ensure!(read as u64 <= MAX_BYTES, "it is larger than {MAX_BYTES} bytes");
    Ok(text)
}
