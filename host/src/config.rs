//! Configuration: the file, strictly read, and the rooms' own settings gathered from it.
//!
//! YAML (JSON is YAML too) in the shape of the files that exist: `clusterID` and client keys on top, the
//! rest under `server`. Keys fold their case. A typo is an error naming file, line, column and the key
//! that was meant; a key of an existing file that has no effect here is a warning; a wrong entry of a
//! list of mappings is left out and reported, and never takes its neighbours with it.
//!
//! ```text
//! file ─▶ node ─▶ de ─▶ the rooms' Config structs ─▶ check ─▶ Config ─▶ build ─▶ Authenticator
//!          └▶ entry ─▶ mapping::Rules                                       ▲
//!                                                  reload: one snapshot, or the last good one
//! ```
//!
//! Reading never stops at the first mistake: all of them are [`Finding`]s of one list. The server refuses a file
//! that has one that says so and logs what is worse than a note; `herald check-config` prints the whole list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    caller::{AccountId, arn::ACS_PARTITION},
    kubernetes::watch,
    mapping::{Rules, live},
    observe,
    policy::{self, TableSource},
    provider::{Cloud, ClusterId, alibaba, aws},
    server, sts,
};

mod accounts;
mod arn_hint;
mod backend_mode;
pub mod build;
mod check;
pub mod checked;
pub mod compilations;
mod de;
pub mod edit;
mod entry;
mod error;
mod file;
mod files;
pub mod finding;
pub mod live_manifest;
pub mod lockout;
mod manifest;
mod node;
pub mod reload;
mod remark;
mod repair;
mod settings_at;
mod sources;
pub mod static_pod;
pub mod together;
mod yaml_error;

use backend_mode::{BackendMode, Written};
use file::Places;
use sources::keeper;

pub use build::Shared;
pub use checked::{Checked, CheckedFile};
pub(crate) use error::did_you_mean;
pub use error::{ConfigError, Position};
pub use finding::{CheckId, Finding, Severity};
pub use reload::Reloader;
pub use remark::LeftOut;
pub use settings_at::SettingsAt;
pub use sources::{
    Stopping, config_map::read_config_map, dynamic_file::read_dynamic_file, identity_mapping::read_identity_mappings,
    table::read_table,
};
pub(crate) use yaml_error::read_document;

/// One configuration: what the file says, what it leaves out filled in with defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from; empty for the defaults.
    pub file: PathBuf,
    /// Digest of the file and of every file it names, in hexadecimal.
    pub digest: String,
    /// What of it is shown: its first 12 digits.
    pub generation: String,
    /// `clusterID`. Default none: then the command line has to give it.
    pub cluster_id: Option<ClusterId>,
    /// The keys on top, for `herald token` and `herald verify`.
    pub client: ClientSection,
    /// How the webhook is served.
    pub server: server::Config,
    /// Where records go.
    pub observe: observe::Config,
    /// `server.sts`: how STS is asked.
    pub sts: sts::Config,
    /// Digest of the CA files that `server.sts.endpoints` names, in hexadecimal.
    pub ca_digest: String,
    /// `server.providers`: the clouds whose tokens are accepted. Default: that of the name Herald is called by, AWS
    /// under its own.
    pub providers: Option<Vec<Cloud>>,
    /// The cloud whose tokens are accepted where the file names none. Default AWS.
    pub usual_cloud: Cloud,
    /// `server.alibaba`, and `server.region`: which STS of Alibaba Cloud is asked. Default: the global one.
    pub alibaba: alibaba::Settings,
    /// `server.partition`. Default `aws`.
    pub partition: aws::Partition,
    /// Those of `server.sts.endpoints` that the provider's own table does not know. Default none.
    pub sts_hosts: Vec<aws::ExtraHost>,
    /// `server.backendMode`: who is asked, in order. Default `MountedFile` alone.
    pub sources: Vec<Source>,
    /// Whether the file names them; if not, a command line may.
    pub names_sources: bool,
    /// `server.ec2` and the keys of existing files that go with it: how nodes are looked up.
    pub ec2: aws::ec2::Settings,
    /// `server.iam`: how tags of callers are looked up, by the roles that look instances up.
    pub iam: aws::iam::Config,
    /// `server.bootstrapAdmins`: asked before all of `sources`. Default none.
    pub bootstrap_admins: Arc<Rules>,
    /// `server.kubeconfig` and `server.master`: where the objects of sources are. Default: the pod's own account.
    pub kubernetes: watch::Access,
    /// `server.dynamicFilePath`: the file of DynamicFile. Default none.
    pub dynamic_file: Option<PathBuf>,
    /// `server.dynamicFileUserIDStrict`: entries of DynamicFile match by unique id. Default false.
    pub dynamic_file_strict: bool,
    /// `server.dynamicBackendModePath`: a file that names the sources instead, while it is there. Default none.
    pub backend_mode_file: Option<PathBuf>,
    /// When that file was written, by its own word.
    pub backend_mode_written: Option<SystemTime>,
    /// `server.identityMappingStatus`: one replica writes the status of IAMIdentityMappings, with CRD among `sources`.
    /// Default true.
    pub identity_mapping_status: bool,
    /// This process answers the API server, and so may write what people look at. Set by `herald server` alone; default
    /// false.
    pub serving: bool,
    /// Entries of this file that are left out for what they say.
    pub left_out: usize,
    /// What else there is to say about this file.
    pub remarks: usize,
    /// `server.policies`. Default none.
    pub policies: Vec<policy::Config>,
    /// Where the settings of each of them stand in the file; fewer if that is not known.
    pub settings_at: Vec<SettingsAt>,
    /// `server.policyEngine`.
    pub policy_engine: policy::EngineConfig,
    /// `server.mapRoles` and `server.mapUsers`. Default none.
    pub rules: Arc<Rules>,
    /// `server.mapAccounts`: let in under the canonical ARN, without groups, when nothing else names
    /// the caller. Belongs to MountedFile. Default none.
    pub map_accounts: BTreeSet<AccountId>,
    /// `server.denyRoot`: no account's root is let in, whoever names it. Default false.
    pub deny_root: bool,
    /// `server.scrubbedAccounts`: of their callers, ids and ARNs are kept out of answers and logs, but for
    /// what a name is made of. Default none.
    pub scrubbed_accounts: BTreeSet<AccountId>,
    /// `server.reservedPrefixConfig`: username prefixes that a source may not hand out, by the
    /// source's name. Default none.
    pub reserved_prefixes: BTreeMap<String, Vec<String>>,
}

/// The keys on top of a file, for the commands that people run. One file may serve server and client.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ClientSection {
    /// Cloud whose credentials sign. Default: the only one of `server.providers`, else AWS.
    pub provider: Option<Cloud>,
    /// Role to assume before signing. Default none. `defaultRole` is the same key.
    #[serde(alias = "defaultRole")]
    pub role: Option<String>,
    /// Region whose STS is asked. Default: the environment's.
    pub region: Option<String>,
    /// External id for assuming the role. Default none.
    #[serde(rename = "externalID")]
    pub external_id: Option<String>,
    /// Name of the role session. Default: made up.
    pub session_name: Option<String>,
    /// Take the name of the current session for the role session. Default false.
    pub forward_session_name: bool,
    /// Print the bare token. Default false.
    pub token_only: bool,
    /// Keep credentials in a file between runs. Default false.
    pub cache: bool,
    /// Partition of tokens that `herald verify` is given. Default: `server.partition`.
    pub partition: Option<aws::Partition>,
    /// The least serious lines of a process's log, where neither its command line nor a variable says so. Read once, when
    /// it starts. Default: `info` for the server, `warning` for every other command.
    #[serde(rename = "log-verbosity")]
    pub log_verbosity: Option<observe::log::Verbosity>,
}

/// One place that is asked, as `server.backendMode` names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// `ACKConfigMap`: kube-system/alibabacloud-auth.
    AckConfigMap,
    /// `CRD`: IAMIdentityMapping objects; RAMIdentityMapping objects where only Alibaba Cloud's tokens are accepted.
    Crd,
    /// `DynamicFile`: a JSON file beside this one.
    DynamicFile,
    /// `EKSConfigMap`: kube-system/aws-auth.
    EksConfigMap,
    /// `MountedFile`: the mappings in this file.
    MountedFile,
    /// `Policy/<name>`: a policy of kind `map`.
    Policy(String),
    /// `RAMIdentityMapping`: objects of that kind.
    RamIdentityMapping,
}

/// A configuration and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What is not, or may not mean what it says, by line. Notes are left out.
    pub warnings: Vec<Finding>,
}

// === impl Config ===

impl Config {
    /// Reads `path` and every file it names. Does not log; that is for whoever puts it in force.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or does not say what it should. Nothing of it is in force then.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        Self::load_for(Cloud::Aws, path)
    }

    /// The same, for a program whose tokens are of cloud `usual` where the file names none.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_for(usual: Cloud, path: &Path) -> Result<Loaded, ConfigError> {
        let text = read_text(path)?;
        let mut loaded = Loaded::of(path, file::parse_for(usual, path, &text))?;
        let backend_mode = loaded.config.read_backend_mode()?;
        loaded.config.ca_digest = digest_of_all(path, loaded.config.ca_files(), Sha256::new())?;
        loaded.config.digest = loaded.config.whole_digest(Sha256::new_with_prefix(text), &backend_mode)?;
        keeper::shown(&loaded.config.digest).clone_into(&mut loaded.config.generation);
        Ok(loaded)
    }

    /// Reads `path` and no file that it names, for whoever needs its keys alone: who logs in by the server's file has no policies
    /// beside it. Gives no generation.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn read_for(usual: Cloud, path: &Path) -> Result<Loaded, ConfigError> {
        Loaded::of(path, file::parse_for(usual, path, &read_text(path)?))
    }

    /// Reads `text` as what stands in `path`. Looks at no file, and gives no generation.
    ///
    /// # Errors
    ///
    /// When it does not say what it should.
    pub fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
        Loaded::of(path, Self::check(path, text))
    }

    /// Reads `text` as what stands in `path`, to its end whatever is wrong with it. Looks at no file.
    #[must_use]
    pub fn check(path: &Path, text: &str) -> Checked {
        file::parse(path, text)
    }

    /// The clouds whose tokens are accepted.
    #[must_use]
    pub fn clouds(&self) -> &[Cloud] {
        self.providers.as_deref().unwrap_or_else(|| std::slice::from_ref(&self.usual_cloud))
    }

    /// The partitions whose tokens are accepted. Without `server.providers`, nobody has said anything about Alibaba
    /// Cloud.
    pub(crate) fn accepted_partitions(&self) -> Vec<&str> {
        let more = self.sts_hosts.iter().filter_map(|host| host.partition);
        let mut names: Vec<&str> = std::iter::once(self.partition).chain(more).map(aws::Partition::as_str).collect();
        names.retain(|_| self.clouds().contains(&Cloud::Aws));
        names.extend(self.clouds().contains(&Cloud::Alibaba).then_some(ACS_PARTITION));
        names.dedup();
        names
    }

    /// Puts other sources in place of `server.backendMode`, as `--backend-mode` does.
    ///
    /// # Errors
    ///
    /// When they do not go with the policies of this configuration.
    pub fn set_backend_mode(&mut self, modes: &[String]) -> Result<(), ConfigError> {
        if self.backend_mode_file.as_ref().is_some_and(|file| file.exists()) {
            return Ok(());
        }
        let modes = BackendMode(modes.to_vec());
        let fault = |what| ConfigError::Build { file: self.file.clone(), what };
        let sources = self.checked_sources(&modes, "--backend-mode").map_err(fault)?;
        let problems = check::policies(&self.policies, &sources, self.backend_mode_file.is_some(), &Places::default());
        if let Some(problem) = problems.first() {
            return Err(fault(format!("--backend-mode: {problem}")));
        }
        self.sources = sources;
        Ok(())
    }

    /// Holds the settings of look-ups to their bounds once the command line has had its say.
    ///
    /// # Errors
    ///
    /// When a rate is out of its bounds, or a role of another partition.
    pub fn check_ec2(&self) -> Result<(), ConfigError> {
        let fault = |(key, what)| ConfigError::Build { file: self.file.clone(), what: format!("server.{key}: {what}") };
        check::look_up_bounds(&self.ec2(), &self.iam).map(fault).map_or(Ok(()), Err)
    }

    /// How nodes are looked up in the partition that is in force.
    fn ec2(&self) -> aws::ec2::Settings {
        aws::ec2::Settings { partition: self.partition, ..self.ec2.clone() }
    }

    /// How tags are looked up, likewise.
    fn iam(&self) -> aws::iam::Settings {
        aws::iam::Settings { config: self.iam.clone(), roles: self.ec2.roles(), partition: self.partition }
    }

    /// The sources that `modes` names, or the first thing that is wrong with it, behind the name of `whose` it is.
    fn checked_sources(&self, modes: &BackendMode, whose: &str) -> Result<Vec<Source>, String> {
        let known = check::Known {
            policies: Some(&self.policies),
            dynamic_file: self.dynamic_file.is_some(),
            clouds: self.clouds(),
        };
        let (sources, problems) = check::sources(Some(modes), known, &Places::default());
        problems.first().map_or(Ok(sources), |problem| Err(format!("{whose}: {problem}")))
    }

    /// Puts the sources of `server.dynamicBackendModePath` in place, and gives the text that says so.
    fn read_backend_mode(&mut self) -> Result<String, ConfigError> {
        let Some(file) = &self.backend_mode_file else { return Ok(String::new()) };
        let Some(Written { modes, text, at }) = backend_mode::read(file)? else { return Ok(String::new()) };
        self.backend_mode_written = at;
        let file = file.clone();
        let fault = |what| ConfigError::Build { file, what };
        self.sources = self.checked_sources(&modes, "backendMode").map_err(fault)?;
        Ok(text)
    }

    /// The digest of what stands in its files now. None of them is held in memory.
    fn digest_now(&self) -> Result<String, ConfigError> {
        let written = self.backend_mode_file.as_deref().map(backend_mode::read).transpose()?.flatten();
        let backend_mode = written.map(|written| written.text).unwrap_or_default();
        let unreadable = |cause| ConfigError::Unreadable { file: self.file.clone(), cause };
        self.whole_digest(hashed(&self.file).map_err(unreadable)?, &backend_mode)
    }

    /// Every file that this configuration is made of, one that need not be there included.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.needed_files().chain(self.backend_mode_file.as_deref())
    }

    fn needed_files(&self) -> impl Iterator<Item = &Path> {
        let components = self.policies.iter().map(|policy| policy.component.as_path());
        let tables = self.policies.iter().flat_map(|policy| policy.tables.values()).filter_map(TableSource::file);
        let tables = tables.map(PathBuf::as_path);
        std::iter::once(self.file.as_path()).chain(components).chain(tables).chain(self.ca_files())
    }

    fn ca_files(&self) -> impl Iterator<Item = &Path> {
        self.sts.endpoints.iter().filter_map(|endpoint| endpoint.ca_file.as_deref())
    }

    fn whole_digest(&self, text: Sha256, backend_mode: &str) -> Result<String, ConfigError> {
        let named = self.needed_files().skip(1);
        let own = text.chain_update(backend_mode).finalize();
        digest_of_all(&self.file, named, Sha256::new_with_prefix(own))
    }
}

/// Of all `files`, which `config` names.
fn digest_of_all<'a>(
    config: &Path,
    files: impl Iterator<Item = &'a Path>,
    mut whole: Sha256,
) -> Result<String, ConfigError> {
    for file in files {
        let unreadable = |cause: std::io::Error| {
            let cause = std::io::Error::new(cause.kind(), format!("{cause} ({} names it)", config.display()));
            ConfigError::Unreadable { file: file.to_owned(), cause }
        };
        whole.update(digest_of(file).map_err(unreadable)?);
    }
    Ok(hexadecimal(&whole.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_of(path: &Path) -> std::io::Result<[u8; 32]> {
    Ok(hashed(path)?.finalize().into())
}

fn hashed(path: &Path) -> std::io::Result<Sha256> {
    let mut file = BufReader::with_capacity(64 << 10, File::open(path)?);
    let mut digest = Sha256::new();
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(digest);
        }
        digest.update(piece);
        let read = piece.len();
        file.consume(read);
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |cause| ConfigError::Unreadable { file: path.to_owned(), cause };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(node::MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > node::MAX_BYTES {
        let what = format!("larger than {} MiB", node::MAX_BYTES >> 20);
        return Err(unreadable(std::io::Error::new(std::io::ErrorKind::FileTooLarge, what)));
    }
    Ok(text)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            digest: String::new(),
            generation: String::new(),
            cluster_id: None,
            client: ClientSection::default(),
            server: server::Config::default(),
            observe: observe::Config::default(),
            sts: sts::Config::default(),
            ca_digest: String::new(),
            providers: None,
            usual_cloud: Cloud::Aws,
            alibaba: alibaba::Settings::default(),
            partition: aws::Partition::default(),
            sts_hosts: Vec::new(),
            sources: vec![Source::MountedFile],
            ec2: aws::ec2::Settings::default(),
            iam: aws::iam::Config::default(),
            bootstrap_admins: Arc::default(),
            kubernetes: watch::Access::default(),
            dynamic_file: None,
            dynamic_file_strict: false,
            backend_mode_file: None,
            backend_mode_written: None,
            identity_mapping_status: true,
            serving: false,
            names_sources: false,
            left_out: 0,
            remarks: 0,
            policies: Vec::new(),
            settings_at: Vec::new(),
            policy_engine: policy::EngineConfig::default(),
            rules: Arc::default(),
            map_accounts: BTreeSet::new(),
            deny_root: false,
            scrubbed_accounts: BTreeSet::new(),
            reserved_prefixes: BTreeMap::new(),
        }
    }
}

// === impl Source ===

impl Source {
    /// Whether it is read while Herald runs, from outside of the configuration.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(
            self,
            Self::AckConfigMap | Self::Crd | Self::DynamicFile | Self::EksConfigMap | Self::RamIdentityMapping
        )
    }

    /// The source whose objects it reads where tokens of `clouds` are accepted: CRD is each cloud's own, and Alibaba Cloud's
    /// only where no other is accepted.
    #[must_use]
    pub fn read_as(&self, clouds: &[Cloud]) -> &Self {
        match (self, clouds) {
            (Self::Crd, [Cloud::Alibaba]) => &Self::RamIdentityMapping,
            _ => self,
        }
    }

    /// The name in `server.backendMode`, in the trail, in logs and metrics.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::AckConfigMap => live::ACK_CONFIG_MAP.to_owned(),
            Self::Crd => live::CRD.to_owned(),
            Self::DynamicFile => live::DYNAMIC_FILE.to_owned(),
            Self::EksConfigMap => live::EKS_CONFIG_MAP.to_owned(),
            Self::MountedFile => crate::mapping::mounted_file::NAME.to_owned(),
            Self::RamIdentityMapping => live::RAM_IDENTITY_MAPPING.to_owned(),
            Self::Policy(name) => format!("{}{name}", crate::mapping::policy_stage::PREFIX),
        }
    }
}

// === impl Loaded ===

impl Loaded {
    /// What stands in `path`, unless that is refused.
    fn of(path: &Path, checked: Checked) -> Result<Self, ConfigError> {
        let Checked { mut config, findings, refusal, .. } = checked;
        match refusal {
            Some(finding) => Err(ConfigError::refused(path, &finding)),
            None => {
                let warnings: Vec<Finding> = findings.into_iter().filter(Finding::is_warning).collect();
                config.left_out = warnings.iter().filter(|finding| finding.severity == Severity::Error).count();
                config.remarks = warnings.len() - config.left_out;
                Ok(Self { config, warnings })
            }
        }
    }

    /// Writes every warning to the process log.
    pub fn log(&self) {
        for warning in &self.warnings {
            let Finding { id, at, path, .. } = warning;
            let file = self.config.file.display();
            tracing::warn!(%file, line = at.line, key = path, check = %id, "{}", warning.text());
        }
    }
}

impl Config {
    /// Tells the process log that this is in force now.
    fn log(&self) {
        let Self { generation, rules, policies, .. } = self;
        let (mappings, policies, warnings) = (rules.len(), policies.len(), self.left_out + self.remarks);
        tracing::info!(generation, mappings, policies, warnings, "configuration loaded");
    }
}

/// Durations in configuration, written as `50ms`, `5s`, `2m` (the `humantime` syntax).
pub mod duration {
    use std::{fmt, time::Duration};

    use serde::{
        Deserializer,
        de::{Error, Visitor},
    };

    /// Reads one duration.
    ///
    /// # Errors
    ///
    /// When the text is not a duration with its unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(Words)
    }

    struct Words;

    impl Visitor<'_> for Words {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as 50ms or 2m")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text)
                .map_err(|error| E::custom(format!("not a duration such as 50ms or 2m: {error}")))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
            Err(E::custom(format_args!("`{number}` has no unit: write {number}s, or {number}ms")))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
            Err(E::custom(format_args!("`{number}` has no unit: write {number}s, or {number}ms")))
        }
    }
}

#[cfg(test)]
mod tests;
