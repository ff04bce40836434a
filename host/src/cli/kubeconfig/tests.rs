//! The arguments, and the file as a file.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(flatten)]
    command: Command,
}

fn entry(words: &str) -> anyhow::Result<Entry> {
    let cli = Cli::try_parse_from(std::iter::once("kubeconfig").chain(words.split_whitespace()))?;
    cli.command.entry(&cli.globals)
}

#[test]
fn arguments_of_the_plugin() {
    #[track_caller]
    fn check(words: &str, expected: &str) {
        assert_eq!(entry(words).expect("good arguments").args.join(" "), expected, "{words}");
    }
    let role = "arn:aws:iam::123456789012:role/Admin";
    check("--name prod", "token -i prod");
    check("--name prod -i prod.example.com --cache", "token -i prod.example.com --cache");
    check(
        &format!("--name prod --role-arn {role} --profile work --region eu-west-1"),
        &format!("token -i prod --region eu-west-1 --profile work --role {role}"),
    );
    check("--name prod --role-arn= --profile= --region= --server= --alias= --user-alias=", "token -i prod");
    let ram_role = "acs:ram::1111222233334444:role/Admin";
    check(
        &format!("--name c5d2a --provider alibaba --region cn-hangzhou --role-arn {ram_role}"),
        &format!("token -i c5d2a --provider alibaba --region cn-hangzhou --role {ram_role}"),
    );
    for wrong in [
        format!("--name a --role-arn {ram_role}"),
        format!("--name a --provider alibaba --role-arn {role}"),
        "--name a --provider azure".to_owned(),
    ] {
        assert!(entry(&wrong).is_err(), "{wrong}");
    }
    for wrong in
        ["", "--name prod --server http://x", "--name prod -r Admin", "--name prod --certificate-authority /dev/null"]
    {
        assert!(entry(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_usual_file() {
    #[track_caller]
    fn check(list: Option<&str>, home: Option<&str>, expected: Option<&str>) {
        let found = usual_file(list.map(Into::into), home.map(Into::into)).ok();
        assert_eq!(found.as_deref(), expected.map(Path::new), "{list:?} {home:?}");
    }
    check(Some("/a:/b"), Some("/home/bob"), Some("/a"));
    check(Some(":/b"), Some("/home/bob"), Some("/b"));
    check(Some(""), Some("/home/bob"), Some("/home/bob/.kube/config"));
    check(None, Some("/home/bob"), Some("/home/bob/.kube/config"));
    check(None, Some(""), None);
}

#[test]
fn the_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, link) = (folder.path().join("deep/config"), folder.path().join("link"));
    change(&path, |text| Ok(format!("{text}one\n"))).expect("a new file");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    symlink(&path, &link).expect("a link");
    change(&link, |text| Ok(format!("{text}two\n"))).expect("changed");
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o640);
    change(&path, |_| bail!("no")).expect_err("refused");
    assert_eq!(fs::read_to_string(&path).expect("text"), "one\ntwo\n");
    let left: Vec<_> = fs::read_dir(folder.path().join("deep")).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "neither a lock nor a half file: {left:?}");
}

/// As set-up that runs as root does: kubectl has to read it afterwards. Only root can be that somebody else.
#[test]
fn somebody_elses_file_stays_theirs() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    fs::write(&path, "one\n").expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
    chown(&path, Some(65532), Some(65533)).expect("another owner");
    change(&path, |text| Ok(format!("{text}two\n"))).expect("changed");
    let about = fs::metadata(&path).expect("a file");
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o777), (65532, 65533, 0o640));
    assert_eq!(fs::read_to_string(&path).expect("text"), "one\ntwo\n");
}

#[test]
fn changes_wait_for_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let patience = Duration::from_secs(60);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| change_within(patience, &path, |text| Ok(format!("{text}line\n"))).expect("changed"));
        }
    });
    assert_eq!(fs::read_to_string(&path).expect("text").lines().count(), 8);
    File::create(folder.path().join("config.lock")).expect("a file");
    let error = change_within(2 * LOOK_AGAIN, &path, |text| Ok(text.to_owned())).expect_err("locked");
    assert!(error.to_string().contains("config.lock"), "{error}");
}
