//! A cluster is set up by hand, by kops or by kubeadm: files made beforehand, where they end up, and the API server's manifest.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use tests::{
    herald::{Finished, binary, finish, repository},
    sts::BOB,
    tools,
};
use tokio::process::Command;

use crate::support::{CLUSTER, config, fresh, setup, sts, until};

async fn herald(name: &str, folder: &Path, arguments: &[&str]) -> Finished {
    let link = folder.join(name);
    if !link.exists() {
        symlink(binary().expect("herald"), &link).expect("a link");
    }
    let mut command = Command::new(link);
    command.args(arguments).env_clear().current_dir(folder);
    finish(command).await.expect("it runs")
}

/// `init` on one machine, three uploads, and the hook's `aws s3 cp --recursive` on each control-plane node; the server then
/// has one folder for its state and its output, both of which are there.
#[tokio::test]
async fn files_made_beforehand_come_by_the_hook_of_kops_and_stay_as_they_are() {
    let (laptop, store) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    herald("heptio-authenticator-aws", laptop.path(), &["init", "-i", CLUSTER]).await.success().expect("files");
    let kubeconfig = "heptio-authenticator-aws.kubeconfig";
    for (name, key) in [("cert.pem", "cert.pem"), ("key.pem", "key.pem"), (kubeconfig, "kubeconfig.yaml")] {
        fs::copy(laptop.path().join(name), store.path().join(key)).expect("an upload");
    }
    assert!(!fs::read_to_string(store.path().join("kubeconfig.yaml")).expect("a file").contains("PRIVATE"));

    let sts = sts().await;
    let node = setup(&sts, &config("  kubeconfigPregenerated: true"));
    let folder = node.folder().to_owned();
    fs::create_dir(folder.join("state")).expect("a folder");
    let places = [("cert.pem", "state/cert.pem"), ("key.pem", "state/key.pem"), ("kubeconfig.yaml", "kubeconfig.yaml")];
    for (key, place) in places {
        fs::copy(store.path().join(key), folder.join(place)).expect("a download");
    }
    let files = || places.map(|(_, place)| fs::read(folder.join(place)).expect("a file"));
    let before = files();
    let mut server = node.start().await.expect("a server");
    assert_eq!(server.url, "https://localhost:21362/authenticate", "as `init` wrote it");
    // The harness lets the system pick a port.
    let log = server.stderr.text();
    let port =
        log.split("listening on ").nth(1).and_then(|rest| rest.split([' ', '/', '"']).next()).expect("an address");
    server.url = server.url.replace("localhost:21362", &port.replace("127.0.0.1", "localhost"));
    let answer = server.review(&fresh(&BOB)).await.expect("TLS with the pair that was brought");
    assert_eq!(answer.username().as_deref(), Some("bob"));
    assert_eq!(files(), before, "nothing was made anew");
}

/// kubeadm's manifest, shortened.
const MANIFEST: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - command:
    - kube-apiserver
    - --secure-port=6443 # behind the balancer
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
  volumes:
  - hostPath: {path: /etc/kubernetes/pki}
    name: k8s-certs
";

#[tokio::test]
async fn an_api_server_is_pointed_at_the_webhook_and_away_again() {
    let node = tempfile::tempdir().expect("a folder");
    let manifests = node.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    let manifest = manifests.join("kube-apiserver.yaml");
    fs::write(&manifest, MANIFEST).expect("a manifest");
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o600)).expect("a mode");
    let place = |name: &str| node.path().join(name).display().to_string();
    let state_dir = format!("--state-dir={}", place("state"));
    let kubeconfig = format!("--generate-kubeconfig={}", place("webhook/kubeconfig.yaml"));
    let manifest_path = manifest.display().to_string();
    let patch = ["init", "-i", CLUSTER, &state_dir, &kubeconfig, "--patch-static-pod", &manifest_path];
    let text = || fs::read_to_string(&manifest).expect("a manifest");

    let said = herald("herald", node.path(), &patch).await.success().expect("it is patched").stdout;
    assert!(said.contains("changed ") && said.contains("kube-apiserver.yaml.before"), "{said}");
    let patched = text();
    let flag = format!("    - --authentication-token-webhook-config-file={}\n", place("webhook/kubeconfig.yaml"));
    assert_eq!(patched.matches(&flag).count(), 1, "{patched}");
    assert_eq!(patched.matches(&format!("mountPath: {}\n", place("webhook"))).count(), 1, "{patched}");
    assert!(patched.contains("--secure-port=6443 # behind the balancer\n"), "comments stay");
    assert!(Path::new(&place("webhook/kubeconfig.yaml")).exists(), "an API server would not start without it");
    assert_eq!(fs::read_to_string(place("webhook/kube-apiserver.yaml.before")).expect("a copy"), MANIFEST);
    assert_eq!(fs::metadata(&manifest).expect("a file").permissions().mode() & 0o777, 0o600);

    // After a restart, and with the certificate as it is, there is nothing to do again.
    let said = herald("herald", node.path(), &patch).await.success().expect("it is patched").stdout;
    assert!(said.contains("there is nothing to change"), "{said}");
    assert_eq!(text(), patched);
    assert_eq!(fs::read_to_string(place("webhook/kube-apiserver.yaml.before")).expect("a copy"), MANIFEST);
    let left: Vec<PathBuf> = fs::read_dir(&manifests).expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert_eq!(left, std::slice::from_ref(&manifest), "the kubelet would run a second file as well");

    let undo = [&patch[..], &["--undo"]].concat();
    herald("herald", node.path(), &undo).await.success().expect("it is undone");
    assert_eq!(text(), MANIFEST);
    fs::write(&manifest, "kind: Deployment\n").expect("another file");
    let refused = herald("herald", node.path(), &patch).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.complaint().expect("a line").contains("is as it was: no container"), "{}", refused.stderr);
}

/// Nobody has named the working directory, so it stays whose it is.
#[tokio::test]
async fn files_in_the_working_directory_are_given_away_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = fs::metadata(folder.path()).expect("a folder");
    let (mut user, mut group) = (before.uid(), before.gid());
    if user == 0 {
        (user, group) = (65532, 65532);
    }
    for more in [&[][..], &["--rotate"]] {
        let owner = format!("--owner={user}:{group}");
        let arguments = [&["init", "-i", CLUSTER, &owner], more].concat();
        herald("herald", folder.path(), &arguments).await.success().expect("files");
    }
    let about = |name: &str| fs::metadata(folder.path().join(name)).expect("it is there");
    for name in ["cert.pem", "key.pem", "ca.pem", "ca-key.pem", "herald.kubeconfig"] {
        assert_eq!((about(name).uid(), about(name).gid()), (user, group), "{name}");
    }
    assert_eq!((about("").uid(), about("").gid()), (before.uid(), before.gid()));
}

/// As in `examples/deploy/herald.yaml` on a new machine, where the kubelet makes the folders for root; later root rotates beside
/// the server. Only root can try it, and CI has to.
#[tokio::test]
async fn a_server_starts_in_folders_that_were_roots() {
    if !tools::root() {
        return;
    }
    let sts = sts().await;
    let first = setup(&sts, &config(""));
    let place = |name: &str| first.folder().join(name).display().to_string();
    fs::create_dir(place("state")).expect("a folder");
    let (state_dir, kubeconfig) = (place("state"), place("kubeconfig.yaml"));
    let places = [format!("--state-dir={state_dir}"), format!("--generate-kubeconfig={kubeconfig}")];
    let init = async |more: &[&str]| {
        let arguments = [&["init", &places[0], &places[1]], more].concat();
        tests::herald::run(&arguments, [("PATH", "")]).await.and_then(Finished::success).expect("it is done")
    };
    init(&["--folders", "--owner=65532:65532"]).await;
    // Of its own, since the folder of the build may be root's alone.
    let own = place("herald");
    // By another process: nobody can run what this one may still write.
    let mut copy = Command::new("cp");
    copy.arg(binary().expect("herald")).arg(&own);
    finish(copy).await.and_then(Finished::success).expect("a copy");
    let user = ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--no-new-privs"];
    let wrapper = [&user[..], &["sh", "-c", r#"shift; exec "$0" "$@""#, &own]].concat();
    let server = first.under(&wrapper).start().await.expect("a server");
    assert_eq!(server.review(&fresh(&BOB)).await.expect("an answer").username().as_deref(), Some("bob"));
    init(&["-i", CLUSTER, "--rotate"]).await;
    until(async || server.stderr.text().contains("another one is in force")).await;
    for file in fs::read_dir(&state_dir).expect("a folder").flatten() {
        assert_eq!(file.metadata().expect("a file").uid(), 65532, "{}", file.path().display());
    }
    server.stop().await.expect("it ends well");
}

/// What is printed for a cluster with its values is, with the examples' values, the examples.
#[tokio::test]
async fn files_of_the_set_up_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: [(&[&str], &str); 7] = [
        (&["kops-daemonset"], "herald-kops.yaml"),
        (&["kops-hook"], "kops-hook.yaml"),
        (&["kops-hook-docker"], "kops-hook-docker.yaml"),
        (&["kubeadm"], "kubeadm-v1beta4.yaml"),
        (&["kubeadm-v1beta3"], "kubeadm-v1beta3.yaml"),
        (&["daemonset"], "herald.yaml"),
        (&["iam-role", "--role-arn", "arn:aws:iam::111122223333:role/KubernetesAdmin"], "iam-role.json"),
    ];
    for (arguments, example) in rows {
        let arguments = [&["init", "-i", "my-cluster.example.com", "--emit"], arguments].concat();
        let printed = herald("herald", folder.path(), &arguments).await.success().expect("a text").stdout;
        let example = repository().join("examples/deploy").join(example);
        assert_eq!(printed, fs::read_to_string(&example).expect("a file"), "{}", example.display());
    }
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["herald"], "no file is made");
    let elsewhere = ["init", "-i", "c", "--emit", "kubeadm", "--generate-kubeconfig", "/srv/x/kc.yaml"];
    let printed = herald("herald", folder.path(), &elsewhere).await.success().expect("a text").stdout;
    assert!(printed.contains("value: /srv/x/kc.yaml\n") && printed.contains("hostPath: /srv/x\n"), "{printed}");
    let nowhere = herald("herald", folder.path(), &["init", "-i", "c", "--emit", "kubeconfig"]).await;
    assert!(nowhere.complaint().expect("a line").contains("Give --server"), "{}", nowhere.stderr);
}

/// A pair that is there stays, and is for the names that it was made for.
#[tokio::test]
async fn init_under_another_name_says_that_the_pair_is_not_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (state, kubeconfig) = (path("state"), path("kubeconfig.yaml"));
    let init = async |hostname: &str| {
        let arguments = ["init", "-i", CLUSTER, "--state-dir", &state, "--generate-kubeconfig", &kubeconfig];
        let arguments = [&arguments[..], &["--hostname", hostname]].concat();
        tests::herald::run(&arguments, [("PATH", "")]).await.and_then(Finished::success).expect("made")
    };
    assert_eq!(init("localhost").await.stderr, "");
    let told = init("herald.example.com").await.stderr;
    assert!(told.contains("reason=webhook_name") && told.contains("as herald.example.com"), "{told}");
}
