//! `herald add`, `list` and `remove` on a cluster: what is written, what is refused, and who else may write.

use expect_test::expect;
use serde_json::Value;
use tests::{
    herald::{self, Finished},
    kubernetes::{Kind, Kubernetes},
};

const NONE: [(&str, &str); 0] = [];
const ADMIN: &str = "arn:aws:iam::123456789012:role/Admin";
const NODES: &str = "\
# the nodes, by eksctl
- rolearn: arn:aws:iam::123456789012:role/Nodes
  username: system:node:{{SessionName}}
  groups: [system:bootstrappers, system:nodes]   # both
  team: platform
";

async fn herald(kubernetes: &Kubernetes, arguments: &[&str]) -> Finished {
    let url = kubernetes.url();
    herald::run(&[arguments, &["--master", &url]].concat(), NONE).await.expect("herald runs")
}

async fn add(kubernetes: &Kubernetes, more: &[&str]) -> Finished {
    let basic =
        ["add", "role", "--rolearn", ADMIN, "--username", "admin:{{SessionName}}", "--groups", "system:masters"];
    herald(kubernetes, &[&basic, more].concat()).await
}

fn complaint(finished: &Finished) -> String {
    assert_eq!(finished.code, Some(1), "{}{}", finished.stdout, finished.stderr);
    finished.complaint().expect("one line").to_owned()
}

#[tokio::test]
async fn what_cannot_be_in_force_or_written_changes_nothing() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(NODES, "");
    let wild = ["add", "role", "--rolearn", "arn:aws:iam::123456789012:role/*", "--username", "x"];
    expect!["herald: arn:aws:iam::123456789012:role/*: wildcards are not supported in an ARN: name each role"]
        .assert_eq(&complaint(&herald(&kubernetes, &wild).await));
    let nodes = ["add", "role", "--rolearn", "arn:aws:iam::123456789012:role/Nodes", "--username", "x"];
    expect!["herald: arn:aws:iam::123456789012:role/Nodes: is mapped already, to system:node:{{SessionName}} [system:bootstrappers system:nodes]: give --replace to have it changed"].assert_eq(&complaint(&herald(&kubernetes, &nodes).await));
    let usage = herald(&kubernetes, &["add", "role", "--username", "x"]).await;
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    kubernetes.forbid("patch", Kind::ConfigMap);
    expect![[r#"herald: kube-system/aws-auth is not changed: the API server answers 403: configmaps is forbidden: User "u" cannot patch resource "configmaps""#]].assert_eq(&complaint(&add(&kubernetes, &[]).await));
    kubernetes.forbid("get", Kind::ConfigMap);
    expect![[r#"herald: kube-system/aws-auth cannot be read: the API server answers 403: configmaps is forbidden: User "u" cannot get resource "configmaps""#]].assert_eq(&complaint(&add(&kubernetes, &[]).await));
    kubernetes.set_down(true);
    expect!["herald: kube-system/aws-auth cannot be read: the API server answers 503: the fake is down"]
        .assert_eq(&complaint(&herald(&kubernetes, &["list"]).await));
    let nowhere = herald::run(&["list", "--kubeconfig", "/nowhere/config"], NONE).await.expect("herald runs");
    expect![[r#"herald: the kubeconfig cannot be used: failed to read kubeconfig from '"/nowhere/config"': No such file or directory (os error 2)"#]].assert_eq(&complaint(&nowhere));
    kubernetes.set_down(false);
    assert!(kubernetes.writes().is_empty());
    kubernetes.put_aws_auth("- {\n", "");
    kubernetes.allow("get", Kind::ConfigMap);
    kubernetes.allow("patch", Kind::ConfigMap);
    expect!["herald: arn:aws:iam::123456789012:role/Admin: mapRoles cannot be read, line 1:3: unclosed bracket '{'"]
        .assert_eq(&complaint(&add(&kubernetes, &[]).await));
    assert!(kubernetes.writes().is_empty());
}

#[tokio::test]
async fn an_entry_comes_and_goes_and_the_rest_is_as_it_was() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(NODES, "");
    let dry = add(&kubernetes, &["--dry-run"]).await.success().expect("a diff");
    expect![[r#"
        --- kube-system/aws-auth mapRoles
        +++ kube-system/aws-auth mapRoles
        @@ -3,3 +3,7 @@
           username: system:node:{{SessionName}}
           groups: [system:bootstrappers, system:nodes]   # both
           team: platform
        +- rolearn: arn:aws:iam::123456789012:role/Admin
        +  username: admin:{{SessionName}}
        +  groups:
        +  - system:masters
    "#]]
    .assert_eq(&dry.stdout);
    assert!(kubernetes.writes().is_empty());

    let added = add(&kubernetes, &[]).await.success().expect("added");
    expect![[r#"
        kube-system/aws-auth: arn:aws:iam::123456789012:role/Admin now gives admin:{{SessionName}} [system:masters]
    "#]]
    .assert_eq(&added.stdout);
    let entry = format!("- rolearn: {ADMIN}\n  username: admin:{{{{SessionName}}}}\n  groups:\n  - system:masters\n");
    assert_eq!(kubernetes.aws_auth("mapRoles").as_deref(), Some(format!("{NODES}{entry}").as_str()));
    let again = add(&kubernetes, &[]).await.success().expect("the same");
    expect![[r#"
        kube-system/aws-auth: arn:aws:iam::123456789012:role/Admin is there already, and gives admin:{{SessionName}} [system:masters]
    "#]].assert_eq(&again.stdout);
    assert_eq!(kubernetes.writes().len(), 1);

    let other = ["add", "role", "--rolearn", ADMIN, "--username", "root"];
    expect!["herald: arn:aws:iam::123456789012:role/Admin: is mapped already, to admin:{{SessionName}} [system:masters]: give --replace to have it changed"].assert_eq(&complaint(&herald(&kubernetes, &other).await));
    herald(&kubernetes, &[&other[..], &["--replace"]].concat()).await.success().expect_err("the last administrator");
    herald(&kubernetes, &[&other[..], &["--replace", "--force"]].concat()).await.success().expect("replaced");
    let replaced = format!("{NODES}- rolearn: {ADMIN}\n  username: root\n  groups: []\n");
    assert_eq!(kubernetes.aws_auth("mapRoles"), Some(replaced));

    let remove = ["remove", "role", "--rolearn", ADMIN];
    herald(&kubernetes, &remove).await.success().expect("gone");
    assert_eq!(kubernetes.aws_auth("mapRoles").as_deref(), Some(NODES));
    expect![[r#"
        kube-system/aws-auth: arn:aws:iam::123456789012:role/Admin is not there
    "#]]
    .assert_eq(&herald(&kubernetes, &remove).await.success().expect("gone already").stdout);

    let user = ["--userarn", "arn:aws:iam::123456789012:user/bob"];
    let sso = ["--sso", "permissionSetName=View,accountID=123456789012", "--username", "view:{{SessionName}}"];
    herald(&kubernetes, &[&["add", "user", "--username", "bob"], &user[..]].concat()).await.success().expect("a user");
    herald(&kubernetes, &[&["add", "role"], &sso[..]].concat()).await.success().expect("a permission set");
    let list = herald(&kubernetes, &["list"]).await.success().expect("a list");
    expect![[r#"
        mapRoles, line 2: arn:aws:iam::123456789012:role/Nodes
          username  system:node:{{SessionName}}
          groups    system:bootstrappers, system:nodes
        mapRoles, line 6: sso:aws:123456789012:view
          username  view:{{SessionName}}
        mapUsers, line 1: arn:aws:iam::123456789012:user/bob
          username  bob
    "#]]
    .assert_eq(&list.stdout);
    let json = herald(&kubernetes, &["list", "-o", "json"]).await.success().expect("a list").stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let who: Vec<&str> =
        json["entries"].as_array().expect("a list").iter().filter_map(|row| row["principal"].as_str()).collect();
    assert_eq!(
        who,
        ["arn:aws:iam::123456789012:role/Nodes", "sso:aws:123456789012:view", "arn:aws:iam::123456789012:user/bob"]
    );
}

#[tokio::test]
async fn whoever_writes_at_the_same_time_loses_nothing() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    // There is none when it is read, and one when it is written.
    let theirs = "- {rolearn: 'arn:aws:iam::123456789012:role/Theirs', username: theirs}\n";
    kubernetes.meddle(theirs);
    kubernetes.meddle(NODES);
    add(&kubernetes, &[]).await.success().expect("added");
    let text = kubernetes.aws_auth("mapRoles").expect("a text");
    assert!(text.starts_with(NODES) && text.contains(ADMIN), "{text}");
    for _ in 0..20 {
        kubernetes.meddle(theirs);
    }
    let writes = kubernetes.writes().len();
    let other = ["add", "role", "--rolearn", "arn:aws:iam::123456789012:role/Other", "--username", "other"];
    expect![[r#"herald: kube-system/aws-auth is not changed: the API server answers 409: Operation cannot be fulfilled on configmaps "aws-auth": the object has been modified; please apply your changes to the latest version and try again"#]].assert_eq(&complaint(&herald(&kubernetes, &other).await));
    assert_eq!(kubernetes.writes().len(), writes);
}

#[tokio::test]
async fn a_map_that_is_not_there_is_made() {
    let kubernetes = Kubernetes::start_secure().await.expect("a fake");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config");
    std::fs::write(&config, kubernetes.kubeconfig("secret-token")).expect("written");
    let file = config.to_str().expect("UTF-8");
    let run = async |arguments: &[&str], environment: &[(&str, &str)]| {
        herald::run(arguments, environment.iter().copied()).await.expect("herald runs")
    };
    let add = ["add", "role", "--rolearn", ADMIN, "--username", "admin", "--groups", "a,b"];
    let named = run(&[&add[..], &["--kubeconfig", file, "--context", "other"]].concat(), &[]).await;
    assert_eq!(named.code, Some(1), "{}", named.stderr);
    let made = run(&add, &[("KUBECONFIG", file)]).await.success().expect("made");
    assert!(made.stdout.contains("kube-system/aws-auth"), "{}", made.stdout);
    let object = kubernetes.object(Kind::ConfigMap, "aws-auth").expect("it is there");
    assert_eq!(object["data"]["mapRoles"], format!("- rolearn: {ADMIN}\n  username: admin\n  groups:\n  - a\n  - b\n"));
    run(&[&add[..], &["--kubeconfig", file, "--context", "x"]].concat(), &[]).await.success().expect("the same");
}

#[tokio::test]
async fn the_last_administrator_and_the_last_nodes_stay() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(NODES, "");
    add(&kubernetes, &[]).await.success().expect("added");
    let nodes = "arn:aws:iam::123456789012:role/Nodes";
    let before = kubernetes.aws_auth("mapRoles");
    expect!["herald: arn:aws:iam::123456789012:role/Admin stays as it is: afterwards nobody gets `system:masters`. Add another mapping first, or give --force"].assert_eq(&complaint(&herald(&kubernetes, &["remove", "role", "--rolearn", ADMIN]).await));
    expect!["herald: arn:aws:iam::123456789012:role/Nodes stays as it is: afterwards no node is let in: no entry gives `system:nodes` and a username `system:node:…`. Add another mapping first, or give --force"].assert_eq(&complaint(&herald(&kubernetes, &["remove", "role", "--rolearn", nodes, "--dry-run"]).await));
    assert_eq!(kubernetes.aws_auth("mapRoles"), before);
    herald(&kubernetes, &["remove", "role", "--rolearn", ADMIN, "--force"]).await.success().expect("forced");
    herald(&kubernetes, &["remove", "role", "--rolearn", nodes, "--force"]).await.success().expect("forced");
    assert_eq!(kubernetes.aws_auth("mapRoles").as_deref(), Some("# the nodes, by eksctl\n"));

    // The last entry of all.
    add(&kubernetes, &[]).await.success().expect("added");
    expect!["herald: arn:aws:iam::123456789012:role/Admin stays as it is: afterwards the map names nobody. Add another mapping first, or give --force"].assert_eq(&complaint(&herald(&kubernetes, &["remove", "role", "--rolearn", ADMIN]).await));
    herald(&kubernetes, &["remove", "role", "--rolearn", ADMIN, "--force"]).await.success().expect("forced");
    let plain = ["--userarn", "arn:aws:iam::123456789012:user/bob"];
    herald(&kubernetes, &[&["add", "user", "--username", "bob"], &plain[..]].concat()).await.success().expect("added");
    herald(&kubernetes, &[&["remove", "user"], &plain[..]].concat()).await.success().expect("nobody's last hope");
}

#[tokio::test]
async fn under_the_old_name_it_asks_first() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(NODES, "");
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("aws-iam-authenticator");
    std::os::unix::fs::symlink(herald::binary().expect("a binary"), &old).expect("a link");
    let run = async |answer: &str, more: &str| {
        let mut command = tokio::process::Command::new("sh");
        let words = "add role --rolearn arn:aws:iam::123456789012:role/Admin --username admin --groups system:masters";
        let url = kubernetes.url();
        command.args(["-c", &format!("printf '{answer}' | {} {words} --master-url {url} {more}", old.display())]);
        herald::finish(command).await.expect("a shell")
    };
    let eof = run("", "").await;
    assert_eq!(eof.code, Some(1), "{}", eof.stdout);
    let no = run("n\\n", "").await.success().expect("no is an answer");
    assert!(no.stdout.ends_with("cancelled\n"), "{}", no.stdout);
    assert!(kubernetes.writes().is_empty());
    run("y\\n", "").await.success().expect("written");
    run("", "--prompt=false").await.success().expect("there already");
    assert_eq!(kubernetes.writes().len(), 1);
}

/// An administrator whose time is over is none.
#[tokio::test]
async fn the_last_administrator_who_can_log_in_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("aws-auth.yaml");
    let head =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\ndata:\n  mapRoles: |\n";
    let entry = |name: &str, end: &str| {
        format!(
            "    - {{rolearn: 'arn:aws:iam::123456789012:role/{name}', username: a, groups: [system:masters]{end}}}\n"
        )
    };
    for (end, stays) in
        [("", false), (", notAfter: 2999-01-01T00:00:00Z", false), (", notAfter: 2020-01-01T00:00:00Z", true)]
    {
        std::fs::write(&file, format!("{head}{}{}", entry("Admin", ""), entry("Other", end))).expect("written");
        let path = file.to_str().expect("UTF-8");
        let removed =
            herald::run(&["remove", "role", "--rolearn", ADMIN, "--file", path], NONE).await.expect("herald runs");
        assert_eq!(removed.code, Some(i32::from(stays)), "{end}: {removed:?}");
        let after = std::fs::read_to_string(&file).expect("a file");
        assert_eq!(after.contains("role/Admin"), stays, "{after}");
    }
}

#[tokio::test]
async fn a_file_is_changed_as_a_cluster_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, link) = (folder.path().join("aws-auth.yaml"), folder.path().join("link.yaml"));
    let list: String = NODES.lines().map(|line| format!("    {line}\n")).collect();
    let head = "# kept in git\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\ndata:\n  mapRoles: |\n";
    let text = format!("{head}{list}  # people\n  mapUsers: \"\"\n");
    std::fs::write(&file, &text).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&file, mode).expect("a mode");
    std::os::unix::fs::symlink("aws-auth.yaml", &link).expect("a link");
    let path = link.to_str().expect("UTF-8");
    let run = async |arguments: &[&str]| {
        herald::run(&[arguments, &["--file", path]].concat(), NONE).await.expect("herald runs")
    };
    let told = |text: &str| text.replace(path, "FILE");
    let add = ["add", "role", "--rolearn", ADMIN, "--username", "admin", "--groups", "system:masters"];
    let dry = run(&[&add[..], &["--dry-run"]].concat()).await.success().expect("a diff");
    expect![[r#"
        --- FILE
        +++ FILE
        @@ -9,5 +9,9 @@
               username: system:node:{{SessionName}}
               groups: [system:bootstrappers, system:nodes]   # both
               team: platform
        +    - rolearn: arn:aws:iam::123456789012:role/Admin
        +      username: admin
        +      groups:
        +      - system:masters
           # people
           mapUsers: ""
    "#]]
    .assert_eq(&told(&dry.stdout));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), text);
    let added = run(&add).await.success().expect("added");
    assert_eq!(told(&added.stdout), format!("FILE: {ADMIN} now gives admin [system:masters]\n"));
    let about = std::fs::metadata(&file).expect("a file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left behind");

    let last = run(&["remove", "role", "--rolearn", ADMIN]).await;
    assert!(complaint(&last).contains("afterwards nobody gets `system:masters`"), "{}", last.stderr);
    let listed = run(&["list", "-o", "json"]).await.success().expect("a list").stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed["file"], &listed["entries"][1]["principal"]), (&path.into(), &ADMIN.into()), "{listed}");
    assert_eq!(listed.get("namespace"), None);
    let user = ["add", "user", "--userarn", "arn:aws:iam::123456789012:user/bob", "--username", "bob"];
    run(&user).await.success().expect("a user in an empty list");
    let after = std::fs::read_to_string(&file).expect("a file");
    let bob = "  mapUsers: |\n    - userarn: arn:aws:iam::123456789012:user/bob\n      username: bob\n";
    assert!(after.starts_with(&format!("{head}{list}")) && after.ends_with(&format!("  # people\n{bob}")), "{after}");
    run(&["remove", "role", "--rolearn", ADMIN, "--force"]).await.success().expect("removed");

    let both = run(&[&add[..], &["--context", "x"]].concat()).await;
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let nowhere = herald::run(&["list", "--file", "/nowhere/x.yaml"], NONE).await.expect("herald runs");
    assert!(complaint(&nowhere).contains("/nowhere/x.yaml cannot be read"), "{}", nowhere.stderr);
    let config = folder.path().join("herald.yaml");
    std::fs::write(&config, "clusterID: c\nserver:\n  backendMode: [MountedFile]\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    let into = herald::run(&[&add[..], &["--file", config]].concat(), NONE).await.expect("herald runs");
    into.success().expect("added");
    let checked = herald::run(&["check-config", config], NONE).await.expect("herald runs");
    checked.success().expect("a good configuration");
}
