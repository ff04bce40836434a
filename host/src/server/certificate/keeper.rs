//! Keeper: has a good certificate in force at any time, without a restart and without a refused connection.
//!
//! A certificate that the server's own authority has issued is renewed after two thirds of its life, and where it is for
//! other names than this server's; the authority itself has a successor long before its end. Files that
//! somebody else replaces (cert-manager, `herald init --rotate`, an operator) are read again; a pair that is no good
//! leaves the last good one in force. What the API server has to trust is written into its kubeconfig first, the
//! old beside the new, and shown to clients only then. Whether API servers trust what is shown is judged by that file
//! too, whoever wrote it.

use std::{
    fs,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    AUTHORITY, CERTIFICATE, CertificateError, KEY, Pair,
    authority::{Authority, NEXT, holds, key_pair},
    files, is_there,
    served::{Served, is_for, is_vouched_for},
    trust, write_error,
};
use crate::{
    MISTAKE,
    observe::Metrics,
    server::{Config, Error, Hostname, write_kubeconfig},
};

/// Keeps one server's certificate.
pub struct Keeper {
    folder: PathBuf,
    config: Config,
    served: Arc<Served>,
    /// The pair that is shown, and what is known as the one before it.
    pair: Pair,
    before: Option<String>,
    seen: Stamp,
    /// When the authority is to have a successor.
    succession: Option<SystemTime>,
    /// When this process has made a successor, by a clock that nobody sets.
    staged: Option<Instant>,
    /// When this process has last put its own names in the place of others', or could not, by the same clock.
    renamed: Option<Instant>,
    /// What was said last about a pair that is no good, so that it is said once.
    told: Option<String>,
}

/// What `rotate` did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rotated {
    /// There is an authority now, and the kubeconfig names it beside the certificate in force, which stays.
    Staged,
    /// A new certificate is in place.
    Renewed,
}

/// What tells one version of the files from the next: time, size and place of each.
type Stamp = Vec<Option<(SystemTime, u64, PathBuf)>>;

/// How long a successor that this process has made waits for its time, whatever the clock says: one that is years ahead may be
/// set right, and no API server trusts a successor before it is started again.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How often at most a server that runs puts its own names in the place of others': two on one folder, each with its names,
/// would else do nothing but that.
const RENAME_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often the files and the clock are looked at.
const LOOK: Duration = Duration::from_secs(2);

// === impl Keeper ===

impl Keeper {
    /// The pair in the state directory; if there is none, one is made, with an authority for it. What a start before has
    /// begun to make is finished.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`] and [`Error::Certificate`].
    pub fn open(config: &Config, now: SystemTime) -> Result<Self, Error> {
        config.check()?;
        let folder = config.state_dir.clone();
        // Before the files are read: what takes their place meanwhile is found by the first look.
        let mut seen = stamp(&folder);
        // The order in which a first start writes: what is missing from an end on is what it did not come to.
        let is_begun = !is_there(&folder.join(CERTIFICATE))?
            && (!is_there(&folder.join(KEY))? || Authority::load(&folder)?.is_some());
        let (hostname, address) = names(config);
        let mut pair = if is_begun {
            Pair::issue(&folder, (hostname, address), config.certificate_lifetime, now)?
        } else {
            Pair::load_or_create(&folder, hostname, address, now)?
        };
        let is_renamed = match renamed(&pair, config, now) {
            Ok(other) => other.is_some(),
            Err(error) => stays(error).map(|()| false)?,
        };
        if is_renamed || pair.is_new() {
            seen = stamp(&folder);
            pair = Pair { made: pair.is_new(), ..Pair::load(&folder.join(CERTIFICATE), &folder.join(KEY))? };
        }
        let (served, succession) = (Served::new(&pair)?, succession(&folder)?);
        let (config, before, staged, renamed, told) = (config.clone(), None, None, None, None);
        Ok(Self { folder, config, served, pair, before, seen, succession, staged, renamed, told })
    }

    /// What clients are shown.
    #[must_use]
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// Whether the pair was made by this very call.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.pair.is_new()
    }

    /// Writes the kubeconfig, unless somebody else does, and judges it.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] and [`Error::Kubeconfig`].
    pub fn write_kubeconfig(&self, now: SystemTime) -> Result<(), Error> {
        let path = &self.config.generate_kubeconfig;
        let before = trust::judge(path, &self.pair.chain(), now).and_then(Result::err);
        if let (Some(distrust), false) = (before, self.config.kubeconfig_pregenerated) {
            tracing::warn!(
                reason = distrust.reason(), path = %path.display(),
                "webhook kubeconfig: API servers that were started with the one before do not trust this server, restart them: {distrust}"
            );
        }
        self.announce(&self.pair)?;
        self.judge(now);
        Ok(())
    }

    /// Looks after the certificate until it is dropped.
    pub async fn run(mut self, clock: fn() -> SystemTime, metrics: Arc<Metrics>) {
        loop {
            metrics.certificate(self.served.validity().map(|validity| validity.end));
            metrics.webhook_distrusted(self.served.distrust().is_some());
            tokio::time::sleep(LOOK).await;
            let turn = tokio::task::spawn_blocking(move || {
                // A mistake of ours must not be the end of looking after it.
                if catch_unwind(AssertUnwindSafe(|| self.look(clock()))).is_err() {
                    self.tell(format!("looking after it failed: {MISTAKE}"));
                }
                self
            });
            // What is left is the end of the process.
            let Ok(keeper) = turn.await else { return };
            self = keeper;
        }
    }

    /// One look at the clock and the files.
    fn look(&mut self, now: SystemTime) {
        let outcome = self.renew(now).and_then(|()| self.reload(now));
        self.judge(now);
        match outcome {
            Ok(()) => self.told = None,
            Err(error) => self.tell(error.to_string()),
        }
    }

    /// Says once what is wrong.
    fn tell(&mut self, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::error!("certificate: the last good one stays: {what}");
            self.told = Some(what);
        }
    }

    /// Replaces `cert.pem` if its time has come and it is ours to replace. The key stays: two files cannot be replaced
    /// at once, and a restart must never find halves of two pairs.
    fn renew(&mut self, now: SystemTime) -> Result<(), Error> {
        let due = self.served.validity().filter(|validity| validity.is_due(now));
        let stages = self.succession.is_some_and(|time| time <= now);
        if (due.is_none() && !stages) || stamp(&self.folder) != self.seen || !is_ours(&self.folder, &self.pair)? {
            return Ok(());
        }
        if let (true, Some(authority)) = (stages, Authority::load(&self.folder)?) {
            let end = authority.stage(&self.folder, now)?.map(|end| humantime::format_rfc3339_seconds(end).to_string());
            self.staged = Some(Instant::now());
            tracing::warn!(
                end,
                "certificate: the authority has a successor, {NEXT}: restart each API server before the end"
            );
            return Ok(());
        }
        let Some(validity) = due else { return Ok(()) };
        let is_new = self.staged.is_some_and(|staged| staged.elapsed() < PATIENCE);
        if is_new && Authority::is_at_its_end(&self.folder, self.config.certificate_lifetime, now)? {
            return Ok(());
        }
        let [start, end] = [validity.start, validity.end].map(humantime::format_rfc3339_seconds);
        tracing::info!(%start, %end, "certificate: two thirds of its life are over, or none has begun; renewing it");
        Ok(issue_again(&self.folder, names(&self.config), self.config.certificate_lifetime, now)?)
    }

    fn reload(&mut self, now: SystemTime) -> Result<(), Error> {
        let now_there = stamp(&self.folder);
        if now_there == self.seen && self.told.is_none() {
            return Ok(());
        }
        let mut pair = Pair::load(&self.folder.join(CERTIFICATE), &self.folder.join(KEY))?;
        // `herald init --rotate` without this server's configuration, or another server on the same folder.
        if self.renamed.is_none_or(|then| then.elapsed() >= RENAME_EVERY) {
            match renamed(&pair, &self.config, now) {
                Ok(None) => {}
                Ok(Some(other)) => (pair, self.renamed) = (other, Some(Instant::now())),
                Err(error) => {
                    stays(error)?;
                    self.renamed = Some(Instant::now());
                }
            }
        }
        if self.outlasts(&pair, now) {
            self.announce(&self.pair)?;
            (self.seen, self.succession) = (now_there, succession(&self.folder)?);
            tracing::warn!(
                "certificate: it is for other names, and another server's on the same folder: the one in force stays"
            );
            return Ok(());
        }
        if pair.certificate_pem() != self.pair.certificate_pem() {
            self.before = Some(self.pair.certificate_pem().to_owned());
        }
        self.announce(&pair)?;
        self.served.replace(&pair)?;
        self.pair = pair;
        self.seen = now_there;
        self.succession = succession(&self.folder)?;
        let end = self.served.validity().map(|validity| humantime::format_rfc3339_seconds(validity.end).to_string());
        tracing::info!(end, "certificate: another one is in force");
        Ok(())
    }

    /// Whether the pair in force stays, because `other` is for other names, as another server on the same folder issues it: API
    /// servers come by this server's. Where the authority is not the same any more, they may trust `other` alone.
    fn outlasts(&self, other: &Pair, now: SystemTime) -> bool {
        let own = names(&self.config);
        let is_ours = |pair: &Pair| matches!(is_ours(&self.folder, pair), Ok(true));
        let is_good = self.served.validity().is_some_and(|validity| validity.holds(now));
        is_good && is_for(&self.pair, own) && !is_for(other, own) && is_ours(other) && is_ours(&self.pair)
    }

    fn announce(&self, pair: &Pair) -> Result<(), Error> {
        if self.config.kubeconfig_pregenerated {
            return Ok(());
        }
        let bundle = bundle(&self.folder, pair, self.before.as_deref())?;
        write_kubeconfig(&self.config, &bundle, &self.config.generate_kubeconfig)
    }

    /// Tells when API servers do not trust what is shown, once while it lasts.
    fn judge(&self, now: SystemTime) {
        let path = &self.config.generate_kubeconfig;
        let found = trust::judge(path, &self.pair.chain(), now).and_then(Result::err);
        let known = self.served.distrust();
        match (&known, &found) {
            (_, Some(distrust)) if known.as_deref() != found.as_ref() => tracing::error!(
                reason = distrust.reason(), path = %path.display(),
                "webhook kubeconfig: API servers that are started with it do not trust this server: {distrust}"
            ),
            (Some(_), None) => {
                tracing::info!(path = %path.display(), "webhook kubeconfig: API servers trust this server")
            }
            _ => {}
        }
        self.served.set_distrust(found);
    }
}

/// Whether the certificate is one that the authority in `folder` may replace.
fn is_ours(folder: &Path, pair: &Pair) -> Result<bool, CertificateError> {
    let Some(pem) = Authority::certificates(folder)? else { return Ok(false) };
    Ok(is_vouched_for(pair, &pem) && Authority::load(folder)?.is_some())
}

/// When the authority is to have a successor; one that is not ours has none of us.
fn succession(folder: &Path) -> Result<Option<SystemTime>, CertificateError> {
    match Authority::load(folder) {
        Ok(Some(authority)) => authority.succession(folder),
        Ok(None) | Err(CertificateError::ForeignAuthority) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the next step to a new certificate, beside a server that may be running: where an authority vouches for the
/// pair, a new certificate; where none does, an authority, and at the next call a certificate of it. In between the API
/// servers have to be restarted, which then trust both.
///
/// # Errors
///
/// [`Error::Certificate`] and [`Error::Kubeconfig`]. Nothing is changed that a server could not go on with.
pub fn rotate(config: &Config, now: SystemTime) -> Result<Rotated, Error> {
    config.check()?;
    let folder = &config.state_dir;
    let pair = Pair::load(&folder.join(CERTIFICATE), &folder.join(KEY))?;
    let was_there = Authority::load(folder)?.is_some();
    let rotated = if was_there {
        issue_again(folder, names(config), config.certificate_lifetime, now)?;
        Rotated::Renewed
    } else {
        Authority::load_or_create(folder, now)?;
        Rotated::Staged
    };
    if !config.kubeconfig_pregenerated {
        let bundle = bundle(folder, &pair, None)?;
        write_kubeconfig(config, &bundle, &config.generate_kubeconfig)?;
    }
    Ok(rotated)
}

/// What a client has to trust for `pair`, in PEM: the authorities in the state directory, and the certificate and the one
/// `before` it if none of them vouches for it.
///
/// # Errors
///
/// When an authority cannot be read.
pub fn bundle(folder: &Path, pair: &Pair, before: Option<&str>) -> Result<String, CertificateError> {
    let authorities = Authority::certificates(folder)?.unwrap_or_default();
    let mut bundle = authorities.clone();
    let mut add = |pem: &str| {
        if !holds(&bundle, pem) {
            bundle.push_str(pem);
        }
    };
    if !is_vouched_for(pair, &authorities) {
        add(pair.certificate_pem());
        // Of a pair that an authority vouches for, the one before may be somebody else's: it is shown no more.
        before.into_iter().for_each(&mut add);
    }
    Ok(bundle)
}

/// Another pair in the place of `pair`, if that is ours and for other names than those of `config`.
fn renamed(pair: &Pair, config: &Config, now: SystemTime) -> Result<Option<Pair>, CertificateError> {
    let (folder, (hostname, address)) = (&config.state_dir, names(config));
    if is_for(pair, (hostname, address)) || !is_ours(folder, pair)? {
        return Ok(None);
    }
    tracing::info!(%hostname, %address, "certificate: it is for other names, issuing another one");
    issue_again(folder, (hostname, address), config.certificate_lifetime, now)?;
    Pair::load(&folder.join(CERTIFICATE), &folder.join(KEY)).map(Some)
}

/// A pair for other names stays where nothing that API servers would trust can take its place: some may trust it, and a server
/// that does not start lets nobody in.
fn stays(error: CertificateError) -> Result<(), CertificateError> {
    match error {
        error @ (CertificateError::ForeignAuthority | CertificateError::ForeignKey { .. }) => {
            tracing::warn!("certificate: it is for other names, and stays: {error}");
            Ok(())
        }
        error => Err(error),
    }
}

fn issue_again(
    folder: &Path,
    names: (&Hostname, IpAddr),
    lifetime: Duration,
    now: SystemTime,
) -> Result<(), CertificateError> {
    let authority = Authority::in_force(folder, lifetime, now)?;
    let pem = authority.issue(&key_pair(&folder.join(KEY))?, names, lifetime, now)?;
    let path = folder.join(CERTIFICATE);
    files::replace(&path, pem.as_bytes(), 0o644).map_err(|source| write_error(&path, source))
}

fn names(config: &Config) -> (&Hostname, IpAddr) {
    (&config.hostname, config.address)
}

fn stamp(folder: &Path) -> Stamp {
    let of = |name| {
        let place = fs::canonicalize(folder.join(name)).ok()?;
        let about = fs::metadata(&place).ok()?;
        Some((about.modified().ok()?, about.len(), place))
    };
    [CERTIFICATE, KEY, AUTHORITY, NEXT].map(of).into()
}

#[cfg(test)]
mod tests;
