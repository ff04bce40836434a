//! Every file under `examples/` that a reader may copy does what it says: it loads, without a warning.

use std::{
    fs,
    path::{Path, PathBuf},
};

use herald::{
    config::{CheckedFile, Config, Loaded},
    observe, policy,
    provider::Cloud,
    server, sts,
};
use serde_json::Value;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(example(name)).expect("an example")
}

fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(name)).expect("YAML")
}

#[track_caller]
fn loads(name: &str, yaml: &str) -> Config {
    let Loaded { config, warnings } = Config::parse(Path::new(name), yaml).expect("it loads");
    assert!(warnings.is_empty(), "{warnings:?}");
    config
}

#[test]
fn every_configuration_loads() {
    let mut found = 0;
    for entry in fs::read_dir(example("config")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let yaml = fs::read_to_string(&path).expect("a file");
        assert!(loads(&path.to_string_lossy(), &yaml).cluster_id.is_some());
        found += 1;
    }
    assert!(found > 1, "the examples are where this test looks");
}

#[test]
fn the_reference_states_the_defaults() {
    let config = loads("reference.yaml", &text("config/reference.yaml"));
    assert_eq!(config.server, server::Config::default());
    assert_eq!(config.observe, observe::Config::default());
    assert_eq!(policy::EngineConfig { workers: None, ..config.policy_engine }, policy::EngineConfig::default());
    assert_eq!(config.sts, sts::Config::default());
    assert_eq!(config.ec2, herald::provider::aws::ec2::Settings::default());
    assert_eq!(config.iam, herald::provider::aws::iam::Config::default());
    assert_eq!(config.rules.len(), 3);
}

/// Keys that have no default to show.
const OPTIONAL: [&str; 15] = [
    "cache: ",
    "dynamicBackendModePath: ",
    "dynamicFilePath: ",
    "ec2DescribeInstancesRoleARN: ",
    "endpoint: ",
    "forwardSessionName: ",
    "kubeconfig: ",
    "log-verbosity: ",
    "master: ",
    "partition: ",
    "provider: ",
    "region: eu",
    "sourceARN: ",
    "tokenOnly: ",
    "workers: ",
];

/// What is commented out in the reference is no lie either.
#[test]
fn the_reference_loads_with_its_comments_taken_away() {
    let reference = text("config/reference.yaml");
    let mut yaml = String::new();
    let mut keep = |line: &str| {
        yaml.push_str(line);
        yaml.push('\n');
    };
    for line in reference.lines() {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        match bare.strip_prefix("# ") {
            Some(rest) if rest.starts_with("- ") || rest.starts_with("  ") => keep(&format!("{indent}{rest}")),
            None if line.ends_with("policies: []") || line.ends_with("endpoints: []") => {
                keep(line.trim_end_matches(" []"));
            }
            None if bare.starts_with("bootstrapAdmins: []") => keep(&format!("{indent}bootstrapAdmins:")),
            None if bare.starts_with("roles: []") => keep(&format!("{indent}roles:")),
            Some(rest) if OPTIONAL.iter().any(|key| rest.starts_with(key)) => keep(&format!("{indent}{rest}")),
            _ => keep(line),
        }
    }
    let sources = "[MountedFile, EKSConfigMap, ACKConfigMap, CRD, RAMIdentityMapping, DynamicFile, Policy/oncall] #";
    let yaml = yaml.replace("[MountedFile]   ", sources).replace("3f1c…", &"ab".repeat(32));
    let config = loads("reference.yaml", &yaml);
    assert_eq!((config.policies.len(), config.sts.endpoints.len(), config.sts_hosts.len()), (1, 1, 1));
    assert_eq!((config.sources.len(), config.bootstrap_admins.len()), (7, 1));
    assert!(config.ec2.role.is_some() && config.ec2.source_arn.is_some() && config.ec2.config.roles.len() == 1);
    assert!(config.iam.endpoint.is_some() && config.policies[0].cloud == policy::cloud::Fact::ALL);
    assert!(config.dynamic_file.is_some() && config.backend_mode_file.is_some());
    assert!(config.kubernetes.kubeconfig.is_some() && config.kubernetes.master.is_some());
    assert!(
        config.client.log_verbosity.is_some() && config.client.provider.is_some() && config.client.partition.is_some()
    );
    assert_eq!((config.server.workers, config.policy_engine.workers), (1, Some(1)));
}

#[test]
fn the_manifest_runs_what_its_config_map_says() {
    let documents = documents("deploy/herald.yaml");
    let kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).expect("there is one");
    let yaml = kind("ConfigMap")["data"]["config.yaml"].as_str().expect("a text");
    assert_eq!(loads("config.yaml", yaml).rules.len(), 1);
    let pod = &kind("DaemonSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments: Vec<&str> = container["args"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let mounted =
        |path: &str| container["volumeMounts"].as_array().expect("a list").iter().any(|m| m["mountPath"] == path);
    for argument in &arguments[1..] {
        let (_, path) = argument.split_once('=').expect("an option with a path");
        let folder = Path::new(path).parent().expect("an absolute path").to_string_lossy();
        assert!(mounted(&folder) || mounted(path), "{path} is on no volume");
    }
    assert_eq!(arguments[0], "server");
    let config = server::Config::default();
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], config.port);
    }
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > config.shutdown_grace.as_secs());
    // The kubelet makes the folders, and they are root's: without this the server could write neither.
    let init = &pod["initContainers"][0];
    let user = &container["securityContext"];
    let owner = format!("--owner={}:{}", user["runAsUser"], user["runAsGroup"]);
    let expected = [&["init", "--folders"], &arguments[2..], &[&owner]].concat();
    assert_eq!(init["args"], serde_json::json!(expected), "both know the same places");
    assert_eq!(init["image"], container["image"]);
    let volumes = |container: &Value| {
        let mounts =
            container["volumeMounts"].as_array().expect("a list").iter().filter(|mount| mount["readOnly"] != true);
        mounts.cloned().collect::<Vec<_>>()
    };
    assert_eq!(volumes(init), volumes(container), "and write in the same volumes");
    let capabilities = serde_json::json!({"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE"]});
    assert_eq!(init["securityContext"]["capabilities"], capabilities);
}

/// Otherwise a node would end the server again and again while its policies are compiled for the first time, which may take
/// five minutes for each.
#[test]
fn the_manifests_wait_for_the_first_compilation() {
    const LONGEST: u64 = 300;
    for file in ["deploy/herald.yaml", "deploy/ack.yaml"] {
        let documents = documents(file);
        let set = documents.iter().find(|document| document["kind"] == "DaemonSet").expect("there is one");
        let probe = &set["spec"]["template"]["spec"]["containers"][0]["startupProbe"];
        let number = |key: &str| probe[key].as_u64().expect("a number");
        assert!(number("periodSeconds") * number("failureThreshold") > LONGEST, "{file}");
        assert_eq!(probe["httpGet"]["path"], "/healthz", "{file}");
    }
}

/// The YAML that a section of the guide shows.
fn snippets(heading: &str) -> Vec<Value> {
    let readme = text("deploy/README.md");
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).and_then(|rest| rest.split("\n## ").next());
    let snippets = section.expect("a section").split("```yaml\n").skip(1);
    snippets.map(|text| serde_saphyr::from_str(text.split("```").next().expect("its end")).expect("YAML")).collect()
}

/// Another user's code is not run, and code in another folder is not found.
#[test]
fn the_container_that_compiles_policies_is_as_the_server_is() {
    let documents = documents("deploy/herald.yaml");
    let server = &one(&documents, "DaemonSet")["spec"]["template"]["spec"]["containers"][0];
    let snippets = snippets("Memory");
    let init = &snippets[0][0];
    let places = server["args"].as_array().expect("a list")[1..3].to_vec();
    assert_eq!(init["args"], Value::from([vec!["policy".into(), "compile".into()], places].concat()));
    for key in ["runAsNonRoot", "runAsUser", "runAsGroup"] {
        assert_eq!(init["securityContext"][key], server["securityContext"][key], "{key}");
    }
    let mounts = |container: &Value| container["volumeMounts"].as_array().expect("a list").clone();
    for mount in mounts(server).iter().filter(|mount| mount["name"] != "output") {
        assert!(mounts(init).contains(mount), "{mount}");
    }
    assert_eq!(init["image"], server["image"]);
}

/// Kubelets show no certificate.
#[test]
fn probes_go_to_the_listener_for_health_where_clients_need_a_certificate() {
    let snippets = snippets("Client certificates");
    let authority = &snippets[0]["server"]["clientAuth"]["caFile"];
    assert!(authority.is_string());
    let (mount, volume) = (&snippets[1]["volumeMounts"][0], &snippets[1]["volumes"][0]);
    assert_eq!((&mount["mountPath"], &volume["hostPath"]["path"]), (authority, authority), "the pod sees the file");
    assert_eq!(mount["name"], volume["name"]);
    for file in ["deploy/herald.yaml", "deploy/ack.yaml"] {
        let documents = documents(file);
        let health = config_map(&documents).server.health;
        let container = &one(&documents, "DaemonSet")["spec"]["template"]["spec"]["containers"][0];
        for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let mut probe = container[name].clone();
            assert_eq!(probe["httpGet"]["host"], health.address.to_string(), "{file}");
            probe["httpGet"]["port"] = health.port.into();
            probe["httpGet"]["scheme"] = "HTTP".into();
            assert_eq!(snippets[2][name], probe, "{file}");
        }
    }
}

/// The rules say no more than what `config::sources` asks for.
#[test]
fn the_rules_let_it_read_its_sources_and_nothing_else() {
    let documents = documents("deploy/sources.yaml");
    let rules = |kind: &str| {
        let document = documents.iter().find(|document| document["kind"] == kind).expect("there is one");
        document["rules"].as_array().expect("a list").clone()
    };
    let may = |kind| {
        let words = |rule: &Value, key: &str| {
            let words = rule[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(" ")
        };
        let rules = rules(kind);
        rules.iter().map(|rule| format!("{}: {}", words(rule, "resources"), words(rule, "verbs"))).collect::<Vec<_>>()
    };
    assert_eq!(may("Role"), ["configmaps: list watch", "leases: create", "leases: get patch"]);
    let all = [
        "iamidentitymappings ramidentitymappings: list watch",
        "iamidentitymappings/status ramidentitymappings/status: patch",
        "events: create",
    ];
    assert_eq!(may("ClusterRole"), all);
    assert_eq!(rules("Role")[0]["resourceNames"], serde_json::json!(["aws-auth"]));
    let crd = documents.iter().find(|document| document["kind"] == "CustomResourceDefinition").expect("there is one");
    assert_eq!(crd["metadata"]["name"], "iamidentitymappings.iamauthenticator.k8s.aws");
    let version = &crd["spec"]["versions"][0];
    assert_eq!((version["name"].as_str(), crd["spec"]["scope"].as_str()), (Some("v1alpha1"), Some("Cluster")));
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let keys: Vec<&String> = spec["properties"].as_object().expect("a map").keys().collect();
    assert_eq!(keys, ["arn", "groups", "notAfter", "username"]);
}

/// Tables of policies: the definition takes what the room reads, and the rules are for what the example reads.
#[test]
fn tables_have_a_definition_and_rules() {
    let (rules, tables) = (documents("deploy/policytable.yaml"), documents("deploy/example-policytable.yaml"));
    let kind = |kind: &str| rules.iter().find(|document| document["kind"] == kind).expect("there is one");
    let (crd, table) = (kind("CustomResourceDefinition"), &tables[0]);
    assert!(!rules.iter().any(|document| document["kind"] == "PolicyTable"), "kubectl knows the kind only afterwards");
    let spec = &crd["spec"];
    assert_eq!(crd["metadata"]["name"], format!("{}.{}", spec["names"]["plural"], spec["group"]).replace('"', ""));
    let version = format!("{}/{}", spec["group"], spec["versions"][0]["name"]).replace('"', "");
    assert_eq!((&table["apiVersion"], &spec["scope"]), (&version.into(), &"Cluster".into()));
    for (role, resource) in [("ClusterRole", "policytables"), ("Role", "configmaps")] {
        let rule = &kind(role)["rules"][0];
        assert_eq!((&rule["resources"][0], &rule["verbs"]), (&resource.into(), &serde_json::json!(["list", "watch"])));
    }
    let names: Vec<&Value> = tables.iter().map(|table| &table["metadata"]["name"]).collect();
    assert_eq!(kind("ClusterRole")["rules"][0]["resourceNames"], serde_json::json!(names));
    for (table, entries) in tables.iter().zip([2, 0]) {
        let read = policy::Table::from_json(&table["spec"]["entries"]).expect("a table");
        assert_eq!((&table["kind"], read.len()), (&"PolicyTable".into(), entries));
    }
}

/// The manifest of a cluster on Alibaba Cloud.
#[test]
fn the_manifest_for_alibaba_cloud_makes_what_it_runs_with() {
    let documents = documents("deploy/ack.yaml");
    let kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).expect("there is one");
    let yaml = kind("ConfigMap")["data"]["config.yaml"].as_str().expect("a text");
    let config = loads("config.yaml", yaml);
    assert_eq!((config.clouds(), config.rules.len()), (&[Cloud::Alibaba][..], 1));
    assert_eq!(config.alibaba.host().expect("an endpoint").as_str(), "sts-vpc.cn-hangzhou.aliyuncs.com");
    assert_eq!(config.cluster_id.expect("an id").as_str(), "<your-cluster-id>");
    let pod = &kind("DaemonSet")["spec"]["template"]["spec"];
    let (init, server) = (&pod["initContainers"][0], &pod["containers"][0]);
    let arguments = |container: &Value| -> Vec<String> {
        let list = container["args"].as_array().expect("a list").iter();
        list.map(|argument| argument.as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!((arguments(init)[0].as_str(), arguments(server)[0].as_str()), ("init", "server"));
    assert_eq!(arguments(init)[1..4], arguments(server)[1..4], "both know the same places");
    let user = &server["securityContext"];
    let owner = format!("--owner={}:{}", user["runAsUser"], user["runAsGroup"]);
    assert_eq!(arguments(init)[4..], [owner]);
    assert_eq!((&init["volumeMounts"], &init["image"]), (&server["volumeMounts"], &server["image"]));
    let rules = |name: &str| kind(name)["rules"][0].clone();
    assert_eq!(rules("Role")["resourceNames"], serde_json::json!(["alibabacloud-auth"]));
    assert_eq!(rules("ClusterRole")["resources"], serde_json::json!(["ramidentitymappings"]));
    for name in ["Role", "ClusterRole"] {
        assert_eq!(rules(name)["verbs"], serde_json::json!(["list", "watch"]));
    }
}

#[test]
fn the_example_mappings_are_bound() {
    let checked = CheckedFile::read(&example("deploy/example-ramidentitymapping.yaml"));
    let told: Vec<String> = checked.findings.iter().map(|finding| finding.text()).collect();
    assert!(checked.is_manifest && told.is_empty(), "{told:?}");
    let rules = checked.parts.iter().map(|part| part.config.rules.len()).sum::<usize>();
    let mappings = documents("deploy/example-ramidentitymapping.yaml");
    assert_eq!(rules, mappings.len());
    let definition = &documents("deploy/ramidentitymapping.yaml")[0];
    assert_eq!(definition["metadata"]["name"], "ramidentitymappings.ramauthenticator.k8s.alibabacloud");
    let (spec, version) = (&definition["spec"], &definition["spec"]["versions"][0]);
    assert_eq!((&spec["scope"], &spec["names"]["kind"]), (&Value::from("Cluster"), &Value::from("RAMIdentityMapping")));
    let properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].as_object();
    let properties = properties.expect("a map");
    let api = format!("{}/{}", spec["group"].as_str().expect("a group"), version["name"].as_str().expect("a version"));
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for mapping in &mappings {
        assert_eq!((mapping["apiVersion"].as_str(), &mapping["kind"]), (Some(api.as_str()), &spec["names"]["kind"]));
        let given = mapping["spec"].as_object().expect("a map");
        assert!(given.keys().all(|key| properties.contains_key(key)), "{given:?}");
        users.push(given["username"].clone());
        groups.extend(given.get("groups").and_then(Value::as_array).into_iter().flatten().cloned());
    }
    for binding in documents("deploy/example-binding.yaml") {
        let subject = &binding["subjects"][0];
        let known = if subject["kind"] == "User" { &users } else { &groups };
        assert!(known.contains(&subject["name"]), "{} is nobody", subject["name"]);
    }
}

#[test]
fn the_kubeconfig_runs_the_plugin() {
    let documents = documents("kubeconfig/kubectl.yaml");
    let exec = &documents[0]["users"][0]["user"]["exec"];
    assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!((exec["command"].as_str(), exec["args"][0].as_str()), (Some("herald"), Some("token")));
}

// === Files of kops, kubeadm and of older guides ===

fn one<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).expect("there is one")
}

fn config_map(documents: &[Value]) -> Config {
    loads("config.yaml", one(documents, "ConfigMap")["data"]["config.yaml"].as_str().expect("a text"))
}

/// Where the container's `path` is on the machine.
fn on_the_machine(pod: &Value, path: &str) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mounts = list(&pod["containers"][0]["volumeMounts"]);
    let folder = |mount: &Value| mount["mountPath"].as_str().expect("a path").trim_end_matches('/').to_owned();
    let mount = mounts.iter().find(|mount| Path::new(path).starts_with(folder(mount))).expect("it is mounted");
    let volumes = list(&pod["volumes"]);
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume");
    let host = volume["hostPath"]["path"].as_str().expect("of the machine").trim_end_matches('/');
    path.replace(&folder(mount), host)
}

/// The flags of the pod's server by their names.
fn flag<'a>(pod: &'a Value, name: &str) -> &'a str {
    let words = pod["containers"][0]["args"].as_array().expect("a list").iter().filter_map(Value::as_str);
    words.filter_map(|word| word.split_once('=')).find(|(flag, _)| *flag == name).expect("it is given").1
}

#[test]
fn the_hooks_of_kops_bring_what_api_server_and_daemon_set_look_for() {
    let by = |name: &str| documents(name).remove(0);
    let (with_cli, with_docker) = (by("deploy/kops-hook.yaml"), by("deploy/kops-hook-docker.yaml"));
    let pods = documents("deploy/herald-kops.yaml");
    let pod = &one(&pods, "DaemonSet")["spec"]["template"]["spec"];
    let pregenerated = pod["containers"][0]["args"].as_array().expect("a list");
    assert!(pregenerated.contains(&"--kubeconfig-pregenerated".into()));
    assert_eq!(config_map(&pods).rules.len(), 1);
    for spec in [&with_cli, &with_docker] {
        let kubeconfig = spec["kubeAPIServer"]["authenticationTokenWebhookConfigFile"].as_str().expect("a path");
        assert_eq!(on_the_machine(pod, flag(pod, "--generate-kubeconfig")), kubeconfig);
        assert!(kubeconfig.starts_with(&on_the_machine(pod, flag(pod, "--state-dir"))), "one folder for all three");
        assert!(
            kubeconfig.starts_with("/srv/kubernetes/kube-apiserver/"),
            "kops mounts that into the API server's pod"
        );
        let hook = &spec["hooks"][0];
        assert_eq!(hook["name"], "kops-hook-authenticator-config.service");
        assert_eq!((&hook["before"][0], &hook["roles"][0]), (&"kubelet.service".into(), &"Master".into()));
        let unit = hook["manifest"].as_str().expect("a unit of systemd");
        assert!(unit.contains("\nType=oneshot\n"), "{unit}");
        let steps: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
        let folder = kubeconfig.trim_end_matches("/kubeconfig.yaml");
        assert_eq!((steps.len(), steps[0]), (2, format!("/bin/mkdir -p -m 700 {folder}").as_str()));
        let store = "s3://my-state-store/my-cluster.example.com/addons/authenticator";
        assert!(steps[1].ends_with(&format!("aws s3 cp --recursive {store} {folder}/")), "{unit}");
    }
    let docker = with_docker["hooks"][0]["manifest"].as_str().expect("a unit");
    let digest = docker.split("@sha256:").nth(1).expect("pinned").split(' ').next().expect("a digest");
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    let folder = "/srv/kubernetes/kube-apiserver/herald";
    assert!(docker.contains(&format!("docker run --net=host --rm -v {folder}:{folder} ")));
}

#[test]
fn daemon_sets_run_on_control_planes_of_before_and_of_today() {
    let old = documents("deploy/old/authenticator.yaml");
    let (set, config) = (one(&old, "DaemonSet"), config_map(&old));
    assert_eq!(config.cluster_id.expect("an id").as_str(), "authenticator.abcdefghij.k8s.local");
    assert_eq!(set["apiVersion"], "extensions/v1beta1");
    let template = &set["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["scheduler.alpha.kubernetes.io/critical-pod"], "");
    let pod = &template["spec"];
    assert_eq!((&pod["hostNetwork"], &set["spec"]["updateStrategy"]["type"]), (&true.into(), &"RollingUpdate".into()));
    assert_eq!(pod["nodeSelector"]["node-role.kubernetes.io/master"], "");
    assert_eq!(pod["containers"][0]["resources"]["limits"], serde_json::json!({"memory": "20Mi", "cpu": "100m"}));
    assert_eq!(pod["containers"][0]["securityContext"]["runAsUser"], 0, "its folder is root's");
    let place = "/srv/kubernetes/heptio-authenticator-aws";
    assert_eq!(on_the_machine(pod, flag(pod, "--state-dir")), place);
    assert_eq!(on_the_machine(pod, flag(pod, "--generate-kubeconfig")), format!("{place}/kubeconfig.yaml"));

    for name in ["deploy/herald-kops.yaml", "deploy/herald.yaml", "deploy/ack.yaml"] {
        let documents = documents(name);
        let set = one(&documents, "DaemonSet");
        let (labels, pod) = (&set["spec"]["template"]["metadata"]["labels"], &set["spec"]["template"]["spec"]);
        assert_eq!(set["apiVersion"], "apps/v1", "{name}");
        assert_eq!(&set["spec"]["selector"]["matchLabels"], labels, "{name}");
        assert_eq!((&pod["hostNetwork"], &set["metadata"]["namespace"]), (&true.into(), &"kube-system".into()));
        let critical = pod["priorityClassName"].as_str().expect("a class");
        assert!(critical.starts_with("system-") && critical.ends_with("-critical"), "{name}: {critical}");
        let tolerated = pod["tolerations"].to_string();
        assert!(tolerated.contains("node-role.kubernetes.io/control-plane"), "{name}");
        assert!(tolerated.contains("CriticalAddonsOnly"), "{name}");
    }
    let kops = documents("deploy/herald-kops.yaml");
    let pod = &one(&kops, "DaemonSet")["spec"]["template"]["spec"];
    let required = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms: Vec<&str> = required["nodeSelectorTerms"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|term| term["matchExpressions"][0]["key"].as_str())
        .collect();
    assert_eq!(terms, ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"]);
}

#[test]
fn kubeadm_mounts_the_folder_of_the_flag() {
    for version in ["v1beta3", "v1beta4"] {
        let document = documents(&format!("deploy/kubeadm-{version}.yaml")).remove(0);
        assert_eq!(document["apiVersion"], format!("kubeadm.k8s.io/{version}"));
        let server = &document["apiServer"];
        let flag = "authentication-token-webhook-config-file";
        let arguments = &server["extraArgs"];
        let value = if version == "v1beta3" {
            &arguments[flag]
        } else {
            assert_eq!(arguments[0]["name"], flag);
            &arguments[0]["value"]
        };
        let path = Path::new(value.as_str().expect("a path"));
        assert_eq!(path, server::Config::default().generate_kubeconfig);
        let (volume, folder) = (&server["extraVolumes"][0], path.parent().and_then(Path::to_str));
        assert_eq!((volume["mountPath"].as_str(), volume["hostPath"].as_str()), (folder, folder));
    }
}

#[test]
fn the_mappings_of_eks_are_in_force_as_they_are_written() {
    let checked = CheckedFile::read(&example("deploy/aws-auth.yaml"));
    let told: Vec<String> = checked.findings.iter().map(|finding| finding.text()).collect();
    let rules = checked.parts.iter().map(|part| part.config.rules.len()).sum::<usize>();
    assert!(checked.is_manifest);
    assert_eq!(rules, 3, "{told:?}");
    let text = text("deploy/aws-auth.yaml");
    assert!(text.contains("\n    - groups:\n"), "groups first, as eksctl writes it");
}

#[test]
fn a_role_for_people_lets_its_account_alone_assume_it() {
    let read = |name| serde_json::from_str::<Value>(&text(name)).expect("JSON");
    let (aws, alibaba) = (read("deploy/iam-role.json"), read("deploy/ram-role.json"));
    let only = |policy: &Value| -> Value {
        let statements = policy["Statement"].as_array().expect("a list");
        assert_eq!(statements.len(), 1);
        statements[0].clone()
    };
    assert_eq!((&aws["Version"], &alibaba["Version"]), (&"2012-10-17".into(), &"1".into()));
    assert_eq!(only(&aws)["Principal"], serde_json::json!({"AWS": "arn:aws:iam::111122223333:root"}));
    assert_eq!(only(&aws)["Condition"], serde_json::json!({}));
    assert_eq!(only(&alibaba)["Principal"], serde_json::json!({"RAM": ["acs:ram::1234567890123456:root"]}));
    for policy in [&aws, &alibaba] {
        assert_eq!((&only(policy)["Effect"], &only(policy)["Action"]), (&"Allow".into(), &"sts:AssumeRole".into()));
    }
}

#[test]
fn the_list_of_allowed_plugins_names_the_command_of_the_kubeconfig() {
    let (kuberc, config) =
        (documents("kubeconfig/kuberc.yaml").remove(0), documents("kubeconfig/kubectl.yaml").remove(0));
    assert_eq!(kuberc["apiVersion"], "kubectl.config.k8s.io/v1beta1");
    assert_eq!((&kuberc["kind"], &kuberc["credentialPluginPolicy"]), (&"Preference".into(), &"Allowlist".into()));
    let command = &config["users"][0]["user"]["exec"]["command"];
    assert_eq!(kuberc["credentialPluginAllowlist"], serde_json::json!([{ "command": command }]));
}

#[test]
fn kubeconfigs_of_older_guides_run_the_plugin_under_its_old_name() {
    let config = documents("kubeconfig/old.yaml").remove(0);
    let (name, user) = ("authenticator.abcdefghij.k8s.local", &config["users"][0]);
    assert_eq!(user["name"], format!("{name}.exec"));
    assert_eq!(config["contexts"][0]["context"]["user"], user["name"]);
    let exec = &user["user"]["exec"];
    assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1alpha1");
    assert_eq!(exec["command"], "heptio-authenticator-aws");
    let role = "arn:aws:iam::111122223333:role/KubernetesAdmin";
    assert_eq!(exec["args"], serde_json::json!(["token", "-i", name, "-r", role]));
}
