//! `herald init --emit`: the files of `examples/deploy` with a cluster's own values in the places of the examples'.

use anyhow::{Context as _, ensure};

use crate::{
    cli::{called::Name, cluster_id, token::parse_role},
    config::Config,
    kubernetes::kubeconfig::client::Entry,
    provider::Cloud,
};

/// What can be printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// The definition of mapping objects: IAMIdentityMapping, for Alibaba Cloud RAMIdentityMapping.
    Crd,
    /// ConfigMap and DaemonSet.
    Daemonset,
    /// The trust policy of the role that people assume; for Alibaba Cloud, the RAM role's.
    #[value(alias = "ram-role")]
    IamRole,
    /// What `kops edit cluster` takes below `spec`.
    KopsHook,
    /// The same for machines without the AWS CLI.
    KopsHookDocker,
    /// ClusterConfiguration, from Kubernetes 1.31 on.
    #[value(alias = "kubeadm-v1beta4")]
    Kubeadm,
    /// ClusterConfiguration, up to Kubernetes 1.30.
    KubeadmV1beta3,
    /// A person's kubeconfig.
    Kubeconfig,
}

/// What goes into it.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Values {
    /// With --emit: ARN of the role that people assume.
    #[arg(long, value_name = "ARN", requires = "emit")]
    role_arn: Option<String>,
    /// With --emit: the image of the DaemonSet.
    #[arg(long, requires = "emit")]
    image: Option<String>,
    /// With --emit: URL of the state store of kops.
    #[arg(long, value_name = "URL", requires = "emit")]
    state_store: Option<String>,
    /// With --emit: URL of the API server.
    #[arg(long, value_name = "URL", requires = "emit")]
    server: Option<String>,
}

const ACK: &str = include_str!("../../../../examples/deploy/ack.yaml");
const HERALD: &str = include_str!("../../../../examples/deploy/herald.yaml");
const IAM_ROLE: &str = include_str!("../../../../examples/deploy/iam-role.json");
const KOPS_HOOK: &str = include_str!("../../../../examples/deploy/kops-hook.yaml");
const KOPS_HOOK_DOCKER: &str = include_str!("../../../../examples/deploy/kops-hook-docker.yaml");
const KUBEADM_V1BETA3: &str = include_str!("../../../../examples/deploy/kubeadm-v1beta3.yaml");
const KUBEADM_V1BETA4: &str = include_str!("../../../../examples/deploy/kubeadm-v1beta4.yaml");
const RAM_MAPPING: &str = include_str!("../../../../examples/deploy/ramidentitymapping.yaml");
const RAM_ROLE: &str = include_str!("../../../../examples/deploy/ram-role.json");
const SOURCES: &str = include_str!("../../../../examples/deploy/sources.yaml");

// === impl Values ===

impl Values {
    /// The text of `what`. Values that nobody gives stay those of the examples.
    pub(super) fn render(&self, what: What, config: &Config, name: Name) -> anyhow::Result<String> {
        let alibaba = config.clouds() == [Cloud::Alibaba];
        let text = match what {
            What::Crd if alibaba => return Ok(RAM_MAPPING.to_owned()),
            What::Crd => return definition(),
            What::Daemonset if alibaba => ACK,
            What::Daemonset => HERALD,
            What::IamRole => return self.trust_policy(alibaba),
            What::KopsHook => KOPS_HOOK,
            What::KopsHookDocker => KOPS_HOOK_DOCKER,
            What::Kubeadm => KUBEADM_V1BETA4,
            What::KubeadmV1beta3 => KUBEADM_V1BETA3,
            What::Kubeconfig => return self.kubeconfig(config, name, alibaba),
        };
        self.fill_in(text, what, config, name)
    }

    fn fill_in(&self, text: &str, what: What, config: &Config, name: Name) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        let mut put = |example: &str, option: &str, value: &str| -> anyhow::Result<()> {
            ensure!(is_plain(value), "{option}: letters, digits and ._:/@- are all that these files take");
            text = text.replace(example, value);
            Ok(())
        };
        if let (What::Daemonset | What::KopsHook | What::KopsHookDocker, Some(id)) = (what, &config.cluster_id) {
            put("my-cluster.example.com", "--cluster-id", id.as_str())?;
            put("<your-cluster-id>", "--cluster-id", id.as_str())?;
        }
        if let Some(image) = &self.image {
            put("registry.example.com/herald:0.1.0", "--image", image)?;
        }
        if let Some(store) = &self.state_store {
            put("s3://my-state-store", "--state-store", store.trim_end_matches('/'))?;
        }
        if let Some(role) = &self.role_arn {
            parse_role(role)?;
            put("arn:aws:iam::111122223333:role/KubernetesAdmin", "--role-arn", role)?;
            put("acs:ram::1234567890123456:role/KubernetesAdmin", "--role-arn", role)?;
        }
        if let What::KopsHook | What::KopsHookDocker = what {
            put("/srv/kubernetes/herald", "the name", &format!("/srv/kubernetes/{}", name.as_str()))?;
        }
        if let What::Kubeadm | What::KubeadmV1beta3 = what {
            let kubeconfig = config.server.generate_kubeconfig.to_string_lossy();
            let folder = kubeconfig.rsplit_once('/').map_or("", |(folder, _)| folder);
            put("/etc/kubernetes/herald", "generateKubeconfig", folder)?;
            put(&format!("{folder}/kubeconfig.yaml"), "generateKubeconfig", &kubeconfig)?;
        }
        Ok(text)
    }

    /// Who may assume the role: all of its own account, as far as their own permissions go.
    fn trust_policy(&self, alibaba: bool) -> anyhow::Result<String> {
        let (text, example) = if alibaba { (RAM_ROLE, "1234567890123456") } else { (IAM_ROLE, "111122223333") };
        let Some(role) = &self.role_arn else { return Ok(text.to_owned()) };
        parse_role(role)?;
        let fields: Vec<&str> = role.split(':').collect();
        let (partition, account) = (fields[1], fields[if alibaba { 3 } else { 4 }]);
        let text = text.replace(example, account);
        Ok(if alibaba { text } else { text.replace("arn:aws:", &format!("arn:{partition}:")) })
    }

    fn kubeconfig(&self, config: &Config, name: Name, alibaba: bool) -> anyhow::Result<String> {
        let id = cluster_id(config)?.as_str();
        let server = self.server.clone().context("where is the API server? Give --server")?;
        ensure!(server.starts_with("https://"), "--server {server}: must start with https://");
        let mut args = vec!["token", "-i", id];
        if let Some(role) = &self.role_arn {
            parse_role(role)?;
            args.extend(["-r", role]);
        }
        if alibaba && name == Name::Herald {
            args.extend(["--provider", "alibaba"]);
        }
        let entry = Entry {
            name: id.to_owned(),
            user: Some(format!("{id}.exec")),
            server: Some(server),
            command: name.as_str().to_owned(),
            args: args.into_iter().map(str::to_owned).collect(),
            ..Entry::default()
        };
        Ok(entry.merge("")?)
    }
}

/// Whether a value means the same wherever it is put: in YAML, in a shell's words, in a unit of systemd.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@-".contains(c))
}

/// The definition among the documents of sources.yaml.
fn definition() -> anyhow::Result<String> {
    let mut documents = SOURCES.split("---\n");
    let found = documents.find(|document| document.contains("kind: CustomResourceDefinition\n"));
    Ok(found.context("the definition is among the examples")?.to_owned())
}

#[cfg(test)]
mod tests;
