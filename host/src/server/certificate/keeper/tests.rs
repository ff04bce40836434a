//! A certificate's life as a table: what is on disk, what the kubeconfig trusts, what is shown.

use std::{
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::Command,
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::*;
use crate::{
    kubernetes::Kubeconfig,
    server::{
        certificate::{AUTHORITY_KEY, Validity, authority::NEXT_KEY},
        load_certificate,
    },
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
        keeper.write_kubeconfig(now()).unwrap();
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
    keeper.served.shown.load().certified.cert[0].to_vec()
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

/// The certificate is a pipe, which a start reads for as long as it is open.
#[test]
fn a_pair_that_is_replaced_while_a_start_reads_it_is_found_by_the_first_look() {
    let place = Place::new();
    place.open();
    let old = place.file(CERTIFICATE);
    assert_eq!(rotate(&place.config, now() + DAY).unwrap(), Rotated::Renewed);
    let new = place.file(CERTIFICATE);
    let path = place.config.state_dir.join(CERTIFICATE);
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut keeper = thread::scope(|scope| {
        let opened = scope.spawn(|| Keeper::open(&place.config, now() + DAY).unwrap());
        // Waits for whoever reads.
        let mut pipe = fs::OpenOptions::new().write(true).open(&path).unwrap();
        place.put(CERTIFICATE, &new);
        pipe.write_all(old.as_bytes()).unwrap();
        drop(pipe);
        opened.join().unwrap()
    });
    assert_eq!(keeper.pair.certificate_pem(), old);
    keeper.look(now() + DAY);
    assert_eq!(keeper.pair.certificate_pem(), new);
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
        assert!(is_ours(&keeper.folder, &keeper.pair).unwrap(), "{written} files: and vouches for what is shown");
    }
}

/// Also when the first was by a clock that began in 1970, or is so long ago that nobody would take what its authority vouches for.
#[test]
fn a_start_after_the_authoritys_end_shows_nothing_of_it() {
    let later = now() + 3700 * DAY;
    let check = |act: fn(&Place, SystemTime)| {
        let place = Place::new();
        place.open();
        let (first, key) = (place.file(AUTHORITY), place.file(KEY));
        act(&place, later);
        let keeper = Keeper::open(&place.config, later).unwrap();
        keeper.write_kubeconfig(later).unwrap();
        assert_eq!(keeper.served.distrust(), None);
        let bundle = place.bundle();
        assert!(holds(&bundle, &first) && trusts(&bundle, &keeper, &place, later));
        assert_eq!(place.file(KEY), key);
        let state = &place.config.state_dir;
        assert!(!state.join(NEXT).exists() && !state.join(NEXT_KEY).exists(), "the successor has taken over");
    };
    check(|place, _| fs::remove_file(place.config.state_dir.join(CERTIFICATE)).unwrap());
    check(|place, later| assert_eq!(rotate(&place.config, later).unwrap(), Rotated::Renewed));
    // What stands there as a successor has another key's certificate, which no client would take for its own.
    check(|place, _| {
        place.put(NEXT, &place.file(AUTHORITY));
        place.put(NEXT_KEY, &place.file(KEY));
        fs::remove_file(place.config.state_dir.join(CERTIFICATE)).unwrap();
    });
    // There is a successor, which has not come to it.
    check(|place, _| {
        place.open().look(now() + 2435 * DAY);
        fs::remove_file(place.config.state_dir.join(CERTIFICATE)).unwrap();
    });
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
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
    for moment in [now() + 366 * DAY, now(), SystemTime::UNIX_EPOCH + DAY, now(), started, now(), now() + DAY] {
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
fn what_only_looks_like_a_certificate_is_none() {
    let place = Place::new();
    let pair = load_certificate(&place.config, now()).unwrap();
    place.put(AUTHORITY, &format!("#{}", pair.certificate_pem()));
    let keeper = place.open();
    assert_eq!(place.bundle(), pair.certificate_pem());
    assert_eq!(keeper.served.distrust(), None);
}

/// Everybody may read it. Some have their key in one file with the certificate, and whoever has the folder may make a file of
/// it a link to what only root may read, who calls `herald init` there.
#[test]
fn nothing_but_certificates_goes_into_the_kubeconfig() {
    let place = Place::new();
    let pair = load_certificate(&place.config, now()).unwrap();
    place.put(CERTIFICATE, &format!("{}{}", place.file(CERTIFICATE), place.file(KEY)));
    place.put(AUTHORITY, "somebody's words\n");
    drop(place.open());
    assert_eq!(place.bundle(), pair.certificate_pem());
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

/// What is signed with another key is trusted by no API server, and takes the place of what all of them trust.
#[test]
fn an_operators_authority_gets_no_key_of_ours() {
    let place = Place::new();
    drop(place.open());
    let (state, before) = (&place.config.state_dir, place.file(CERTIFICATE));
    fs::remove_file(state.join(AUTHORITY_KEY)).unwrap();
    for attempt in 0..2 {
        let error = rotate(&place.config, now()).unwrap_err().to_string();
        assert!(error.contains("ca-key.pem is missing: put the missing file back"), "{attempt}: {error}");
        assert!(!state.join(AUTHORITY_KEY).exists());
    }
    // As the first call left it in versions before.
    place.put(AUTHORITY_KEY, &place.file(KEY));
    let error = rotate(&place.config, now()).unwrap_err().to_string();
    assert!(error.contains("remove ca-key.pem to go on with the pair that is there"), "{error}");
    assert_eq!(place.file(CERTIFICATE), before);
    fs::remove_file(state.join(AUTHORITY_KEY)).unwrap();
    [CERTIFICATE, KEY].iter().for_each(|name| fs::remove_file(state.join(name)).unwrap());
    for attempt in 0..2 {
        let refused = Keeper::open(&place.config, now()).err().expect("half an authority").to_string();
        assert!(refused.contains("ca-key.pem is missing"), "{attempt}: {refused}");
    }
}

/// Nobody has to clear away more than what was wrong.
#[test]
fn a_start_that_is_refused_leaves_nothing_behind() {
    let (place, other) = (Place::new(), Place::new());
    [&place, &other].into_iter().for_each(|place| drop(place.open()));
    let state = &place.config.state_dir;
    let foreign = [other.file(AUTHORITY_KEY), RSA.1.to_owned(), "spoilt".to_owned()];
    for key in foreign {
        place.put(AUTHORITY_KEY, &key);
        for name in [CERTIFICATE, KEY] {
            let _ = fs::remove_file(state.join(name));
        }
        let refused = Keeper::open(&place.config, now()).err().expect("nobody would trust it").to_string();
        assert!(refused.contains("ca.pem in the state directory does not vouch"), "{refused}");
        assert!(!state.join(KEY).exists() && !state.join(CERTIFICATE).exists());
    }
    [AUTHORITY, AUTHORITY_KEY].iter().for_each(|name| fs::remove_file(state.join(name)).unwrap());
    assert!(place.open().is_new(), "as the refusal says");
}

#[test]
fn a_good_pair_is_shown_whatever_key_stands_beside_the_authority() {
    let other = Place::new();
    drop(other.open());
    let foreign = [other.file(AUTHORITY_KEY), RSA.1.to_owned(), "spoilt".to_owned()];
    for key in foreign {
        let mut place = Place::new();
        let first = shown(&place.open());
        let (certificate, trusted) = (place.file(CERTIFICATE), place.bundle());
        place.put(AUTHORITY_KEY, &key);
        // It is for the same host name, by which API servers come, and not for this address.
        place.config.address = "10.0.0.7".parse().unwrap();
        let mut keeper = place.open();
        assert_eq!((shown(&keeper), keeper.served.distrust()), (first.clone(), None));
        assert_eq!((place.file(CERTIFICATE), place.bundle()), (certificate.clone(), trusted));
        place.put(KEY, &place.file(KEY));
        keeper.look(now());
        assert!(keeper.told.is_none(), "{:?}", keeper.told);
        // That nobody renews it is told when its time comes.
        keeper.look(now() + 61 * DAY);
        assert!(keeper.told.is_some() && shown(&keeper) == first);
        assert_eq!(place.file(CERTIFICATE), certificate);
        // Another host name is another matter: API servers that start now do not trust it, and are told of.
        place.config.hostname = "herald.example.com".parse().unwrap();
        assert_eq!(place.open().served.distrust().map(|distrust| distrust.reason()), Some("webhook_name"));
    }
}

#[test]
fn a_successor_with_a_spoilt_key_is_made_again() {
    let place = Place::new();
    let mut keeper = place.open();
    keeper.look(now() + 2435 * DAY);
    place.put(NEXT_KEY, "spoilt");
    let mut keeper = Keeper::open(&place.config, now() + 2436 * DAY).unwrap();
    keeper.look(now() + 2436 * DAY);
    assert!(place.file(NEXT_KEY).contains("PRIVATE KEY"));
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
    assert!(is_vouched_for(&keeper.pair, &staged), "who trusted both goes on");
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
    assert!(keeper.is_new() && is_vouched_for(&keeper.pair, &staged));
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

/// What a kubeconfig of before makes an API server think of what is shown now.
fn trusts(bundle: &str, keeper: &Keeper, place: &Place, now: SystemTime) -> bool {
    let path = place.folder.path().join("before.yaml");
    write_kubeconfig(&place.config, bundle, &path).unwrap();
    trust::judge(&path, &keeper.pair.chain(), now).expect("it can be told").is_ok()
}

fn ends(pem: &str) -> Vec<SystemTime> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| Validity::of(&der.unwrap()).unwrap().end);
    all.collect()
}

#[test]
fn an_authority_has_a_successor_before_it_ends() {
    let place = Place::new();
    let mut keeper = place.open();
    let first = place.bundle();
    assert_eq!(ends(&first), [now() + 3652 * DAY]);
    keeper.look(now() + 2434 * DAY);
    assert!(!place.config.state_dir.join(NEXT).exists(), "two thirds are not over yet");
    keeper.look(now() + 2435 * DAY);
    let staged = place.bundle();
    let next = place.file(NEXT);
    assert_eq!(staged, format!("{first}{next}"), "API servers that start from now on trust both");
    keeper.staged = None;
    let mut day = 2435;
    // A server that looks once a day, for as long as the first authority has time for a whole certificate.
    while day < 3561 {
        keeper.look(now() + day * DAY);
        assert!(trusts(&first, &keeper, &place, now() + day * DAY), "day {day}");
        day += 1;
    }
    assert_eq!(place.bundle(), staged, "nothing else is made");
    // And until long after its end: who was restarted in the years between notices nothing.
    while day < 3700 {
        keeper.look(now() + day * DAY);
        assert!(trusts(&staged, &keeper, &place, now() + day * DAY), "day {day}");
        day += 1;
    }
    assert!(!place.config.state_dir.join(NEXT).exists() && !place.config.state_dir.join(NEXT_KEY).exists());
    assert_eq!(place.file(AUTHORITY), format!("{next}{first}"));
    let key = fs::metadata(place.config.state_dir.join(AUTHORITY_KEY)).unwrap().permissions().mode();
    assert_eq!(key & 0o777, 0o600);
    assert!(place.open().succession.is_some(), "the successor will have one of its own");
}

/// As one that shows local time, until the network sets it.
#[test]
fn an_authority_of_a_clock_that_was_ahead_is_good_when_it_is_right() {
    let place = Place::new();
    let mut keeper = Keeper::open(&place.config, now() + DAY / 2).unwrap();
    keeper.write_kubeconfig(now() + DAY / 2).unwrap();
    let first = place.bundle();
    keeper.look(now());
    assert!(trusts(&first, &keeper, &place, now()));
    assert_eq!((keeper.served.distrust(), place.bundle()), (None, first));
}

#[test]
fn a_clock_that_jumps_past_the_end_takes_trust_from_nobody() {
    let place = Place::new();
    let mut keeper = place.open();
    let first = place.bundle();
    for _ in 0..3 {
        keeper.look(now() + 4000 * DAY);
    }
    keeper.look(now());
    assert!(trusts(&first, &keeper, &place, now()), "once it is right again");
    // And what it has made takes over all the same, when the years are really over.
    let staged = place.bundle();
    keeper.staged = None;
    for day in 3500..3700 {
        keeper.look(now() + day * DAY);
        assert!(trusts(&staged, &keeper, &place, now() + day * DAY), "day {day}");
    }
    assert!(!place.config.state_dir.join(NEXT).exists());
    // A machine that was off as long: for who was started again since.
    let place = Place::new();
    drop(place.open());
    let mut keeper = place.open();
    let later = now() + 4000 * DAY;
    keeper.look(later);
    let staged = place.bundle();
    keeper.staged = Instant::now().checked_sub(PATIENCE);
    keeper.look(later);
    assert!(trusts(&staged, &keeper, &place, later));
}

#[test]
fn who_was_off_for_years_gives_api_servers_time_to_be_restarted() {
    let place = Place::new();
    drop(place.open());
    let first = place.bundle();
    let mut keeper = place.open();
    keeper.look(now() + 3600 * DAY);
    keeper.look(now() + 3600 * DAY);
    keeper.look(now() + 3601 * DAY);
    assert!(place.config.state_dir.join(NEXT).exists());
    assert!(trusts(&first, &keeper, &place, now() + 3601 * DAY), "the first vouches on");
    let end = keeper.served.validity().unwrap().end;
    assert!(end <= now() + 3652 * DAY, "and for no longer than it is good itself");
    let staged = place.bundle();
    keeper.staged = None;
    for day in 3602..3660 {
        keeper.look(now() + day * DAY);
        assert!(trusts(&staged, &keeper, &place, now() + day * DAY), "day {day}");
    }
}

#[test]
fn a_hand_over_that_was_cut_short_is_finished() {
    let place = Place::new();
    let mut keeper = place.open();
    keeper.look(now() + 2435 * DAY);
    let (first, next) = (place.file(AUTHORITY), place.file(NEXT));
    // The certificate of both was written, the key was not.
    place.put(AUTHORITY, &format!("{next}{first}"));
    let mut keeper = place.open();
    for day in 3500..3660 {
        keeper.look(now() + day * DAY);
        assert!(trusts(&format!("{first}{next}"), &keeper, &place, now() + day * DAY), "day {day}");
    }
    assert_eq!(place.file(AUTHORITY), format!("{next}{first}"));
    // The key was written, the rest was not taken away.
    place.put(NEXT, &next);
    place.put(NEXT_KEY, &place.file(AUTHORITY_KEY));
    assert!(place.open().succession.is_some());
}

#[test]
fn another_name_gets_another_certificate() {
    let mut place = Place::new();
    let (first, key) = (place.open(), place.file(KEY));
    place.config.hostname = "herald.example.com".parse().unwrap();
    place.config.address = "10.0.0.7".parse().unwrap();
    let second = place.open();
    assert_ne!(shown(&second), shown(&first));
    assert_eq!(place.file(KEY), key);
    assert!(second.served.distrust().is_none());
    let third = place.open();
    assert_eq!(shown(&third), shown(&second), "once is enough");
    // A pair that is not ours stays, and that nobody can use it is told.
    let mut place = Place::new();
    load_certificate(&place.config, now()).unwrap();
    place.config.hostname = "herald.example.com".parse().unwrap();
    let keeper = place.open();
    let distrust = keeper.served.distrust().expect("it is told").to_string();
    assert!(distrust.contains("as herald.example.com, which the certificate in force is not for"), "{distrust}");
}

/// `herald init --rotate` by somebody who has not got the server's configuration, and a server of another one.
#[test]
fn names_of_others_on_the_same_folder_are_not_shown() {
    let mut place = Place::new();
    place.config.hostname = "herald.example.com".parse().unwrap();
    let mut keeper = place.open();
    let first = shown(&keeper);
    let others = Config { hostname: Hostname::default(), ..place.config.clone() };
    assert_eq!(rotate(&others, now()).unwrap(), Rotated::Renewed);
    keeper.look(now());
    assert_ne!(shown(&keeper), first);
    assert!(is_for(&keeper.pair, names(&place.config)));
    assert_eq!(keeper.served.distrust(), None, "the kubeconfig has the server's name again");
    // Both run on: neither goes on for ever.
    let mut other = Keeper::open(&others, now()).unwrap();
    let look = |keeper: &mut Keeper, other: &mut Keeper| {
        for _ in 0..3 {
            keeper.look(now());
            other.look(now());
        }
        place.file(CERTIFICATE)
    };
    let settled = look(&mut keeper, &mut other);
    assert_eq!(look(&mut keeper, &mut other), settled);
    // And each shows its own names, whichever of the two is on disk.
    assert!(is_for(&keeper.pair, names(&place.config)) && is_for(&other.pair, names(&others)));
    // Who is left is for its own as well, also when its time comes.
    drop(other);
    keeper.look(now() + 61 * DAY);
    assert!(is_for(&keeper.pair, names(&place.config)));
    assert_eq!(keeper.served.validity().expect("it is read").end, now() + 151 * DAY);
    assert_eq!(place.file(CERTIFICATE), keeper.pair.certificate_pem());
}

#[test]
fn what_others_write_into_the_kubeconfig_is_judged() {
    let mut place = Place::new();
    place.config.kubeconfig_pregenerated = true;
    let other = Place::new();
    drop(other.open());
    fs::copy(&other.config.generate_kubeconfig, &place.config.generate_kubeconfig).unwrap();
    let mut keeper = place.open();
    assert_eq!(keeper.served.distrust().as_deref(), Some(&trust::Distrust::Authority));
    write_kubeconfig(&place.config, &place.file(AUTHORITY), &place.config.generate_kubeconfig).unwrap();
    keeper.look(now());
    assert_eq!(keeper.served.distrust(), None);
    fs::write(&place.config.generate_kubeconfig, "nonsense").unwrap();
    keeper.look(now());
    assert_eq!(keeper.served.distrust().map(|distrust| distrust.reason()), Some("webhook_kubeconfig"));
    fs::remove_file(&place.config.generate_kubeconfig).unwrap();
    keeper.look(now());
    assert_eq!(keeper.served.distrust(), None, "there may be no API server on this machine");
}
