//! `herald kubeconfig`: puts a cluster and the plugin for it into a person's kubeconfig.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{Globals, aws_auth::on_disk, token::parse_role};
use crate::{
    caller::arn::ACS_PARTITION,
    kubernetes::kubeconfig::client::Entry,
    provider::{Cloud, ClusterId},
};

/// Put a cluster into your kubeconfig, with `herald token` to log in.
///
/// Everything else in the file stays, but for comments. The file is replaced whole or not at all.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Name of the cluster in the kubeconfig; also the cluster's id, unless --cluster-id gives another. A variable does not.
    #[arg(long)]
    name: ClusterId,
    /// URL of the API server. Default: the one in the file.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// PEM file with the certificates that the API server is known by. Default: those in the file, else the
    /// system's.
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// Cloud whose credentials sign: aws or alibaba. Default: as `herald token` finds it.
    #[arg(long)]
    provider: Option<Cloud>,
    /// ARN of a role to assume for this cluster.
    #[arg(short, long, visible_alias = "role", value_name = "ARN")]
    role_arn: Option<String>,
    /// Region whose STS is to vouch for you.
    #[arg(long)]
    region: Option<String>,
    /// Profile in ~/.aws/config to use.
    #[arg(long)]
    profile: Option<String>,
    /// Keep tokens in files between runs of kubectl: see `herald token --help`.
    #[arg(long)]
    cache: bool,
    /// Name of the context [default: the cluster's].
    #[arg(long, value_name = "NAME")]
    alias: Option<String>,
    /// Name of the user [default: the cluster's].
    #[arg(long, value_name = "NAME")]
    user_alias: Option<String>,
    /// The file [default: the first of KUBECONFIG, else ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Print what the file would hold, and leave it alone.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  herald kubeconfig --name my-cluster --server https://api.my-cluster.example.com --certificate-authority ca.pem
  herald kubeconfig --name my-cluster --role-arn arn:aws:iam::123456789012:role/Admin --cache
  herald kubeconfig --name my-cluster --provider alibaba --dry-run";

/// The file that kubectl, too, makes while it changes a kubeconfig.
struct Lock(PathBuf);

/// Longest wait for somebody else's change.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the wait looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

// === impl Command ===

impl Command {
    /// Changes the file, and says so on `out`.
    ///
    /// # Errors
    ///
    /// When an option says nothing sensible, or the file cannot be read, understood or written. It is as it
    /// was then.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> anyhow::Result<()> {
        let entry = self.entry(globals)?;
        let path = match &self.kubeconfig {
            Some(path) => path.clone(),
            None => usual_file(env::var_os("KUBECONFIG"), env::var_os("HOME"))?,
        };
        let failed = || format!("{}", path.display());
        if self.dry_run {
            out.write_all(entry.merge(&read(&path)?).with_context(failed)?.as_bytes())?;
            return Ok(());
        }
        change(&path, |text| Ok(entry.merge(text)?)).with_context(failed)?;
        let context = entry.context.as_deref().unwrap_or(self.name.as_str());
        Ok(writeln!(out, "{}: context {context} is there and in use", path.display())?)
    }

    /// The id that tokens are for. That of a variable is whichever cluster's the shell was set up for: a token for it would
    /// go to this cluster's API server, which could log in there with it.
    fn id<'a>(&'a self, globals: &'a Globals) -> &'a ClusterId {
        match &globals.cluster_id {
            Some(id) if !globals.is_id_of_environment => id,
            Some(other) if *other != self.name => {
                tracing::warn!(
                    "tokens are for {}: KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID={} does not count here, --cluster-id does",
                    self.name.as_str(),
                    other.as_str()
                );
                &self.name
            }
            _ => &self.name,
        }
    }

    fn entry(&self, globals: &Globals) -> anyhow::Result<Entry> {
        let given = |text: &Option<String>| super::given(text.as_deref());
        let (server, role) = (given(&self.server), given(&self.role_arn));
        if let Some(server) = &server {
            ensure!(server.starts_with("https://"), "--server {server}: must start with https://");
        }
        let cloud = self.provider.or_else(|| globals.name.cloud()).unwrap_or(Cloud::Aws);
        if let Some(role) = &role {
            let is_alibabas = parse_role(role)?.arn.partition() == ACS_PARTITION;
            ensure!(is_alibabas == (cloud == Cloud::Alibaba), "role {role}: of another cloud, see --provider");
        }
        let options = [("--region", given(&self.region)), ("--profile", given(&self.profile)), ("--role", role)];
        let mut args = vec!["token", "-i", self.id(globals).as_str()];
        if let Some(cloud) = self.provider {
            args.extend(["--provider", cloud.name()]);
        }
        for (option, value) in &options {
            args.extend(value.iter().flat_map(|value| [*option, value.as_str()]));
        }
        args.extend(self.cache.then_some("--cache"));
        Ok(Entry {
            name: self.name.as_str().to_owned(),
            user: given(&self.user_alias),
            context: given(&self.alias),
            server,
            certificate_authority: self.certificate_authority.as_deref().map(certificates).transpose()?,
            command: globals.name.as_str().to_owned(),
            args: args.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// `KUBECONFIG` is a list; kubectl, too, adds new entries to its first file.
fn usual_file(list: Option<std::ffi::OsString>, home: Option<std::ffi::OsString>) -> anyhow::Result<PathBuf> {
    let first = list.and_then(|list| env::split_paths(&list).find(|path| !path.as_os_str().is_empty()));
    let home = home.filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".kube/config"));
    first.or(home).context("which file? Give --kubeconfig, or set KUBECONFIG or HOME")
}

fn certificates(path: &Path) -> anyhow::Result<String> {
    let pem = fs::read_to_string(path).with_context(|| format!("--certificate-authority {}", path.display()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    ensure!(all.is_ok_and(|all| !all.is_empty()), "--certificate-authority {}: holds no certificate", path.display());
    Ok(pem)
}

/// The text of `path`; none if there is no such file.
fn read(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result,
    }
}

/// Replaces the text of `path` by what `edit` makes of it. A link stays a link, and mode and owner stay as they were.
fn change(path: &Path, edit: impl FnOnce(&str) -> anyhow::Result<String>) -> anyhow::Result<()> {
    change_within(PATIENCE, path, edit)
}

/// The same, with so much patience for somebody else's change.
fn change_within(
    patience: Duration,
    path: &Path,
    edit: impl FnOnce(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let _lock = Lock::take(&path, patience)?;
    let before = read(&path)?;
    let text = edit(&before)?;
    if path.exists() {
        return on_disk::replace(&path, &before, &text);
    }
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

// === impl Lock ===

impl Lock {
    fn take(path: &Path, patience: Duration) -> anyhow::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        for _ in 0..patience.as_millis() / LOOK_AGAIN.as_millis() {
            match File::create_new(&path) {
                Ok(_) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::thread::sleep(LOOK_AGAIN),
                Err(error) => return Err(error.into()),
            }
        }
        bail!("somebody else is changing it; if nobody is, remove {}", path.display())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests;
