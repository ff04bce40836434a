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
    assert_eq!(config.policy_engine, policy::EngineConfig::default());
    assert_eq!(config.sts, sts::Config::default());
    assert_eq!(config.ec2, herald::provider::aws::ec2::Settings::default());
    assert_eq!(config.rules.len(), 3);
}

/// Keys that have no default to show.
const OPTIONAL: [&str; 8] = [
    "dynamicBackendModePath: ",
    "dynamicFilePath: ",
    "ec2DescribeInstancesRoleARN: ",
    "endpoint: ",
    "kubeconfig: ",
    "master: ",
    "region: eu",
    "sourceARN: ",
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
    assert!(config.dynamic_file.is_some() && config.backend_mode_file.is_some());
    assert!(config.kubernetes.kubeconfig.is_some() && config.kubernetes.master.is_some());
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
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], config.port);
    }
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > config.shutdown_grace.as_secs());
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
    let all = ["iamidentitymappings: list watch", "iamidentitymappings/status: patch", "events: create"];
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
