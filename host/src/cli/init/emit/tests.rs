//! What is printed, with values and without.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::*;

fn config(cluster_id: &str, cloud: Cloud) -> Config {
    Config { cluster_id: cluster_id.parse().ok(), providers: Some(vec![cloud]), ..Config::default() }
}

const KOPS_ID: &str = "authenticator.abcdefghij.k8s.local";

fn values() -> Values {
    values_of(Cloud::Aws)
}

fn values_of(cloud: Cloud) -> Values {
    let role = match cloud {
        Cloud::Alibaba => "acs:ram::1111222233334444:role/KubernetesAdmin",
        Cloud::Aws => "arn:aws:iam::123456789012:role/KubernetesAdmin",
    };
    Values {
        role_arn: Some(role.to_owned()),
        image: Some("registry.test/herald@sha256:0123".to_owned()),
        state_store: Some("s3://authenticator.abcdefghij.k8s.local".to_owned()),
        server: Some("https://api.authenticator.abcdefghij.k8s.local".to_owned()),
    }
}

#[track_caller]
fn render(what: What, name: Name) -> String {
    let mut config = config(KOPS_ID, Cloud::Aws);
    name.place(&mut config.server);
    values().render(what, &config, name).expect("a text")
}

/// Without the comment on top, which is the example's.
#[track_caller]
fn check(what: What, name: Name, expected: &Expect) {
    let text = render(what, name);
    let body = text.lines().skip_while(|line| line.starts_with('#'));
    expected.assert_eq(&body.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn a_hook_of_kops() {
    check(
        What::KopsHook,
        Name::HeptioAuthenticatorAws,
        &expect![[r#"
        kubeAPIServer:
          authenticationTokenWebhookConfigFile: /srv/kubernetes/kube-apiserver/heptio-authenticator-aws/kubeconfig.yaml
        hooks:
        - name: kops-hook-authenticator-config.service
          before:
          - kubelet.service
          roles: [Master]         # kops 1.26 and newer take ControlPlane as well
          manifest: |
            [Unit]
            Description=Fetch the files of the token webhook
            [Service]
            Type=oneshot
            ExecStart=/bin/mkdir -p -m 700 /srv/kubernetes/kube-apiserver/heptio-authenticator-aws
            ExecStart=/usr/local/bin/aws s3 cp --recursive s3://authenticator.abcdefghij.k8s.local/authenticator.abcdefghij.k8s.local/addons/authenticator /srv/kubernetes/kube-apiserver/heptio-authenticator-aws/
    "#]],
    );
    check(
        What::KopsHookDocker,
        Name::Herald,
        &expect![[r#"
        kubeAPIServer:
          authenticationTokenWebhookConfigFile: /srv/kubernetes/kube-apiserver/herald/kubeconfig.yaml
        hooks:
        - name: kops-hook-authenticator-config.service
          before:
          - kubelet.service
          roles: [Master]         # kops 1.26 and newer take ControlPlane as well
          manifest: |
            [Unit]
            Description=Fetch the files of the token webhook
            [Service]
            Type=oneshot
            ExecStart=/bin/mkdir -p -m 700 /srv/kubernetes/kube-apiserver/herald
            ExecStart=/usr/bin/docker run --net=host --rm -v /srv/kubernetes/kube-apiserver/herald:/srv/kubernetes/kube-apiserver/herald quay.io/coreos/awscli@sha256:7b893bfb22ac582587798b011024f40871cd7424b9026595fd99c2b69492791d aws s3 cp --recursive s3://authenticator.abcdefghij.k8s.local/authenticator.abcdefghij.k8s.local/addons/authenticator /srv/kubernetes/kube-apiserver/herald/
    "#]],
    );
}

#[test]
fn flags_by_kubeadm() {
    check(
        What::Kubeadm,
        Name::Herald,
        &expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta4
        kind: ClusterConfiguration
        apiServer:
          extraArgs:
          - name: authentication-token-webhook-config-file
            value: /etc/kubernetes/herald/kubeconfig.yaml
          extraVolumes:
          - name: herald-webhook
            hostPath: /etc/kubernetes/herald
            mountPath: /etc/kubernetes/herald
            readOnly: true
            pathType: DirectoryOrCreate
    "#]],
    );
    check(
        What::KubeadmV1beta3,
        Name::AwsIamAuthenticator,
        &expect![[r#"
        apiVersion: kubeadm.k8s.io/v1beta3
        kind: ClusterConfiguration
        apiServer:
          extraArgs:
            authentication-token-webhook-config-file: /etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml
          extraVolumes:
          - name: herald-webhook
            hostPath: /etc/kubernetes/aws-iam-authenticator
            mountPath: /etc/kubernetes/aws-iam-authenticator
            readOnly: true
            pathType: DirectoryOrCreate
    "#]],
    );
}

#[test]
fn the_role_that_people_assume() {
    check(
        What::IamRole,
        Name::Herald,
        &expect![[r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Effect": "Allow",
              "Principal": {
                "AWS": "arn:aws:iam::123456789012:root"
              },
              "Action": "sts:AssumeRole",
              "Condition": {}
            }
          ]
        }
    "#]],
    );
    let china = Some("arn:aws-cn:iam::123456789012:role/KubernetesAdmin".to_owned());
    let text = Values { role_arn: china, ..values() }.render(What::IamRole, &config("c", Cloud::Aws), Name::Herald);
    assert!(text.expect("a text").contains("\"arn:aws-cn:iam::123456789012:root\""));
    let text = values_of(Cloud::Alibaba).render(What::IamRole, &config("c", Cloud::Alibaba), Name::Herald);
    assert!(text.expect("a text").contains("\"acs:ram::1111222233334444:root\""));
}

#[test]
fn a_kubeconfig_for_a_person() {
    check(
        What::Kubeconfig,
        Name::HeptioAuthenticatorAws,
        &expect![[r#"
        apiVersion: v1
        clusters:
        - cluster:
            server: https://api.authenticator.abcdefghij.k8s.local
          name: authenticator.abcdefghij.k8s.local
        contexts:
        - context:
            cluster: authenticator.abcdefghij.k8s.local
            user: authenticator.abcdefghij.k8s.local.exec
          name: authenticator.abcdefghij.k8s.local
        current-context: authenticator.abcdefghij.k8s.local
        kind: Config
        users:
        - name: authenticator.abcdefghij.k8s.local.exec
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1
              args:
              - token
              - -i
              - authenticator.abcdefghij.k8s.local
              - -r
              - arn:aws:iam::123456789012:role/KubernetesAdmin
              command: heptio-authenticator-aws
              installHint: Install herald and put it on your PATH.
              interactiveMode: IfAvailable
    "#]],
    );
    let role = Values { role_arn: None, ..values() };
    let text = role.render(What::Kubeconfig, &config("c", Cloud::Alibaba), Name::Herald).expect("a text");
    assert!(text.contains("- --provider\n      - alibaba\n"), "{text}");
    let nowhere = Values { server: None, ..values() }.render(What::Kubeconfig, &config("c", Cloud::Aws), Name::Herald);
    assert_eq!(nowhere.expect_err("no place").to_string(), "where is the API server? Give --server");
}

/// What a DaemonSet is made of is the example's, which a test of its own reads.
#[test]
fn a_daemon_set_has_the_values_and_nothing_of_the_example() {
    let text = render(What::Daemonset, Name::Herald);
    for value in [KOPS_ID, "image: registry.test/herald@sha256:0123\n", "roleARN: arn:aws:iam::123456789012:role/"] {
        assert!(text.contains(value), "{value}: {text}");
    }
    for example in ["example.com", "111122223333"] {
        assert!(!text.contains(example), "{example}: {text}");
    }
    let (values, config) = (values_of(Cloud::Alibaba), config("c5d2a", Cloud::Alibaba));
    let text = values.render(What::Daemonset, &config, Name::AckRamAuthenticator);
    let text = text.expect("a text");
    assert!(text.contains("clusterID: c5d2a\n") && text.contains("1111222233334444"), "{text}");
}

fn documents(text: &str) -> Vec<Value> {
    text.split("---\n").map(|document| serde_saphyr::from_str(document).expect("a document")).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Where on the machine the containers of a DaemonSet have what `flag` names: all of them the same.
#[track_caller]
fn on_the_machine(text: &str, flag: &str) -> String {
    let documents = documents(text);
    let set = documents.iter().find(|document| document["kind"] == "DaemonSet").expect("there is one");
    let pod = &set["spec"]["template"]["spec"];
    let mut found = Vec::new();
    for container in [list(pod, "initContainers"), list(pod, "containers")].concat() {
        let mut words = list(&container, "args").iter().filter_map(Value::as_str);
        let path = words.find_map(|word| word.strip_prefix(flag)).expect("it is given");
        let is_mounted = |mount: &&Value| Path::new(path).starts_with(mount["mountPath"].as_str().expect("a path"));
        let mount = list(&container, "volumeMounts").iter().find(is_mounted).expect("it is mounted");
        let volume = list(pod, "volumes").iter().find(|volume| volume["name"] == mount["name"]).expect("a volume");
        let place = |value: &Value| value.as_str().expect("a path").to_owned();
        found.push(path.replacen(&place(&mount["mountPath"]), &place(&volume["hostPath"]["path"]), 1));
    }
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// For whatever name and cloud, and wherever the kubeconfig is to be.
#[test]
fn what_is_printed_for_one_cluster_fits_together() {
    #[track_caller]
    fn check(name: Name, cloud: Cloud, chosen: Option<&str>) {
        let mut config = config("c", cloud);
        if let Some(path) = chosen {
            config.server.generate_kubeconfig = path.into();
        }
        name.place(&mut config.server);
        let print = |what| values_of(cloud).render(what, &config, name).expect("a text");
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (kubeconfig, state_dir) = (path(&config.server.generate_kubeconfig), path(&config.server.state_dir));

        let pods = print(What::Daemonset);
        let found = ["--generate-kubeconfig=", "--state-dir="].map(|flag| on_the_machine(&pods, flag));
        assert_eq!(found, [kubeconfig.clone(), state_dir], "{name:?} {cloud:?}");
        let old = documents(&print(What::KubeadmV1beta3)).remove(0);
        let new = documents(&print(What::Kubeadm)).remove(0);
        assert_eq!(old["apiServer"]["extraArgs"]["authentication-token-webhook-config-file"], kubeconfig.as_str());
        assert_eq!(new["apiServer"]["extraArgs"][0]["value"], kubeconfig.as_str());
        let folder = Path::new(&kubeconfig).parent().and_then(Path::to_str);
        for volume in [old, new].map(|document| document["apiServer"]["extraVolumes"][0].clone()) {
            assert_eq!((volume["hostPath"].as_str(), volume["mountPath"].as_str()), (folder, folder), "{name:?}");
        }

        let by_hook = chosen.map_or_else(|| kubeconfig.replace(USUAL, OF_KOPS), str::to_owned);
        let folder = Path::new(&by_hook).parent().and_then(Path::to_str).expect("a folder");
        for hook in [What::KopsHook, What::KopsHookDocker] {
            let spec = documents(&print(hook)).remove(0);
            assert_eq!(spec["kubeAPIServer"]["authenticationTokenWebhookConfigFile"], by_hook.as_str(), "{name:?}");
            let unit = spec["hooks"][0]["manifest"].as_str().expect("a unit of systemd");
            assert!(unit.contains(&format!("mkdir -p -m 700 {folder}\n")), "{unit}");
            assert!(unit.trim_end().ends_with(&format!("/addons/authenticator {folder}/")), "{unit}");
        }
        if cloud == Cloud::Aws {
            let pods = print(What::KopsDaemonset);
            let found = ["--generate-kubeconfig=", "--state-dir="].map(|flag| on_the_machine(&pods, flag));
            assert_eq!(found, [by_hook.clone(), folder.to_owned()], "{name:?}");
        }
    }
    for name in Name::OLD.into_iter().chain([Name::Herald]) {
        for cloud in [Cloud::Aws, Cloud::Alibaba] {
            check(name, cloud, None);
            check(name, cloud, Some("/srv/x/kc.yaml"));
            check(name, cloud, Some("/etc/kubernetes/herald/var/herald/x.yaml"));
        }
    }
}

#[test]
fn places_that_a_pod_cannot_mount_are_refused() {
    #[track_caller]
    fn check(state_dir: &str, kubeconfig: &str, expected: &str) {
        let mut config = config("c", Cloud::Aws);
        config.server.state_dir = state_dir.into();
        config.server.generate_kubeconfig = kubeconfig.into();
        let refused = values().render(What::Daemonset, &config, Name::Herald).expect_err(expected).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    check("/var/herald", "kc.yaml", "generateKubeconfig: \"\" is no absolute path");
    check("/var/herald", "/kc.yaml", "generateKubeconfig: \"/\" is no absolute path");
    check("state", "/srv/x/kc.yaml", "stateDir: \"state\" is no absolute path");
    check("/srv/x/", "/srv/x/kc.yaml", "two folders, not /srv/x for both");
    check("/srv/a b", "/srv/x/kc.yaml", "letters, digits and ._:/@- are all");
    check("/var/herald", "/", "generateKubeconfig: / is no file");
    let kops = values_of(Cloud::Alibaba).render(What::KopsDaemonset, &config("c", Cloud::Alibaba), Name::Herald);
    assert_eq!(kops.expect_err("no such clusters").to_string(), "kops-daemonset: clusters of kops are on AWS");
}

#[test]
fn definitions_of_mapping_objects() {
    for (cloud, name) in [
        (Cloud::Aws, "iamidentitymappings.iamauthenticator.k8s.aws"),
        (Cloud::Alibaba, "ramidentitymappings.ramauthenticator.k8s.alibabacloud"),
    ] {
        let text = values_of(cloud).render(What::Crd, &config("c", cloud), Name::Herald).expect("a text");
        let crd: Value = serde_saphyr::from_str(&text).expect("one document");
        assert_eq!((&crd["kind"], &crd["metadata"]["name"]), (&"CustomResourceDefinition".into(), &name.into()));
    }
}

#[test]
fn values_that_would_mean_something_else_are_refused() {
    for image in ["a b", "a\nb", "{x}", "a'b", "", "a;b", "a #b"] {
        let values = Values { image: Some(image.to_owned()), ..values() };
        let refused = values.render(What::Daemonset, &config("c", Cloud::Aws), Name::Herald);
        let expected = "--image: letters, digits and ._:/@- are all that these files take";
        assert_eq!(refused.expect_err(image).to_string(), expected);
    }
    let id = values().render(What::Daemonset, &config("{{id}}", Cloud::Aws), Name::Herald);
    assert!(id.is_err());
    let user = Some("arn:aws:iam::123456789012:user/bob".to_owned());
    let user = Values { role_arn: user, ..values() }.render(What::IamRole, &config("c", Cloud::Aws), Name::Herald);
    assert!(user.expect_err("a user").to_string().contains("not the ARN of a role"));
}

/// In the file of the other cloud it would be no role, and its account another field's.
#[test]
fn a_role_has_the_files_of_its_own_cloud() {
    #[track_caller]
    fn check(clouds: &[Cloud], role: Cloud, expected: Result<&str, &str>) {
        let config = Config { providers: Some(clouds.to_vec()), ..config("c", Cloud::Aws) };
        let printed = values_of(role).render(What::IamRole, &config, Name::Herald);
        match (printed.map_err(|error| error.to_string()), expected) {
            (Ok(text), Ok(principal)) => assert!(text.contains(principal), "{text}"),
            (printed, expected) => assert_eq!(printed.as_deref().map_err(String::as_str), expected),
        }
    }
    let (aws, acs) = ("\"arn:aws:iam::123456789012:root\"", "\"acs:ram::1111222233334444:root\"");
    check(&[Cloud::Aws, Cloud::Alibaba], Cloud::Aws, Ok(aws));
    check(&[Cloud::Aws, Cloud::Alibaba], Cloud::Alibaba, Ok(acs));
    let refused = "--role-arn acs:ram::1111222233334444:role/KubernetesAdmin: its cloud is not among the `server.providers` of --config";
    check(&[Cloud::Aws], Cloud::Alibaba, Err(refused));
    let refused = "--role-arn arn:aws:iam::123456789012:role/KubernetesAdmin: its cloud is not among the `server.providers` of --config";
    check(&[Cloud::Alibaba], Cloud::Aws, Err(refused));
}
