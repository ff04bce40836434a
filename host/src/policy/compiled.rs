//! Compiled policies: machine code, kept in a private folder so that serving need not compile.
//!
//! Nobody else's code is ever run. The folder belongs to us alone; every file in it is named after everything
//! that shaped its code, and ends with an HMAC-SHA256 (RFC 2104) over that name and the code under a key
//! made here. A file that does not check out is ignored, told ([`Ignored`]), and its policy compiled again; one that nobody
//! needs any more is removed, see [`housekeeping`]. Where no folder can be made nothing is kept, and everything works that
//! needs nothing kept.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    hash::{Hash as _, Hasher},
    io::{self, ErrorKind, Read as _, Seek as _, Write as _},
    ops::Range,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use super::{Config, Digest, Engine, engine::VERSION, functions, loader};

pub(super) mod housekeeping;

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
/// How the names of files with code end.
const CODE: &str = "cwasm";

/// A folder of compiled policies.
///
/// Mode 0700 and ours alone: whoever can write here could run code in this process. A mounted volume's own
/// root is often group-writable, so use a folder inside it.
pub struct CompiledFolder {
    path: PathBuf,
    /// Without a key nothing is kept here.
    key: Result<Key, ErrorKind>,
    elsewhere: Option<CompileElsewhere>,
    tell: Option<TellIgnored>,
}

type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Is told of each file that is there and not used.
pub type TellIgnored = Arc<dyn Fn(Ignored) + Send + Sync>;

/// Why a compiled policy that is there is not used. It is compiled again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// Not what was written here for this policy: its tag is another one's.
    #[error("this Herald has not written it like this")]
    Forged,
    /// It ends early: its writer, or the machine, stopped before it was whole.
    #[error("it ends early")]
    Torn,
    /// Ours and whole, but the engine does not take it: another build's under the same version, or there is no memory.
    #[error("the policy engine does not take it")]
    Unloadable,
    /// The system does not let us read it.
    #[error("it cannot be read")]
    Unreadable,
}

/// Compiles one policy of the configuration that is being loaded, its settings taken in, into the same folder, where the
/// memory that it takes is not the server's. Given its entry and its component's digest. An error is one line that says why
/// it is not done.
pub type CompileElsewhere = Arc<dyn Fn(&Config, Digest) -> Result<Elsewhere, String> + Send + Sync>;

/// How far a compilation elsewhere is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Elsewhere {
    /// The code is in the folder.
    Done,
    /// It will be, and whoever loads the policy is not to wait for it.
    UnderWay,
}

/// A policy that has been compiled into a folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compiled {
    /// The compiled file.
    pub path: PathBuf,
    /// The component's SHA-256, ready to be pinned.
    pub digest: Digest,
    /// Size of the machine code in bytes.
    pub code_bytes: usize,
    /// Whether its settings are in it.
    pub has_settings: bool,
}

/// What code was made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The component, as its author built it.
    pub(super) component: Digest,
    /// What was done to it before it was compiled.
    pub(super) form: Form<'a>,
}

/// In which form a component was compiled.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Form<'a> {
    /// As its author built it.
    AsBuilt,
    /// Made readable for a snapshot, so that other settings need not compile it again.
    Readable,
    /// With these settings taken in.
    Configured(&'a str),
    /// No code to be run, but its functions, for a compilation with other settings taken in.
    Functions,
}

/// Why a folder cannot hold compiled policies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The key file is not 32 bytes.
    #[error("{}: not a key of {KEY_BYTES} bytes; delete it and compile again", .0.display())]
    BadKey(PathBuf),
    /// The folder or its key cannot be made, read or written.
    #[error("{}: cannot be used", .path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others can reach into it.
    #[error(
        "{}: must belong to this user and be closed to others (folder 0700, key 0600), or be removed: policies are then \
         compiled again",
        .0.display()
    )]
    NotPrivate(PathBuf),
}

// === impl CompiledFolder ===

impl CompiledFolder {
    /// Opens `path`, and makes it and its key if they are not there. Where nothing can be written, nothing is kept here.
    ///
    /// # Errors
    ///
    /// [`FolderError`], first of all when anybody else could have written to it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let in_folder = |source| FolderError::Io { path: path.to_owned(), source };
        let opened = |key| Self { path: path.to_owned(), key, elsewhere: None, tell: None };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        if let Err(why) = or_unwritable(made).map_err(in_folder)? {
            return Ok(opened(Err(why)));
        }
        let about = fs::symlink_metadata(path).map_err(in_folder)?;
        if !about.is_dir() || !is_private(&about) {
            return Err(FolderError::NotPrivate(path.to_owned()));
        }
        key(path).map(opened)
    }

    /// Whether there is such a folder at `path`, whoever made it.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        let key = path.join(KEY_FILE).symlink_metadata();
        key.is_ok_and(|key| key.is_file() && key.len() == KEY_BYTES as u64)
    }

    /// Leaves policies that are too large to be compiled beside logins to `elsewhere`.
    #[must_use]
    pub fn compiling(self, elsewhere: CompileElsewhere) -> Self {
        Self { elsewhere: Some(elsewhere), ..self }
    }

    /// Tells `tell` of files that are not used.
    #[must_use]
    pub fn telling(self, tell: TellIgnored) -> Self {
        Self { tell: Some(tell), ..self }
    }

    /// Has a policy compiled elsewhere; `None`: there is nobody who does that.
    pub(super) fn compile_elsewhere(&self, config: &Config, component: Digest) -> Option<Result<Elsewhere, String>> {
        self.elsewhere.as_ref().map(|compile| compile(config, component))
    }

    /// The code made of `origin`, if it is here, ours and whole.
    pub(super) fn fetch(&self, engine: &Engine, origin: Origin<'_>) -> Option<Component> {
        self.take(engine, origin, |code| code.component(engine))
    }

    /// The functions of `component` that an earlier compilation has left, if they are here, ours and whole.
    pub(super) fn functions(&self, engine: &Engine, component: Digest) -> Option<Vec<u8>> {
        self.take(engine, Origin { component, form: Form::Functions }, |mut functions| functions.bytes().ok())
    }

    fn take<T>(&self, engine: &Engine, origin: Origin<'_>, take: impl FnOnce(Authentic) -> Option<T>) -> Option<T> {
        self.key.as_ref().ok()?;
        let name = name(engine, origin);
        let path = self.file(name);
        let found = match self.authentic(name, &path) {
            Ok(authentic) => authentic.and_then(|file| take(file.renewed()).ok_or(Ignored::Unloadable)),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "a compiled policy cannot be read");
                Err(Ignored::Unreadable)
            }
        };
        found.inspect_err(|why| self.ignored(&path, *why)).ok()
    }

    fn ignored(&self, path: &Path, why: Ignored) {
        tracing::warn!(path = %path.display(), reason = why.reason(), "ignored a compiled policy: {why}");
        if let Some(tell) = &self.tell {
            tell(why);
        }
    }

    /// What [`fetch`](Self::fetch) would give, described.
    pub(super) fn find(&self, engine: &Engine, origin: Origin<'_>) -> Option<Compiled> {
        self.fetch(engine, origin)?;
        let path = self.file(name(engine, origin));
        let bytes = fs::metadata(&path).ok()?.len();
        let code_bytes = usize::try_from(bytes).ok()?.checked_sub(TAG_BYTES)?;
        Some(Compiled::new(path, origin, code_bytes))
    }

    /// Whether code can be written here: asked before it is compiled, which may take minutes, and for operators.
    ///
    /// # Errors
    ///
    /// Why it cannot, with the folder.
    pub fn writable(&self) -> io::Result<()> {
        self.key()?;
        // A full disk takes a file, and no bytes.
        NamedTempFile::new_in(&self.path)?.write_all(&[0; 4096])
    }

    /// Writes code that this engine has just compiled. A file that is there is replaced as a whole, never changed:
    /// it may be mapped.
    pub(super) fn store(&self, engine: &Engine, origin: Origin<'_>, code: &[u8]) -> io::Result<Compiled> {
        let name = name(engine, origin);
        let tag = self.mac(name)?.chain_update(code).finalize().into_bytes();
        let mut file = NamedTempFile::new_in(&self.path)?;
        file.write_all(code)?;
        file.write_all(&tag)?;
        let path = self.file(name);
        file.persist(&path)?;
        Ok(Compiled::new(path, origin, code.len()))
    }

    fn authentic(&self, name: Digest, path: &Path) -> io::Result<Result<Authentic, Ignored>> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Ok(Err(Ignored::Forged));
        }
        let Some(mut left) = about.len().checked_sub(TAG_BYTES as u64) else { return Ok(Err(Ignored::Torn)) };
        let code = left;
        let (mut mac, mut buffer) = (self.mac(name)?, vec![0; 64 << 10]);
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact(&mut buffer[..part])?;
            mac.update(&buffer[..part]);
            left -= part as u64;
        }
        let mut tag = [0; TAG_BYTES];
        file.read_exact(&mut tag)?;
        Ok(match mac.verify_slice(&tag) {
            Ok(()) => Ok(Authentic(file)),
            Err(_) if code < code_bytes(&mut file)? => Err(Ignored::Torn),
            Err(_) => Err(Ignored::Forged),
        })
    }

    fn mac(&self, name: Digest) -> io::Result<Hmac<Sha256>> {
        let mac = Hmac::new_from_slice(self.key()?.as_slice()).expect("HMAC takes keys of any length");
        Ok(mac.chain_update(name.as_bytes()))
    }

    fn key(&self) -> io::Result<&Key> {
        self.key.as_ref().map_err(|why| io::Error::new(*why, format!("{}: {why}", self.path.display())))
    }

    fn file(&self, name: Digest) -> PathBuf {
        self.path.join(format!("{name}.{CODE}"))
    }
}

// === impl Compiled ===

impl Compiled {
    fn new(path: PathBuf, origin: Origin<'_>, code_bytes: usize) -> Self {
        let Origin { component: digest, form } = origin;
        Self { path, digest, code_bytes, has_settings: matches!(form, Form::Configured(_)) }
    }
}

// === impl Ignored ===

impl Ignored {
    /// The stable label for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Torn => "torn",
            Self::Unloadable => "unloadable",
            Self::Unreadable => "unreadable",
        }
    }
}

impl std::fmt::Debug for CompiledFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CompiledFolder({})", self.path.display())
    }
}

/// How long the code at the beginning of `file` says it is, whatever else is wrong with it, or the functions do; 0 if that is
/// neither. Code ends with its table of sections (System V Application Binary Interface, "ELF Header": `e_shoff`,
/// `e_shentsize`, `e_shnum`).
fn code_bytes(file: &mut File) -> io::Result<u64> {
    let mut header = [0; 64];
    file.rewind()?;
    match file.read_exact(&mut header) {
        // None is that short.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(u64::MAX),
        read => read?,
    }
    if !header.starts_with(b"\x7fELF") {
        return Ok(functions::length(&header).unwrap_or(0));
    }
    let number = |at: Range<usize>| header[at].iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte));
    let (at, each, count) = (number(40..48), number(58..60), number(60..62));
    Ok(at.saturating_add(each * count))
}

/// What was made; the inner error: nothing can be written there.
fn or_unwritable(made: io::Result<()>) -> io::Result<Result<(), ErrorKind>> {
    use ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match made {
        Err(error) if matches!(error.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull) => {
            Ok(Err(error.kind()))
        }
        made => made.map(Ok),
    }
}

/// Reads the folder's key, or makes it. Of two processes that do so at once, the first one's counts.
fn key(folder: &Path) -> Result<Result<Key, ErrorKind>, FolderError> {
    let path = folder.join(KEY_FILE);
    let in_file = |source| FolderError::Io { path: path.clone(), source };
    if !path.try_exists().map_err(in_file)?
        && let Err(why) = or_unwritable(make_key(folder, &path)).map_err(in_file)?
    {
        return Ok(Err(why));
    }
    let about = fs::symlink_metadata(&path).map_err(in_file)?;
    if !about.is_file() || !is_private(&about) {
        return Err(FolderError::NotPrivate(path));
    }
    let bytes = Zeroizing::new(fs::read(&path).map_err(in_file)?);
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| FolderError::BadKey(path))?;
    Ok(Ok(Zeroizing::new(key)))
}

fn make_key(folder: &Path, path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(folder)?;
    file.write_all(key.as_slice())?;
    // A name on the disk without the bytes, after a power failure, would be a key that is none.
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

fn is_private(about: &Metadata) -> bool {
    about.uid() == rustix::process::geteuid().as_raw() && about.mode() & 0o077 == 0
}

/// Names the code made of `origin`: by that and by all that decides what the compiler makes of it, the
/// target, its processor's features and the full version of the engine among them.
fn name(engine: &Engine, origin: Origin<'_>) -> Digest {
    let mut hasher = NameHasher(Sha256::new());
    hasher.write(origin.component.as_bytes());
    origin.form.hash(&mut hasher);
    VERSION.hash(&mut hasher);
    engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
    Digest::new(hasher.0.finalize().into())
}

/// SHA-256 in the shape that [`std::hash::Hash`] wants.
struct NameHasher(Sha256);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(*digest.first_chunk().expect("32 bytes hold 8"))
    }
}

/// A file of code whose tag was right.
struct Authentic(File);

// === impl Authentic ===

impl Authentic {
    /// What is in it.
    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.rewind()?;
        self.0.read_to_end(&mut bytes)?;
        bytes.truncate(bytes.len().saturating_sub(TAG_BYTES));
        Ok(bytes)
    }

    /// Maps the code, so that its pages are the kernel's to drop; where files may not be executed, copies it.
    fn component(mut self, engine: &Engine) -> Option<Component> {
        let engine = engine.wasmtime();
        // By its handle, not by its name: under the name there may be another file by now.
        let same_file = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        #[expect(unsafe_code, reason = "machine code can only be taken on trust, and its tag is the trust")]
        // SAFETY: the file must hold what this version of wasmtime serialised, and must not change while mapped.
        // Its tag was made with a key that only this user can read, over the code and over a name made of the
        // component, wasmtime's full version and its compilation settings; and only `CompiledFolder::store` makes
        // tags, for what the compiler has just returned, functions under names of their own. It is the checked file
        // that is mapped, by its handle; only this user can write to it, so whoever could has the key as well; and
        // `store` replaces files, it never changes them.
        let component = unsafe {
            Component::deserialize_file(engine, &same_file).or_else(|_| Component::deserialize(engine, self.bytes()?))
        };
        component.ok().filter(|component| loader::with_image(component).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Bounds, Policy, Removed, compile_configured,
        tests::{ENGINE, Fixture, guest::Guest},
    };

    /// As kops mounts the state folder.
    #[test]
    fn where_no_folder_can_be_made_policies_load_and_nothing_is_kept() {
        let fixture = Fixture::new(&Guest::allowing().component());
        // Whoever runs tests may write to what is read-only for others; the kernel's own folders take nothing from anybody.
        let folder = CompiledFolder::open(Path::new("/sys/compiled")).expect("it holds nothing up");
        Policy::load(&ENGINE, &fixture.config, Some(&folder)).expect("compiled here");
        let error = compile_configured(&ENGINE, &fixture.config, &folder).expect_err("nowhere to write");
        assert_eq!(error.reason(), "not_kept");
        let cause = std::error::Error::source(&error).expect("the system's word").to_string();
        assert!(cause.starts_with("/sys/compiled: "), "{cause}");
        folder.renew(&ENGINE, &fixture.config);
        let removed = folder.tidy(&Bounds::OF_SERVERS, std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(removed.expect("nothing to clean"), Removed::default());
    }

    #[test]
    fn only_what_cannot_be_written_is_gone_without() {
        #[track_caller]
        fn check(kind: ErrorKind, goes_without: bool) {
            assert_eq!(or_unwritable(Err(kind.into())).is_ok_and(|made| made == Err(kind)), goes_without, "{kind}");
        }
        check(ErrorKind::PermissionDenied, true);
        check(ErrorKind::QuotaExceeded, true);
        check(ErrorKind::ReadOnlyFilesystem, true);
        check(ErrorKind::StorageFull, true);
        check(ErrorKind::AlreadyExists, false);
        check(ErrorKind::NotADirectory, false);
        assert!(or_unwritable(Ok(())).is_ok_and(|made| made.is_ok()));
    }
}
