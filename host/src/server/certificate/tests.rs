//! The state directory as a table: which files are there, and what becomes of them.

use std::{
    fs::{self, Permissions},
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::*;

/// A pair with RSA, PKCS#1 and the authority flag, as older installations have it.
const RSA: (&str, &str) = (include_str!("tests/rsa-cert.pem"), include_str!("tests/rsa-key.pem"));

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn load(folder: &Path) -> Result<Pair, CertificateError> {
    Pair::load_or_create(folder, &Hostname::default(), Ipv4Addr::LOCALHOST.into(), now())
}

fn put(folder: &Path, name: &str, text: &str, mode: u32) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
}

/// What `arrange` leaves in the folder must be refused with `expected` and stay as it is.
#[track_caller]
fn check(arrange: impl FnOnce(&Path), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    load(folder.path()).unwrap();
    arrange(folder.path());
    let before = snapshot(folder.path());
    let error = load(folder.path()).err().expect("this must be refused").to_string();
    assert!(error.replace(&folder.path().display().to_string(), "DIR").contains(expected), "{error}");
    assert_eq!(snapshot(folder.path()), before);
}

fn snapshot(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(&path).ok())).collect();
    files.sort();
    files
}

#[test]
fn a_new_pair_is_private_and_then_kept() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("var/herald");
    let made = load(&folder).unwrap();
    assert!(made.is_new());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(KEY)), 0o600);
    assert_eq!(mode(&folder.join(CERTIFICATE)), 0o644);
    assert_eq!(snapshot(&folder).len(), 2, "no temporary file stays");
    let kept = load(&folder).unwrap();
    assert!(!kept.is_new());
    assert_eq!(kept.certificate_pem(), made.certificate_pem());
}

/// As one that shows local time, until the network sets it.
#[test]
fn a_pair_of_a_clock_that_was_ahead_is_good_when_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let ahead = now() + Duration::from_secs(8 * 60 * 60);
    let pair = Pair::load_or_create(folder.path(), &Hostname::default(), Ipv4Addr::LOCALHOST.into(), ahead).unwrap();
    let validity = Validity::of(&pair.chain()[0]).expect("it is read");
    assert!(validity.holds(now()), "{validity:?}");
    assert_eq!(validity.end, ahead + VALIDITY);
}

#[test]
fn a_pair_that_is_there_is_used_untouched() {
    for mode in [0o600, 0o400, 0o644] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), CERTIFICATE, RSA.0, 0o644);
        put(folder.path(), KEY, RSA.1, mode);
        let pair = load(folder.path()).unwrap();
        assert!(!pair.is_new());
        assert_eq!(pair.certificate_pem(), RSA.0);
        assert_eq!(fs::read_to_string(folder.path().join(KEY)).unwrap(), RSA.1);
    }
}

#[test]
fn nothing_is_overwritten() {
    let remove = |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
    check(remove(KEY), "DIR/cert.pem is there but DIR/key.pem is missing");
    check(remove(CERTIFICATE), "DIR/key.pem is there but DIR/cert.pem is missing");
    check(|folder| put(folder, CERTIFICATE, RSA.0, 0o644), "cannot be used together");
    check(|folder| put(folder, KEY, RSA.1, 0o600), "cannot be used together");
    check(|folder| put(folder, CERTIFICATE, "", 0o644), "DIR/cert.pem holds no certificate");
    check(|folder| put(folder, CERTIFICATE, RSA.1, 0o644), "DIR/cert.pem holds no certificate");
    check(|folder| put(folder, KEY, "", 0o600), "DIR/key.pem holds no private key");
    check(|folder| put(folder, KEY, RSA.0, 0o600), "DIR/key.pem holds no private key");
}

#[test]
fn a_key_others_can_replace_is_refused() {
    let mode = |mode| move |folder: &Path| fs::set_permissions(folder.join(KEY), Permissions::from_mode(mode)).unwrap();
    check(mode(0o620), "DIR/key.pem can be written by its group or by everybody (mode 0620)");
    check(mode(0o602), "mode 0602");
    check(
        |folder| {
            fs::rename(folder.join(KEY), folder.join("real.pem")).unwrap();
            symlink("real.pem", folder.join(KEY)).unwrap();
        },
        "DIR/key.pem must be a plain file",
    );
    check(
        |folder| {
            fs::remove_file(folder.join(KEY)).unwrap();
            symlink("nowhere", folder.join(KEY)).unwrap();
        },
        "DIR/key.pem must be a plain file",
    );
    check(
        |folder| {
            fs::remove_file(folder.join(KEY)).unwrap();
            fs::create_dir(folder.join(KEY)).unwrap();
        },
        "DIR/key.pem must be a plain file",
    );
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "file", "", 0o644);
    let error = load(&folder.path().join("file/state")).err().expect("a file is no folder").to_string();
    assert!(error.contains("file/state"), "{error}");
}
