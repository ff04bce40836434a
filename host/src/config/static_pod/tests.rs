//! Manifests of API servers before and after, and those that are left alone.

use expect_test::{Expect, expect};

use super::*;

const KUBECONFIG: &str = "/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml";

/// As kubeadm writes it, shortened, with a comment of an operator's.
const KUBEADM: &str = "\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 10.0.0.1:6443
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.1
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
    # pulled from the mirror
    image: registry.k8s.io/kube-apiserver:v1.33.0
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
      readOnly: true
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
status: {}
";

fn patched(text: &str) -> Result<String, StaticPodError> {
    patch(text, Path::new(KUBECONFIG))
}

/// What patching adds: the lines with their numbers. Doing it twice is doing it once, and undoing it is the text before.
#[track_caller]
fn adds(text: &str, expected: &Expect) {
    let after = patched(text).expect("a manifest");
    let old: Vec<&str> = text.lines().collect();
    let mut kept = 0;
    let mut added = String::new();
    for (number, line) in after.lines().enumerate() {
        if old.get(kept) == Some(&line) {
            kept += 1;
        } else {
            added.push_str(&format!("{}: {line}\n", number + 1));
        }
    }
    assert_eq!(kept, old.len(), "every line is still there, in its order: {after}");
    expected.assert_eq(&added);
    assert_eq!(patched(&after).expect("a manifest"), after, "once is enough");
    assert_eq!(undo(&after, Path::new(KUBECONFIG)).expect("a manifest"), text);
    assert_eq!(undo(text, Path::new(KUBECONFIG)).expect("a manifest"), text, "there is nothing to undo");
}

#[test]
fn the_flag_and_the_mount_come_once_and_go_without_a_trace() {
    adds(
        KUBEADM,
        &expect![[r#"
            14:     - --authentication-token-webhook-config-file=/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml
            22:     - mountPath: /etc/kubernetes/ack-ram-authenticator
            23:       name: herald-webhook
            24:       readOnly: true
            31:   - hostPath:
            32:       path: /etc/kubernetes/ack-ram-authenticator
            33:       type: DirectoryOrCreate
            34:     name: herald-webhook
        "#]],
    );
    adds(
        &KUBEADM.replace('\n', "\r\n"),
        &expect![[r#"
        14:     - --authentication-token-webhook-config-file=/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml
        22:     - mountPath: /etc/kubernetes/ack-ram-authenticator
        23:       name: herald-webhook
        24:       readOnly: true
        31:   - hostPath:
        32:       path: /etc/kubernetes/ack-ram-authenticator
        33:       type: DirectoryOrCreate
        34:     name: herald-webhook
    "#]],
    );
    let bare =
        "kind: Pod\nspec:\n  containers:\n    - name: kube-apiserver\n      args:\n        - --secure-port=6443\n";
    adds(
        bare,
        &expect![[r#"
        7:         - --authentication-token-webhook-config-file=/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml
        8:       volumeMounts:
        9:       - mountPath: /etc/kubernetes/ack-ram-authenticator
        10:         name: herald-webhook
        11:         readOnly: true
        12:   volumes:
        13:   - hostPath:
        14:       path: /etc/kubernetes/ack-ram-authenticator
        15:       type: DirectoryOrCreate
        16:     name: herald-webhook
    "#]],
    );
    adds(
        &format!("{bare}\n  hostNetwork: true # no CNI yet\n\n# the end\n"),
        &expect![[r#"
        7:         - --authentication-token-webhook-config-file=/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml
        8:       volumeMounts:
        9:       - mountPath: /etc/kubernetes/ack-ram-authenticator
        10:         name: herald-webhook
        11:         readOnly: true
        14:   volumes:
        15:   - hostPath:
        16:       path: /etc/kubernetes/ack-ram-authenticator
        17:       type: DirectoryOrCreate
        18:     name: herald-webhook
    "#]],
    );
    let mounted = KUBEADM.replace("/etc/kubernetes/pki\n", "/etc/kubernetes\n");
    adds(
        &mounted,
        &expect![[r#"
        14:     - --authentication-token-webhook-config-file=/etc/kubernetes/ack-ram-authenticator/kubeconfig.yaml
    "#]],
    );
    assert!(patched(bare.trim_end()).is_ok(), "the last line may be open");
}

#[test]
fn what_is_no_such_manifest_is_left_alone() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(patched(text).map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
    let shape = "no container in it runs kube-apiserver with a list of flags";
    check("", shape);
    check("kind: Pod\nspec: {containers: []}\n", shape);
    check(&KUBEADM.replace("kind: Pod", "kind: Deployment"), shape);
    check(&KUBEADM.replace("    - kube-apiserver\n", "    - /bin/sh\n    - -c\n"), shape);
    let by_hand = "it is written in a way that cannot be changed line by line: edit it by hand";
    check("kind: Pod\nspec: {containers: [{command: [kube-apiserver]}]}\n", by_hand);
    check(&KUBEADM.replace("    - mountPath", "    - # why\n      mountPath"), by_hand);
    let other = "--authentication-token-webhook-config-file=/other.yaml";
    let with = |flag: &str| KUBEADM.replace("--advertise-address=10.0.0.1", flag);
    check(&with(other), &format!("it has {other} already: take that away first"));
    check(
        &KUBEADM.replace("k8s-certs", VOLUME),
        "it has a mount of \"herald-webhook\" on \"/etc/kubernetes/pki\" already: take that away first",
    );
    check("kind: Pod\nkind: Pod\n", "line 2:1: duplicate mapping key: kind");
    let refused = patched("kind: [Pod\n").expect_err("no YAML");
    assert!(matches!(refused, StaticPodError::Syntax { .. }), "{refused}");
    for path in ["kubeconfig.yaml", "/kubeconfig.yaml", "/etc/a b/c", "/etc/{x}/c"] {
        let refused = patch(KUBEADM, Path::new(path)).map_err(|error| error.to_string());
        assert_eq!(refused, Err(format!("{path} is no absolute path of a file in a folder of its own")));
    }
}

/// What is mounted there has to be the machine's own folder, or the API server would not find its file and not start.
#[test]
fn a_mount_of_something_else_is_no_mount() {
    let elsewhere = KUBEADM.replace("mountPath: /etc/kubernetes/pki", "mountPath: /etc/kubernetes");
    let patched_elsewhere = patched(&elsewhere).expect("a manifest");
    assert_eq!(patched_elsewhere.matches("mountPath: /etc/kubernetes/ack-ram-authenticator").count(), 1);
    let there = KUBEADM.replace("mountPath: /etc/kubernetes/pki", "mountPath: /etc/kubernetes/ack-ram-authenticator");
    let refused = patched(&there).expect_err("the place is taken");
    assert!(matches!(&refused, StaticPodError::Other(what) if what.contains("k8s-certs")), "{refused}");
    let deeper = KUBEADM.replace("/etc/kubernetes/pki\n", "/etc/kubernetes\n").replace(
        "    volumeMounts:\n",
        "    volumeMounts:\n    - mountPath: /etc/kubernetes/ack-ram-authenticator/\n      name: scratch\n",
    );
    assert!(matches!(patched(&deeper), Err(StaticPodError::Other(_))), "what is seen is the deepest");
}

#[test]
fn a_flag_in_two_words_is_the_flag() {
    let two = format!("--authentication-token-webhook-config-file\n    - {KUBECONFIG}");
    let text = KUBEADM.replace("--advertise-address=10.0.0.1", &two);
    assert_eq!(patched(&text).expect("a manifest").matches(FLAG).count(), 1);
}

#[test]
fn what_was_put_in_for_another_kubeconfig_is_taken_out_or_told() {
    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let undone = undo(text, Path::new(KUBECONFIG)).map_err(|error| error.to_string());
        assert_eq!(undone.as_deref().map_err(String::as_str), expected);
    }
    let elsewhere = |text: &str| patch(text, Path::new("/opt/herald/kubeconfig.yaml")).expect("a manifest");
    check(&elsewhere(KUBEADM), Ok(KUBEADM));
    // Nothing says whose a flag without a mount is.
    let foreign = format!(
        "it asks the webhook of /opt/herald/kubeconfig.yaml, not of {KUBECONFIG}: if `init` wrote that file, give it as \
         --generate-kubeconfig; else edit the manifest by hand"
    );
    check(&elsewhere(&KUBEADM.replace("/etc/kubernetes/pki\n", "/opt\n")), Err(&foreign));
    let ours = patched(KUBEADM).expect("a manifest");
    let flag = format!("{FLAG}={KUBECONFIG}");
    let other = format!("    - {FLAG}=/other/kubeconfig.yaml\n    # pulled");
    let replaced = ours.replace(&flag, &format!("{FLAG}=/other/kubeconfig.yaml"));
    check(&replaced, Ok(&KUBEADM.replace("    # pulled", &other)));
    // The API server would be left with the flag and without the file.
    let by_hand = "it is written in a way that cannot be changed line by line: edit it by hand";
    check(&ours.replace(&flag, &format!("{FLAG}\n    - {KUBECONFIG}")), Err(by_hand));
}
