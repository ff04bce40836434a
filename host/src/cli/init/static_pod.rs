//! `herald init --patch-static-pod`: changes the manifest of an API server, whole or not at all, and keeps the one before.
//!
//! The kubelet runs every file of its folder whose name does not start with a dot, so neither the copy nor a file that is half
//! written may stand there under another name.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::config::static_pod;

/// Puts the flag that names `kubeconfig` and its mount into `manifest`.
pub(super) fn patch(manifest: &Path, kubeconfig: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    change(manifest, kubeconfig, static_pod::patch, out)
}

/// Takes both out again, also those for another kubeconfig than `kubeconfig`, beside which the manifest before is kept.
pub(super) fn undo(manifest: &Path, kubeconfig: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    change(manifest, kubeconfig, static_pod::undo, out)
}

type Edit = fn(&str, &Path) -> Result<String, static_pod::StaticPodError>;

fn change(manifest: &Path, kubeconfig: &Path, edit: Edit, out: &mut impl Write) -> anyhow::Result<()> {
    let failed = || format!("{} is as it was", manifest.display());
    let before = fs::read_to_string(manifest).with_context(failed)?;
    let after = edit(&before, kubeconfig).with_context(failed)?;
    if after == before {
        return Ok(writeln!(out, "kept {}: there is nothing to change", manifest.display())?);
    }
    let copy = copy_of(manifest, kubeconfig);
    copy.parent().map(fs::create_dir_all).transpose().with_context(failed)?;
    replace(&copy, &before, manifest).with_context(failed)?;
    replace(manifest, &after, manifest).with_context(failed)?;
    writeln!(out, "changed {}; {} is the one before", manifest.display(), copy.display())?;
    Ok(writeln!(out, "The kubelet restarts the API server by itself, as soon as it sees the change.")?)
}

/// Beside the kubeconfig, which is not in the kubelet's folder.
fn copy_of(manifest: &Path, kubeconfig: &Path) -> PathBuf {
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    kubeconfig.with_file_name(format!("{name}.before"))
}

/// Writes `path` whole, with the mode of `like`.
fn replace(path: &Path, text: &str, like: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.as_file().set_permissions(fs::metadata(like)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
