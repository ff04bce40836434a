//! One binary: Herald where nothing else of a system is but the C library that it is linked to, as in an image made of it.

use tests::{
    herald::{Finished, binary, finish},
    sts::BOB,
    tools,
};
use tokio::process::Command;

use crate::support::{CLUSTER, config, setup, sts, terminal};

/// Runs its last arguments in a root that holds a folder, a file, and the program with what it is linked to: `FOLDER FILE
/// PROGRAM ARGUMENTS…`. Needs mounts of its own.
const ALONE: &str = r#"
set -e
folder=$1 file=$2 program=$3
shift 2
root=$folder/root
mkdir -p "$root"
mount -t tmpfs none "$root"
for one in "$file" "$program" $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$root${one%/*}"
    touch "$root$one"
    mount --bind "$(realpath "$one")" "$root$one"
done
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
exec chroot "$root" "$@"
"#;

#[tokio::test]
async fn nothing_else_is_needed() {
    if !tools::own_mounts() {
        return;
    }
    let sts = sts().await;
    let (setup, home) = (setup(&sts, &config("")), tempfile::tempdir().expect("a folder"));
    let (folder, ca) = (setup.folder().display().to_string(), sts.ca_file().display().to_string());
    let alone = ["unshare", "--map-root-user", "--mount", "sh", "-c", ALONE, "sh", &folder, &ca];
    let server = setup.under(&alone).start().await.expect("a server");
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(alone[0]);
        command.args(&alone[1..]).arg(binary().expect("herald")).args(arguments).env_clear();
        command.envs(terminal(&BOB, home.path())).envs(sts.environment());
        finish(command).await.and_then(Finished::success).expect("exit code 0")
    };
    assert!(run(&["version", "--short"]).await.stdout.starts_with(env!("CARGO_PKG_VERSION")));
    let token = run(&["token", "-i", CLUSTER]).await.token().expect("a token");
    let verified = run(&["verify", "-i", CLUSTER, "-t", &token]).await;
    assert!(verified.stdout.contains(BOB.arn), "{verified:?}");
    let answer = server.review(&token).await.expect("an answer");
    assert_eq!(answer.username().as_deref(), Some("bob"), "{}", answer.text);
}

/// `.cargo/config.toml` has rustc leave that to the linker, and `host/build.rs` has the linker do it.
#[tokio::test]
async fn no_address_can_be_written_once_it_runs() {
    let mut readelf = Command::new("readelf");
    readelf.args(["--dynamic", "--program-headers", "--wide"]).arg(binary().expect("herald"));
    let parts = finish(readelf).await.expect("binutils, which the linker comes from").stdout;
    assert!(parts.contains("GNU_RELRO") && parts.contains("BIND_NOW"), "{parts}");
}
