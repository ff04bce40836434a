//! `--stay`: everything stays up, with kubeconfigs to try, until somebody asks it to end.

use std::{fs, path::Path};

use ::tests::{
    herald,
    sts::{ALICE, BOB, Person, alibaba::LIN},
};
use serde_json::json;

use crate::{
    page::Page,
    story::{CLUSTER_ID, Stage},
};

/// Writes a kubeconfig for kubectl and says what there is to try.
pub(crate) fn describe(page: &mut Page, stage: &Stage) -> anyhow::Result<()> {
    let folder = stage.server.folder();
    let kubectl = folder.join("kubectl.yaml");
    fs::write(&kubectl, kubeconfig(herald::binary()?, &ALICE))?;
    page.step("All of it stays up until Ctrl-C");
    page.fact("dev STS", &stage.sts.address.to_string());
    page.fact("webhook", &stage.server.url);
    page.fact("folder", &folder.display().to_string());
    page.say("");
    page.say("For the API server, so that it asks this webhook about every bearer token:");
    page.say(&format!("  --authentication-token-webhook-config-file={}", folder.join("kubeconfig.yaml").display()));
    page.say("For kubectl, as Alice (set `server` in it to your API server):");
    page.say(&format!("  kubectl --kubeconfig {} auth whoami", kubectl.display()));
    page.say("Or be Bob for one token:");
    let program = herald::binary()?.display();
    let bob = [&BOB.environment()[..], &[("AWS_REGION", "us-east-1")]].concat();
    page.say(&format!("  {} {program} token -i {CLUSTER_ID}", assignments(&bob)));
    page.say("Or Lin, of Alibaba Cloud:");
    page.say(&format!("  {} {program} token -i {CLUSTER_ID} --provider alibaba", assignments(&LIN.environment())));
    Ok(())
}

/// Variables as one writes them in front of a command.
fn assignments(variables: &[(&str, &str)]) -> String {
    let words: Vec<String> = variables.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    words.join(" ")
}

/// A kubeconfig that gets its tokens from `herald token` with `person`'s keys.
fn kubeconfig(herald: &Path, person: &Person) -> String {
    let mut variables = person.environment();
    variables.push(("AWS_REGION", "us-east-1"));
    let variables: String = variables
        .iter()
        .map(|(name, value)| format!("\n      - name: {name}\n        value: {}", json!(value)))
        .collect();
    KUBECONFIG.replace("{herald}", &json!(herald).to_string()).replace("{variables}", &variables)
}

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: quickstart
clusters:
- name: quickstart
  cluster:
    server: https://127.0.0.1:6443
contexts:
- name: quickstart
  context: {cluster: quickstart, user: alice}
users:
- name: alice
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: {herald}
      args: [token, -i, quickstart.example.com]
      env:{variables}
      interactiveMode: Never
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ::tests::sts::ALICE;
    use serde_json::Value;

    #[test]
    fn the_exec_plugin_gets_alices_keys() {
        let text = super::kubeconfig(Path::new("/opt/herald"), &ALICE);
        let kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
        let exec = &kubeconfig["users"][0]["user"]["exec"];
        assert_eq!(exec["command"], "/opt/herald");
        assert_eq!(exec["args"][2], super::CLUSTER_ID);
        let variables = exec["env"].as_array().expect("a list");
        let expected = ALICE.environment();
        assert_eq!(variables.len(), expected.len() + 1);
        for (variable, (name, value)) in variables.iter().zip(expected) {
            assert_eq!((variable["name"].as_str(), variable["value"].as_str()), (Some(name), Some(value)));
        }
    }
}
