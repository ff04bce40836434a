//! A certificate's life as a table: what is on disk, what the kubeconfig trusts, what is shown.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    kubernetes::Kubeconfig,
    server::{certificate::AUTHORITY_KEY, load_certificate},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A pair with RSA, PKCS#1 and the authority flag, as older installations have it.
const RSA: (&str, &str) = (include_str!("../tests/rsa-cert.pem"), include_str!("../tests/rsa-key.pem"));

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

struct Place {
    folder: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            state_dir: folder.path().join("state"),
            generate_kubeconfig: folder.path().join("kubeconfig.yaml"),
            ..Config::default()
        };
        Self { folder, config }
    }

    fn open(&self) -> Keeper {
        let keeper = Keeper::open(&self.config, now()).unwrap();
        keeper.write_kubeconfig().unwrap();
        keeper
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.config.state_dir.join(name)).unwrap()
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.config.state_dir.join(name);
        // Another time stamp, whatever the grain of the file system's clock.
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// What the kubeconfig trusts.
    fn bundle(&self) -> String {
        let text = fs::read_to_string(&self.config.generate_kubeconfig).unwrap();
        let kubeconfig: Kubeconfig = serde_saphyr::from_str(&text).unwrap();
        let data = &kubeconfig.clusters[0].entry.cluster.certificate_authority_data;
        String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
    }
}

fn shown(keeper: &Keeper) -> Vec<u8> {
    keeper.served.0.load().certified.cert[0].to_vec()
}

#[test]
fn a_first_start_makes_an_authority_and_a_second_keeps_all() {
    let place = Place::new();
    let first = place.open();
    assert!(first.is_new());
    let validity = first.served.validity().expect("it is read");
    assert_eq!(validity.end.duration_since(now()).unwrap(), 90 * DAY);
    assert_eq!(place.bundle(), place.file(AUTHORITY), "the authority alone is trusted");
    let mode = |name| fs::metadata(place.config.state_dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(KEY), mode(AUTHORITY_KEY), mode(CERTIFICATE), mode(AUTHORITY)], [0o600, 0o600, 0o644, 0o644]);
    let second = place.open();
    assert!(!second.is_new());
    assert_eq!(shown(&second), shown(&first));
}

/// The files of a first start come one after another; wherever it broke off, the next one goes on from there.
#[test]
fn a_first_start_that_broke_off_is_finished_by_the_next() {
    const ORDER: [&str; 4] = [AUTHORITY_KEY, AUTHORITY, KEY, CERTIFICATE];
    for written in 0..=ORDER.len() {
        let place = Place::new();
        place.open();
        for name in &ORDER[written..] {
            fs::remove_file(place.config.state_dir.join(name)).unwrap();
        }
        let before: Vec<String> = ORDER[..written].iter().map(|name| place.file(name)).collect();
        let keeper = place.open();
        assert_eq!(keeper.is_new(), written < ORDER.len(), "{written} files");
        let after: Vec<String> = ORDER[..written].iter().map(|name| place.file(name)).collect();
        assert_eq!(after, before, "{written} files: what was there stays");
        assert_eq!(place.bundle(), place.file(AUTHORITY), "{written} files");
        assert!(keeper.is_ours().unwrap(), "{written} files: and vouches for what is shown");
    }
}

#[test]
fn a_key_of_somebody_elses_gets_no_certificate() {
    let place = Place::new();
    place.open();
    for name in [AUTHORITY_KEY, AUTHORITY, CERTIFICATE] {
        fs::remove_file(place.config.state_dir.join(name)).unwrap();
    }
    let refused = Keeper::open(&place.config, now()).err().expect("half a pair");
    assert!(refused.to_string().contains("cert.pem is missing"), "{refused}");
    assert!(!place.config.state_dir.join(AUTHORITY).exists());
}

/// A clock that is a year ahead and is then set right, and one that starts in 1970.
#[test]
fn a_certificate_of_ours_is_good_whatever_the_clock_did() {
    let place = Place::new();
    let mut keeper = place.open();
    for moment in [now() + 366 * DAY, now(), SystemTime::UNIX_EPOCH + DAY, now(), now() + DAY] {
        keeper.look(moment);
        let validity = keeper.served.validity().expect("it is read");
        assert!(validity.start <= moment && moment < validity.end, "{validity:?} at {moment:?}");
    }
    assert_eq!(place.bundle(), place.file(AUTHORITY), "what API servers trust is as it was");
}

#[test]
fn a_certificate_of_ours_is_renewed_after_two_thirds_of_its_life() {
    let place = Place::new();
    let mut keeper = place.open();
    let (first, bundle, key) = (shown(&keeper), place.bundle(), place.file(KEY));
    keeper.look(now() + 59 * DAY);
    assert_eq!(shown(&keeper), first);
    keeper.look(now() + 61 * DAY);
    assert_ne!(shown(&keeper), first);
    let end = keeper.served.validity().expect("it is read").end;
    assert_eq!(end.duration_since(now()).unwrap(), 151 * DAY);
    assert_eq!((place.bundle(), place.file(KEY)), (bundle, key), "what API servers trust is as it was");
    let again = shown(&keeper);
    keeper.look(now() + 62 * DAY);
    assert_eq!(shown(&keeper), again, "once is enough");
}

#[test]
fn a_pair_of_an_operator_is_never_touched_and_read_again_when_it_changes() {
    let place = Place::new();
    let first = load_certificate(&place.config, now()).unwrap();
    let mut keeper = place.open();
    assert!(!place.config.state_dir.join(AUTHORITY).exists());
    assert_eq!(place.bundle(), first.certificate_pem());
    keeper.look(now() + 3600 * DAY);
    assert_eq!(place.file(CERTIFICATE), first.certificate_pem(), "close to its end, and still its owner's");

    place.put(CERTIFICATE, RSA.0);
    let before = shown(&keeper);
    keeper.look(now());
    assert_eq!(shown(&keeper), before, "half of a pair is none");
    assert!(keeper.told.is_some() && !place.bundle().contains(RSA.0.trim()));
    place.put(KEY, RSA.1);
    keeper.look(now());
    assert_ne!(shown(&keeper), before);
    assert!(keeper.told.is_none());
    assert!(place.bundle().contains(RSA.0.trim()) && place.bundle().contains(first.certificate_pem().trim()));
    place.put(KEY, "");
    let good = shown(&keeper);
    keeper.look(now());
    assert_eq!(shown(&keeper), good, "the last good one stays");
}

#[test]
fn an_operators_authority_is_what_the_kubeconfig_trusts() {
    let place = Place::new();
    drop(place.open());
    fs::remove_file(place.config.state_dir.join(AUTHORITY_KEY)).unwrap();
    let mut keeper = place.open();
    assert_eq!(place.bundle(), place.file(AUTHORITY));
    let before = place.file(CERTIFICATE);
    keeper.look(now() + 89 * DAY);
    assert_eq!(place.file(CERTIFICATE), before, "without its key nobody can renew");
}

#[test]
fn a_pair_without_authority_gets_one_in_two_steps() {
    let place = Place::new();
    let pair = load_certificate(&place.config, now()).unwrap();
    let mut keeper = place.open();
    let before = shown(&keeper);
    assert_eq!(rotate(&place.config, now()).unwrap(), Rotated::Staged);
    keeper.look(now());
    assert_eq!(shown(&keeper), before);
    let staged = place.bundle();
    assert!(staged.contains(place.file(AUTHORITY).trim()) && staged.contains(pair.certificate_pem().trim()));
    assert_eq!(rotate(&place.config, now()).unwrap(), Rotated::Renewed);
    assert!(place.bundle().contains(pair.certificate_pem().trim()), "a server that runs may still show it");
    keeper.look(now());
    assert_ne!(shown(&keeper), before);
    assert!(is_vouched_for(&keeper.pair, &staged, &place.config.hostname), "who trusted both goes on");
    assert_eq!(rotate(&place.config, now()).unwrap(), Rotated::Renewed);
}

#[test]
fn a_pair_of_an_older_program_gets_an_authority_and_then_a_successor() {
    let place = Place::new();
    fs::create_dir(&place.config.state_dir).unwrap();
    place.put(CERTIFICATE, RSA.0);
    place.put(KEY, RSA.1);
    assert_eq!(rotate(&place.config, now()).unwrap(), Rotated::Staged);
    let error = rotate(&place.config, now()).unwrap_err().to_string();
    assert!(error.contains("remove cert.pem and key.pem"), "{error}");
    assert_eq!((place.file(CERTIFICATE).as_str(), place.file(KEY).as_str()), RSA);
    let staged = place.bundle();
    [CERTIFICATE, KEY].iter().for_each(|name| fs::remove_file(place.config.state_dir.join(name)).unwrap());
    let keeper = place.open();
    assert!(keeper.is_new() && is_vouched_for(&keeper.pair, &staged, &place.config.hostname));
}

#[test]
fn a_mounted_secret_is_read_through_its_links() {
    let place = Place::new();
    let state = &place.config.state_dir;
    fs::create_dir_all(state.join("..2026_01")).unwrap();
    for (name, text) in [(CERTIFICATE, RSA.0), (KEY, RSA.1)] {
        fs::write(state.join("..2026_01").join(name), text).unwrap();
        symlink(Path::new("..data").join(name), state.join(name)).unwrap();
    }
    symlink("..2026_01", state.join("..data")).unwrap();
    let mut keeper = place.open();
    assert_eq!(place.bundle(), RSA.0);
    let other = Place::new();
    let pair = load_certificate(&other.config, now()).unwrap();
    fs::create_dir(state.join("..2026_02")).unwrap();
    for name in [CERTIFICATE, KEY] {
        fs::copy(other.config.state_dir.join(name), state.join("..2026_02").join(name)).unwrap();
    }
    symlink("..2026_02", state.join("..tmp")).unwrap();
    fs::rename(state.join("..tmp"), state.join("..data")).unwrap();
    keeper.look(now());
    assert_eq!(shown(&keeper), pair.chain()[0].to_vec());
    assert!(place.folder.path().exists());
}
