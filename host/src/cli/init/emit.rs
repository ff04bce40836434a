//! `herald init --emit`: the files of `examples/deploy` with a cluster's own values in the places of the examples'.

use std::{cmp::Reverse, path::Path};

use anyhow::{Context as _, bail, ensure};

use crate::{
    caller::arn::ACS_PARTITION,
    cli::{called::Name, cluster_id, token::parse_role},
    config::Config,
    kubernetes::kubeconfig::client::Entry,
    provider::Cloud,
    server,
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
    /// ConfigMap and DaemonSet for the files that the hook of kops brings, on AWS.
    KopsDaemonset,
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

/// Where Herald's files are on a cluster's machines: the same in all that is printed for it.
struct Places {
    state_dir: String,
    /// The kubeconfig's.
    folder: String,
    /// The kubeconfig's name in it.
    file: String,
}

/// A value that goes in the place of an example's.
type Filling = (&'static str, String);

/// Where the folder of the webhook kubeconfig usually is.
const USUAL: &str = "/etc/kubernetes/";
/// Where it is on machines of kops: what kops mounts into the API server's pod.
const OF_KOPS: &str = "/srv/kubernetes/kube-apiserver/";
const ACK: &str = include_str!("../../../../examples/deploy/ack.yaml");
const HERALD: &str = include_str!("../../../../examples/deploy/herald.yaml");
const HERALD_KOPS: &str = include_str!("../../../../examples/deploy/herald-kops.yaml");
const IAM_ROLE: &str = include_str!("../../../../examples/deploy/iam-role.json");
const KOPS_HOOK: &str = include_str!("../../../../examples/deploy/kops-hook.yaml");
const KOPS_HOOK_DOCKER: &str = include_str!("../../../../examples/deploy/kops-hook-docker.yaml");
const KUBEADM_V1BETA3: &str = include_str!("../../../../examples/deploy/kubeadm-v1beta3.yaml");
const KUBEADM_V1BETA4: &str = include_str!("../../../../examples/deploy/kubeadm-v1beta4.yaml");
const RAM_MAPPING: &str = include_str!("../../../../examples/deploy/ramidentitymapping.yaml");
const RAM_ROLE: &str = include_str!("../../../../examples/deploy/ram-role.json");
const SOURCES: &str = include_str!("../../../../examples/deploy/sources.yaml");

// === impl What ===

impl What {
    /// Whether it is for machines whose files a hook brings, pair and kubeconfig into one folder.
    fn is_of_kops(self) -> bool {
        matches!(self, Self::KopsDaemonset | Self::KopsHook | Self::KopsHookDocker)
    }
}

// === impl Places ===

impl Places {
    /// The configuration's. Where nobody chose another one, kops has in [`OF_KOPS`] what others have in [`USUAL`].
    fn of(what: What, config: &server::Config, name: Name) -> anyhow::Result<Self> {
        let mut usual = server::Config::default();
        name.place(&mut usual);
        let mut kubeconfig = config.generate_kubeconfig.to_string_lossy();
        if what.is_of_kops() && config.generate_kubeconfig == usual.generate_kubeconfig {
            kubeconfig = kubeconfig.replacen(USUAL, OF_KOPS, 1).into();
        }
        let kubeconfig = Path::new(&*kubeconfig);
        let (Some(folder), Some(file)) = (kubeconfig.parent(), kubeconfig.file_name()) else {
            bail!("generateKubeconfig: {} is no file", kubeconfig.display());
        };
        if what == What::Daemonset {
            let both = folder.display();
            ensure!(
                folder != config.state_dir,
                "stateDir, generateKubeconfig: pods need two folders, not {both} for both"
            );
        }
        Ok(Self {
            state_dir: in_full("stateDir", &config.state_dir)?,
            folder: in_full("the folder of generateKubeconfig", folder)?,
            file: file.to_string_lossy().into_owned(),
        })
    }

    /// What stands for them in the examples. Pods of kops have them in their own places, and mount the one folder there.
    fn fillings(self, what: What) -> Vec<Filling> {
        let Self { state_dir, folder, file } = self;
        let mut fillings = vec![("kubeconfig.yaml", file)];
        if what.is_of_kops() {
            fillings.push(("/srv/kubernetes/kube-apiserver/herald", folder));
        } else {
            fillings.push(("/var/herald", state_dir.clone()));
            fillings.push(("/var/ack-ram-authenticator", state_dir));
            fillings.push(("/etc/kubernetes/herald", folder.clone()));
            fillings.push(("/etc/kubernetes/ack-ram-authenticator", folder));
        }
        fillings
    }
}

// === impl Values ===

impl Values {
    /// The text of `what`. Values that nobody gives stay those of the examples.
    pub(super) fn render(&self, what: What, config: &Config, name: Name) -> anyhow::Result<String> {
        let alibaba = self.cloud(config)? == Cloud::Alibaba;
        let text = match what {
            What::Crd if alibaba => return Ok(RAM_MAPPING.to_owned()),
            What::Crd => return definition(),
            What::Daemonset if alibaba => ACK,
            What::Daemonset => HERALD,
            What::IamRole => return self.trust_policy(alibaba),
            What::KopsDaemonset if alibaba => bail!("kops-daemonset: clusters of kops are on AWS"),
            What::KopsDaemonset => HERALD_KOPS,
            What::KopsHook => KOPS_HOOK,
            What::KopsHookDocker => KOPS_HOOK_DOCKER,
            What::Kubeadm => KUBEADM_V1BETA4,
            What::KubeadmV1beta3 => KUBEADM_V1BETA3,
            What::Kubeconfig => return self.kubeconfig(config, name, alibaba),
        };
        self.fill_in(text, what, config, name)
    }

    /// The role's, else the one that the configuration is for; AWS where it is for both.
    fn cloud(&self, config: &Config) -> anyhow::Result<Cloud> {
        let clouds = config.clouds();
        let Some(role) = &self.role_arn else {
            return Ok(if clouds == [Cloud::Alibaba] { Cloud::Alibaba } else { Cloud::Aws });
        };
        let is_alibabas = parse_role(role)?.arn.partition() == ACS_PARTITION;
        let cloud = if is_alibabas { Cloud::Alibaba } else { Cloud::Aws };
        ensure!(
            clouds.contains(&cloud),
            "--role-arn {role}: its cloud is not among the `server.providers` of --config"
        );
        Ok(cloud)
    }

    fn fill_in(&self, text: &str, what: What, config: &Config, name: Name) -> anyhow::Result<String> {
        let mut fillings = Vec::new();
        let mut put = |option: &str, (example, value): Filling| -> anyhow::Result<()> {
            ensure!(is_plain(&value), "{option}: letters, digits and ._:/@- are all that these files take");
            fillings.push((example, value));
            Ok(())
        };
        if let Some(id) = &config.cluster_id
            && !matches!(what, What::Kubeadm | What::KubeadmV1beta3)
        {
            put("--cluster-id", ("my-cluster.example.com", id.as_str().to_owned()))?;
            put("--cluster-id", ("<your-cluster-id>", id.as_str().to_owned()))?;
        }
        if let Some(image) = &self.image {
            put("--image", ("registry.example.com/herald:0.1.0", image.clone()))?;
        }
        if let Some(store) = &self.state_store {
            put("--state-store", ("s3://my-state-store", store.trim_end_matches('/').to_owned()))?;
        }
        if let Some(role) = &self.role_arn {
            put("--role-arn", ("arn:aws:iam::111122223333:role/KubernetesAdmin", role.clone()))?;
            put("--role-arn", ("acs:ram::1234567890123456:role/KubernetesAdmin", role.clone()))?;
        }
        for filling in Places::of(what, &config.server, name)?.fillings(what) {
            put("stateDir, generateKubeconfig", filling)?;
        }
        Ok(filled(text, &fillings))
    }

    /// Who may assume the role: all of its own account, as far as their own permissions go.
    fn trust_policy(&self, alibaba: bool) -> anyhow::Result<String> {
        let (text, example) = if alibaba { (RAM_ROLE, "1234567890123456") } else { (IAM_ROLE, "111122223333") };
        let Some(role) = &self.role_arn else { return Ok(text.to_owned()) };
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

/// `text` with every value in its example's place. No value is read again as an example.
fn filled(text: &str, fillings: &[Filling]) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    let next = |rest: &str| {
        let found = fillings.iter().filter_map(|filling| Some((rest.find(filling.0)?, filling)));
        found.min_by_key(|(at, (example, _))| (*at, Reverse(example.len())))
    };
    while let Some((at, (example, value))) = next(rest) {
        filled.push_str(&rest[..at]);
        filled.push_str(value);
        rest = &rest[at + example.len()..];
    }
    filled + rest
}

/// A folder's path as every program on the machine takes it.
fn in_full(setting: &str, folder: &Path) -> anyhow::Result<String> {
    let is_one = folder.is_absolute() && folder.parent().is_some();
    ensure!(is_one, "{setting}: {:?} is no absolute path of a folder below the root", folder.display());
    Ok(folder.to_string_lossy().into_owned())
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
