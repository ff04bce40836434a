//! What is made, where, and whose it is then.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    time::Duration,
};

use expect_test::expect;

use super::*;
use crate::kubernetes::Kubeconfig;

const KUBECONFIG: &str = "herald.kubeconfig";

fn command(folder: &Path) -> Command {
    Command {
        hostname: None,
        address: None,
        state_dir: Some(folder.to_owned()),
        generate_kubeconfig: Some(folder.join(KUBECONFIG)),
        rotate: false,
        owner: None,
        folders: false,
        emit: None,
        values: emit::Values::default(),
        patch_static_pod: None,
        undo: false,
    }
}

#[track_caller]
fn run(folder: &Path) -> String {
    let mut out = Vec::new();
    make_and_tell(&command(folder), &Globals::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap().replace(&folder.display().to_string(), "FOLDER")
}

#[test]
fn writes_three_files_and_keeps_the_pair() {
    let folder = tempfile::tempdir().unwrap();
    expect![[r#"
        wrote FOLDER/cert.pem
        wrote FOLDER/key.pem
        wrote FOLDER/herald.kubeconfig

        Next, on every control-plane node:
          1. copy FOLDER/cert.pem and FOLDER/key.pem to /var/herald/
          2. copy FOLDER/herald.kubeconfig to /etc/kubernetes/herald/kubeconfig.yaml
          3. run  herald server -i prod.example.com --kubeconfig-pregenerated
          4. start kube-apiserver with  --authentication-token-webhook-config-file=/etc/kubernetes/herald/kubeconfig.yaml
    "#]].assert_eq(&run(folder.path()));
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cert.pem", "herald.kubeconfig", "key.pem"]);
    let mode = fs::metadata(folder.path().join("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let certificate = fs::read_to_string(folder.path().join("cert.pem")).unwrap();
    let kubeconfig = fs::read_to_string(folder.path().join(KUBECONFIG)).unwrap();
    let expected = Kubeconfig::webhook(server::NAME, "https://localhost:21362/authenticate".to_owned(), &certificate);
    assert_eq!(serde_saphyr::from_str::<Kubeconfig>(&kubeconfig).unwrap(), expected);

    assert!(run(folder.path()).starts_with("kept FOLDER/cert.pem\nkept FOLDER/key.pem\nwrote "));
    assert_eq!(fs::read_to_string(folder.path().join("cert.pem")).unwrap(), certificate);
}

#[test]
fn owners() {
    for (text, expected) in
        [("65534:65532", Some(Owner(65534, 65532))), ("65534", None), ("nobody:0", None), (":", None)]
    {
        assert_eq!(text.parse().ok(), expected, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let me = Owner(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    make(&Command { owner: Some(me), ..command(folder.path()) }).expect("one's own files can be given to oneself");
}

fn make(command: &Command) -> anyhow::Result<()> {
    make_and_tell(command, &Globals::default(), &mut Vec::new())
}

fn make_and_tell(command: &Command, globals: &Globals, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    command.make(server::Config::default(), ("prod.example.com", globals, false), now, out)
}

/// Without them it would serve other mappings in other places, where no API server asks.
#[test]
fn the_server_is_to_be_started_with_the_file_and_the_address_that_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let globals = Globals { config: Some("/etc/herald/config.yaml".into()), ..Globals::default() };
    let command = Command { address: "10.0.0.1".parse().ok(), ..command(folder.path()) };
    let mut out = Vec::new();
    make_and_tell(&command, &globals, &mut out).unwrap();
    let said = String::from_utf8(out).unwrap();
    let expected = "run  herald server --config /etc/herald/config.yaml -i prod.example.com --address 10.0.0.1 \
                    --kubeconfig-pregenerated\n";
    assert!(said.contains(expected), "{said}");
}

/// The server that has a state directory can read all that is in it, whoever calls `init` beside it. Only root can be that
/// somebody else.
#[test]
fn files_are_the_servers_whoever_makes_them() {
    const SERVER: u32 = 65532;
    #[track_caller]
    fn check(folder_of: u32, owner: Option<Owner>, steps: &[bool], expected: &[(&str, u32)]) {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        chown(&state, Some(folder_of), Some(folder_of)).unwrap();
        for rotate in steps {
            let kubeconfig = Some(folder.path().join("output").join(KUBECONFIG));
            let command = Command { rotate: *rotate, owner, generate_kubeconfig: kubeconfig, ..command(&state) };
            make(&command).unwrap();
        }
        let folders = [&state, &folder.path().join("output")].map(|folder| fs::read_dir(folder).unwrap());
        let files = folders.into_iter().flatten().map(|entry| entry.unwrap());
        let mut files: Vec<_> = files
            .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap()))
            .map(|(name, about)| (name, (about.uid(), about.gid())))
            .collect();
        for name in ["state", "output"] {
            let about = fs::metadata(folder.path().join(name)).unwrap();
            files.push((name.to_owned(), (about.uid(), about.gid())));
        }
        files.sort();
        let expected: Vec<_> = expected.iter().map(|(name, of)| ((*name).to_owned(), (*of, *of))).collect();
        assert_eq!(files, expected);
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let all = |of| {
        let names = ["ca-key.pem", "ca.pem", "cert.pem", KUBECONFIG, "key.pem", "output", "state"];
        names.map(|name| (name, of))
    };
    let server = Some(Owner(SERVER, SERVER));
    check(0, None, &[false, true, true], &all(0));
    check(0, server, &[false, true], &all(SERVER));
    check(SERVER, server, &[false, true, true], &all(SERVER));
    // The kubeconfig holds no secret, and its folder is root's.
    let of_folders = |name: &str| if name == KUBECONFIG || name == "output" { 0 } else { SERVER };
    check(SERVER, None, &[false, true], &all(0).map(|(name, _)| (name, of_folders(name))));
    check(SERVER, None, &[false, true, true], &all(0).map(|(name, _)| (name, of_folders(name))));
}

/// What is given away: every file that Herald knows, and no folder that nobody has named.
#[test]
fn belongings() {
    #[track_caller]
    fn check(state_dir: &str, is_named: bool, kubeconfig: &str, folders: &[&str]) {
        let (state_dir, generate_kubeconfig) = (PathBuf::from(state_dir), PathBuf::from(kubeconfig));
        let config = server::Config { state_dir, generate_kubeconfig, ..server::Config::default() };
        let found = format!("{:?}", Belongings::of(&config, is_named));
        let (files, found) = found.split_once(", folders: ").unwrap();
        assert_eq!(found.trim_end_matches(" }"), format!("{folders:?}"));
        for name in server::certificate::FILES {
            assert!(files.contains(&format!("{:?}", config.state_dir.join(name))), "{files}");
        }
        assert!(files.contains(&format!("{kubeconfig:?}")), "{files}");
    }
    check(".", false, "herald.kubeconfig", &[]);
    check(".", false, "./herald.kubeconfig", &[]);
    check(".", true, "herald.kubeconfig", &["."]);
    check("", true, "herald.kubeconfig", &["."]);
    check("/", true, "herald.kubeconfig", &["/"]);
    check("/tmp", true, "/tmp/herald.kubeconfig", &["/tmp", "/tmp"]);
    check(".", false, "/etc/no-such-folder/deep/kubeconfig.yaml", &["/etc/no-such-folder/deep", "/etc/no-such-folder"]);
    check("no-such-folder/deep", true, "herald.kubeconfig", &["no-such-folder/deep", "no-such-folder"]);
}

#[test]
fn folders_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (state, output) = (folder.path().join("var/herald"), folder.path().join("etc/herald"));
    let me = Owner(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let kubeconfig = Some(output.join(KUBECONFIG));
    let command = Command { folders: true, owner: Some(me), generate_kubeconfig: kubeconfig, ..command(&state) };
    for _ in 0..2 {
        let mut out = Vec::new();
        command.run(&Config::default(), &Globals::default(), SystemTime::UNIX_EPOCH, &mut out).unwrap();
        let said = String::from_utf8(out).unwrap().replace(&folder.path().display().to_string(), "");
        assert_eq!(said, "/var/herald is there\n/etc/herald is there\n");
    }
    let usual = folder.path().join("usual");
    fs::create_dir(&usual).unwrap();
    let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o077;
    assert_eq!((mode(&state), mode(&output)), (0, mode(&usual)), "the kubeconfig is the API server's to read");
    for folder in [&state, &output] {
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
}

/// Whoever has the folder could else be given any file of the machine.
#[test]
fn what_a_link_points_at_is_not_given_away() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (state, secret) = (folder.path().join("state"), folder.path().join("secret"));
    fs::create_dir(&state).unwrap();
    fs::write(&secret, "-").unwrap();
    make(&command(&state)).unwrap();
    symlink(&secret, state.join("ca-next-key.pem")).unwrap();
    make(&Command { owner: Some(Owner(65532, 65532)), ..command(&state) }).unwrap();
    assert_eq!(fs::metadata(&secret).unwrap().uid(), 0);
}

/// The server would not start with it.
#[test]
fn what_another_user_has_compiled_is_taken_away() {
    #[track_caller]
    fn check(user: u32, key: &[u8], stays: bool) {
        let folder = tempfile::tempdir().unwrap();
        let compiled = folder.path().join("compiled");
        fs::create_dir(&compiled).unwrap();
        fs::write(compiled.join("key"), key).unwrap();
        chown(&compiled, Some(user), Some(user)).unwrap();
        for _ in 0..2 {
            let (owner, state_dir) = (Some(Owner(65532, 65532)), Some(folder.path().to_owned()));
            make(&Command { owner, state_dir, ..command(folder.path()) }).unwrap();
            assert_eq!(compiled.exists(), stays);
        }
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    check(0, &[7; 32], false);
    check(65532, &[7; 32], true);
    // A folder of somebody's that is only called so.
    check(0, b"-----BEGIN PRIVATE KEY-----", true);
}

/// Who has no authority in the state directory has to come back before the end.
#[test]
fn a_rotation_says_until_when_it_is_good_and_who_renews_it() {
    let folder = tempfile::tempdir().unwrap();
    make(&command(folder.path())).unwrap();
    let rotate = Command { rotate: true, ..command(folder.path()) };
    make(&rotate).unwrap();
    let mut out = Vec::new();
    make_and_tell(&rotate, &Globals::default(), &mut out).unwrap();
    let said = String::from_utf8(out).unwrap().replace(&folder.path().display().to_string(), "FOLDER");
    expect![[r#"
        wrote FOLDER/cert.pem, good until 2024-02-12T22:13:20Z
        A server that runs takes it up within seconds; API servers need no restart.
        One with ca.pem and ca-key.pem in its state directory renews it by itself; for any other, run this command again before the end.
    "#]].assert_eq(&said);
}

#[test]
fn places() {
    #[track_caller]
    fn check(name: Name, configured: bool, state_dir: &str, kubeconfig: &str) {
        let mut config = server::Config::default();
        name.place(&mut config);
        let command = Command { state_dir: None, generate_kubeconfig: None, ..command(Path::new("")) };
        command.apply(&mut config, name, configured);
        assert_eq!(plain(&config.state_dir.join("cert.pem")).to_string(), format!("{state_dir}cert.pem"));
        assert_eq!(config.generate_kubeconfig, Path::new(kubeconfig));
    }
    check(Name::Herald, false, "", "herald.kubeconfig");
    check(Name::Herald, true, "/var/herald/", "/etc/kubernetes/herald/kubeconfig.yaml");
    check(Name::HeptioAuthenticatorAws, false, "", "heptio-authenticator-aws.kubeconfig");
    let configured = "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml";
    check(Name::AwsIamAuthenticator, true, "/var/aws-iam-authenticator/", configured);
}
