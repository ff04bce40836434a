//! `herald init --owner`: gives what Herald has on a machine to the user that the server runs as.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, chown, lchown},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;

use crate::{
    cli::policy::compile,
    policy::CompiledFolder,
    server::{self, certificate::FILES},
};

/// A user and a group by their numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner(pub(super) u32, pub(super) u32);

/// Not a user and a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not UID:GID, such as 65534:65534")]
pub(super) struct InvalidOwner;

/// What can be given away: all files that Herald knows, whoever made them, and the folders that somebody has named for
/// them or that are made for them. Any other folder is not Herald's to give.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Belongings {
    /// Of compiled policies, which go only to who has compiled them; `None` where nobody said where the state directory is.
    compiled: Option<PathBuf>,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

// === impl Belongings ===

impl Belongings {
    /// Those of `config`, before anything is made; `is_named` unless nobody said where the state directory is. Of a
    /// kubeconfig without a folder nobody did.
    pub(super) fn of(config: &server::Config, is_named: bool) -> Self {
        let kubeconfig = &config.generate_kubeconfig;
        let files = FILES.map(|name| config.state_dir.join(name)).into_iter().chain([kubeconfig.clone()]).collect();
        let state_dir = is_named.then(|| or_here(&config.state_dir));
        let output = kubeconfig.parent().filter(|folder| or_here(folder) != Path::new("."));
        let mut folders = Vec::new();
        for folder in [state_dir, output].into_iter().flatten() {
            let above = folder.ancestors().skip(1).take_while(|folder| is_missing(folder));
            folders.extend(std::iter::once(folder).chain(above).map(Path::to_owned));
        }
        let compiled = is_named.then(|| config.state_dir.join(compile::FOLDER));
        Self { compiled, files, folders }
    }

    /// Gives all that is there to `owner`: of a link the link, and not what whoever has the folder lets it point at.
    pub(super) fn give(&self, owner: Owner) -> anyhow::Result<()> {
        let files = self.files.iter().map(|path| (path, lchown(path, Some(owner.0), Some(owner.1))));
        let folders = self.folders.iter().map(|path| (path, chown(path, Some(owner.0), Some(owner.1))));
        for (path, result) in files.chain(folders) {
            match result {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.with_context(|| format!("{} cannot be given away", path.display()))?,
            }
        }
        self.compiled.as_deref().map_or(Ok(()), |folder| remove_unless_of(owner, folder))
    }
}

/// Takes away what another user has compiled: the server would not run it, and compiles it again by itself.
fn remove_unless_of(owner: Owner, folder: &Path) -> anyhow::Result<()> {
    let is_others = folder.symlink_metadata().is_ok_and(|about| about.uid() != owner.0);
    if is_others && CompiledFolder::is_at(folder) {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}

/// The path, by which the system knows the working directory too.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn is_missing(folder: &Path) -> bool {
    matches!(or_here(folder).try_exists(), Ok(false))
}

// === impl Owner ===

impl FromStr for Owner {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        let (user, group) = text.split_once(':').ok_or(InvalidOwner)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidOwner);
        Ok(Self(number(user)?, number(group)?))
    }
}
