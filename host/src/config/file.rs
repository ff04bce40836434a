//! The file's shape: which key belongs to which room, and which keys of existing files have no effect.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, de::value::StringDeserializer};

use super::{
    Checked, ClientSection, Config,
    backend_mode::BackendMode,
    check,
    de::{fields_of, twice, unknown},
    entry::{Entries, Place, Style, UserIds, value},
    error::{Position, Problem},
    finding::{CheckId, Findings, Severity},
    node::{self, Key, Node, Value},
    remark::Census,
    repair::{read, read_within},
    settings_at::SettingsAt,
};
use crate::{
    caller::arn::ACS_PARTITION,
    kubernetes::watch,
    mapping::Rules,
    observe,
    policy::{self, TableSource},
    provider::{Cloud, ClusterId, InvalidClusterId, alibaba, aws},
    server, sts,
};

mod lists;

/// What this room itself reads under `server`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Own {
    providers: Option<Vec<Cloud>>,
    alibaba: alibaba::Settings,
    #[serde(deserialize_with = "given")]
    region: Option<String>,
    partition: aws::Partition,
    pub(super) backend_mode: Option<BackendMode>,
    pub(super) policies: Vec<policy::Config>,
    policy_engine: policy::EngineConfig,
    pub(super) reserved_prefix_config: Vec<ReservedPrefixes>,
    sts: sts::Config,
    kubeconfig: Option<PathBuf>,
    master: Option<String>,
    dynamic_file_path: Option<PathBuf>,
    #[serde(rename = "dynamicFileUserIDStrict")]
    dynamic_file_user_id_strict: bool,
    dynamic_backend_mode_path: Option<PathBuf>,
    ec2: aws::ec2::Config,
    ec2_describe_instances_burst: Option<u32>,
    ec2_describe_instances_qps: Option<u32>,
    #[serde(rename = "ec2DescribeInstancesRoleARN", deserialize_with = "given")]
    ec2_describe_instances_role_arn: Option<aws::service::RoleArn>,
    #[serde(rename = "sourceARN", deserialize_with = "given")]
    source_arn: Option<aws::service::SourceArn>,
    iam: aws::iam::Config,
    identity_mapping_status: Option<bool>,
    deny_root: bool,
}

/// One entry of `server.reservedPrefixConfig`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ReservedPrefixes {
    pub(super) backend_mode: String,
    #[serde(default)]
    pub(super) username_prefix_reserve_list: Vec<String>,
}

/// Where the values stand that are checked against each other.
#[derive(Default)]
pub(super) struct Places {
    pub(super) backend_mode: Position,
    /// Each of its items; none if it is a text.
    pub(super) modes: Vec<Position>,
    sts: Position,
    pub(super) policies: Vec<Position>,
    settings: Vec<SettingsAt>,
    pub(super) reserved_prefixes: Vec<Position>,
    pub(super) providers: Position,
    pub(super) alibaba: Position,
    region: Position,
    /// Keys about DynamicFile that say something.
    dynamic_file: Vec<(&'static str, Position)>,
}

const TOP: [&str; 2] = ["clusterID", "server"];
const SERVER: &str = "server";
/// Clouds of which the ARN of a session stands for its role.
pub(super) const SESSIONS: &[Cloud] = &[Cloud::Aws];
/// How entries of this file are read and named.
const STYLE: Style = Style { under: SERVER, shared: false, user_ids: UserIds::Idle, globs: false, sessions: SESSIONS };
/// Keys of existing files that are understood and do nothing, with what to know about them.
const IDLE_TOP: [(&str, &str); 4] = [
    ("feature-gates", "nothing here is behind a gate"),
    ("log-format", "use the command line"),
    ("output", "use the command line"),
    ("token", "a token does not belong into a file"),
];
/// What counts only with DynamicFile among the sources.
const DYNAMIC_FILE: [&str; 2] = ["dynamicFilePath", "dynamicFileUserIDStrict"];
const IDLE_SERVER: [(&str, &str); 1] = [("bind", "use `address`")];

/// Reads a whole file, as far as it can be read.
pub(super) fn parse(file: &Path, source: &str) -> Checked {
    parse_for(Cloud::Aws, file, source)
}

/// The same, where tokens are of cloud `usual` if the file names none.
pub(super) fn parse_for(usual: Cloud, file: &Path, source: &str) -> Checked {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        let mut findings = Findings::default();
        let at = Position { line: 1, column: 1 };
        findings.refuse(Problem::new(at, "TOML is not read").fix("write it as YAML or JSON").id(CheckId::Yaml));
        return Checked::new(Config::default(), findings, Census::default());
    }
    let mut entries = Entries::new(source, STYLE);
    let root = node::read(source, &mut |section, index, node| entries.add(section, Place::Item(index), &node));
    if root.is_err() {
        entries.forget_last();
    }
    let (rules, mut findings, census) = entries.finish();
    let (config, policies_at) = match root {
        Ok(root) => {
            let admins = Census::default();
            let mut reader = Reader { file, source, usual, findings: &mut findings, policies_at: Vec::new(), admins };
            let config = reader.top(root, Arc::new(rules));
            let Reader { policies_at, admins, .. } = reader;
            for census in [&census, &admins] {
                census.partitions(&config.accepted_partitions(), config.providers.is_some(), &mut findings);
            }
            (config, policies_at)
        }
        Err(problem) => {
            findings.refuse(problem);
            (Config::default(), Vec::new())
        }
    };
    Checked { policies_at, ..Checked::new(config, findings, census) }
}

/// The way through one file.
struct Reader<'a> {
    file: &'a Path,
    source: &'a str,
    /// The cloud of a file that names none.
    usual: Cloud,
    findings: &'a mut Findings,
    policies_at: Vec<Position>,
    /// What is counted over `server.bootstrapAdmins`.
    admins: Census,
}

// === impl Reader ===

impl Reader<'_> {
    fn top(&mut self, root: Node, rules: Arc<Rules>) -> Config {
        let idle = IDLE_TOP.map(|(key, _)| key);
        let [top, mut client, idle] = self.split(root, [&TOP, fields_of::<ClientSection>(), &idle], "");
        self.warn_idle("", &idle, &IDLE_TOP);
        self.one_role(&mut client);
        let Value::Map(mut top) = top.value else { return Config::default() };
        let server = take(&mut top, SERVER).unwrap_or_else(|| Node::new(Position::default(), Value::Null));
        let cluster_id = cluster_id(&top, self.source).unwrap_or_else(|problem| {
            self.findings.refuse(problem);
            None
        });
        let client = read(&mut client, self.source).report("", self.findings);
        Config { file: self.file.to_owned(), cluster_id, client, rules, ..self.server(server) }
    }

    fn server(&mut self, node: Node) -> Config {
        let at = node.at;
        let idle = IDLE_SERVER.map(|(key, _)| key);
        let [of_lists, of_own, of_http, of_observe] = rooms_of_server();
        let rooms = [of_lists, of_own, of_http, of_observe, &idle];
        let [mut lists, mut own, mut http, mut observe, idle] = self.split(node, rooms, SERVER);
        self.warn_idle("server.", &idle, &IDLE_SERVER);
        let refuse = |findings: &mut Findings, problem: Problem| findings.refuse(problem.under(SERVER, at));

        for problem in lists::were_read(&lists) {
            refuse(self.findings, problem);
        }
        let places = Places::of(&own);
        let bootstrap_admins = Arc::new(self.bootstrap_admins(&mut lists, at));
        let own = read_within(&mut own, self.source, |own: &Own| {
            check::sts_bounds(&own.sts).or_else(|| check::look_up_bounds(&own.ec2(), &own.iam))
        });
        let readable = |key: &str| own.is_whole(key);
        let (policies_read, reserved_read, sts_read) =
            (readable("policies"), readable("reservedPrefixConfig"), readable("sts"));
        let modes_read = readable("backendMode");
        let dynamic_file_read = readable("dynamicFilePath");
        let own = own.report(SERVER, self.findings);
        let (kubernetes, dynamic_file) = (own.kubernetes(self.file), own.dynamic_file(self.file));
        let (ec2, iam) = (own.ec2(), own.iam.clone());
        let backend_mode_file = beside_if_given(self.file, own.dynamic_backend_mode_path.as_deref());
        let dynamic_file_strict = own.dynamic_file_user_id_strict;
        let identity_mapping_status = own.identity_mapping_status.unwrap_or(true);
        let deny_root = own.deny_root;
        let region_at = places.region;
        let Own {
            providers,
            mut alibaba,
            region,
            partition,
            backend_mode,
            mut policies,
            mut policy_engine,
            reserved_prefix_config,
            mut sts,
            ..
        } = own;
        for policy in &mut policies {
            policy.component = beside(self.file, &policy.component);
            for table in policy.tables.values_mut() {
                if let TableSource::File(path) = table {
                    *path = beside(self.file, path);
                }
            }
        }
        for ca_file in sts.endpoints.iter_mut().filter_map(|endpoint| endpoint.ca_file.as_mut()) {
            *ca_file = beside(self.file, ca_file);
        }
        let usual = [self.usual];
        let clouds = providers.as_deref().unwrap_or(&usual);
        // What is missing because it could not be read is no second mistake.
        let known = check::Known {
            policies: policies_read.then_some(&policies[..]),
            dynamic_file: dynamic_file.is_some() || !dynamic_file_read,
            clouds,
        };
        let (sources, problems) = check::sources(backend_mode.as_ref(), known, &places);
        let switched = backend_mode_file.is_some();
        let all_known = policies_read && modes_read && problems.is_empty();
        problems.into_iter().for_each(|problem| refuse(self.findings, problem));
        if all_known {
            for problem in check::policies(&policies, &sources, switched, &places) {
                refuse(self.findings, problem);
            }
        }
        let sts_hosts = sts_hosts(&sts, partition).unwrap_or_else(|what| {
            if sts_read {
                refuse(self.findings, Problem::new(places.sts, what).under("sts", places.sts));
            }
            Vec::new()
        });
        if let Some(region) = region {
            self.region(&region, region_at, clouds, &mut alibaba);
        }
        for problem in check::providers(providers.as_deref(), &alibaba, &places) {
            refuse(self.findings, problem);
        }
        if !switched {
            self.warn_unasked(&lists, &sources);
        }
        if !switched && all_known && !sources.contains(&super::Source::DynamicFile) {
            for (key, at) in &places.dynamic_file {
                let key = Key { at: *at, text: (*key).into() };
                self.no_effect(&key, &format!("{SERVER}.{}", key.text), "DynamicFile is not in `backendMode`");
            }
        }
        if policies_read {
            self.policies_at.clone_from(&places.policies);
            check::ceilings(&policies, &places).into_iter().for_each(|problem| {
                self.findings.remark(Severity::Note, problem.under(SERVER, at));
            });
            check::facts(&policies, clouds, &places).into_iter().for_each(|problem| {
                self.findings.remark(Severity::Warning, problem.under(SERVER, at));
            });
        }
        let reserved = if all_known && reserved_read { reserved_prefix_config } else { Vec::new() };
        let (reserved_prefixes, problems) =
            check::reserved_prefixes(reserved, &sources, clouds, &places, self.findings);
        problems.into_iter().for_each(|problem| refuse(self.findings, problem));
        let mut server = read_within(&mut http, self.source, check::server_bounds).report(SERVER, self.findings);
        if let Some(ca_file) = &mut server.client_auth.ca_file {
            *ca_file = beside(self.file, ca_file);
        }
        let as_many = if server::processors() > 1 { u8::try_from(server.workers).unwrap_or(u8::MAX) } else { 0 };
        policy_engine.workers.get_or_insert(as_many);
        Config {
            server,
            observe: read(&mut observe, self.source).report(SERVER, self.findings),
            map_accounts: self.accounts(&lists, "mapAccounts", at, Findings::left_out),
            // Leaving one out would put that account into logs, so a wrong one is an error.
            scrubbed_accounts: self.accounts(&lists, "scrubbedAccounts", at, Findings::refuse),
            sts,
            providers,
            usual_cloud: self.usual,
            alibaba,
            partition,
            sts_hosts,
            sources,
            names_sources: backend_mode.is_some(),
            ec2,
            iam,
            bootstrap_admins,
            kubernetes,
            dynamic_file,
            dynamic_file_strict,
            backend_mode_file,
            backend_mode_written: None,
            identity_mapping_status,
            deny_root,
            policies,
            settings_at: places.settings,
            policy_engine,
            reserved_prefixes,
            ..Config::default()
        }
    }

    /// Deals the keys of one map out to those who know them.
    fn split<const N: usize>(&mut self, node: Node, rooms: [&[&'static str]; N], under: &str) -> [Node; N] {
        let at = node.at;
        let mut refuse = |problem: Problem| {
            self.findings.refuse(if under.is_empty() { problem } else { problem.under(under, at) });
        };
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            other => {
                refuse(Problem::new(at, format!("expected a map, found {}", other.noun())));
                Vec::new()
            }
        };
        let mut dealt: [Vec<(Key, Node)>; N] = std::array::from_fn(|_| Vec::new());
        for (key, node) in entries {
            let whose = rooms.iter().position(|names| fold_known(&key, names));
            let Some(place) = whose else {
                let mut problem = unknown(&key, &rooms.concat());
                if under.is_empty() && rooms_of_server().iter().any(|names| fold_known(&key, names)) {
                    problem = problem.fix(format!("put it under `{SERVER}`"));
                }
                refuse(problem.under(&key.text, key.at));
                continue;
            };
            match dealt[place].iter().find(|(other, _)| other.text.eq_ignore_ascii_case(&key.text)) {
                Some((first, _)) => refuse(twice(&key, first).under(&key.text, key.at)),
                None => dealt[place].push((key, node)),
            }
        }
        dealt.map(|entries| Node::new(at, Value::Map(entries)))
    }

    fn warn_idle(&mut self, prefix: &str, idle: &Node, table: &[(&str, &str)]) {
        let Value::Map(entries) = &idle.value else { return };
        for (key, _) in entries {
            let advice = table.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key.text));
            let path = format!("{prefix}{}", key.text);
            self.no_effect(key, &path, advice.map_or("", |(_, text)| text));
        }
    }

    /// A key without a value says nothing. Guides call `role` the default role: of both in one file existing programs
    /// read `role`.
    fn one_role(&mut self, client: &mut Node) {
        let Value::Map(entries) = &mut client.value else { return };
        // An empty text is none, as for the program that has the key.
        let is_empty = |value: &Value| match value {
            Value::Text(text) => text.is_empty(),
            value => matches!(value, Value::Null),
        };
        entries.retain(|(_, node)| !is_empty(&node.value));
        let guides = entries.iter().position(|(key, _)| key.text.eq_ignore_ascii_case("defaultRole"));
        if let (true, Some(index)) = (value(entries, "role").is_some(), guides) {
            let (key, _) = entries.remove(index);
            self.no_effect(&key, "defaultRole", "`role` counts");
        }
    }

    /// `server.region`, which the servers of Alibaba Cloud have; in files for AWS it never counted.
    fn region(&mut self, region: &str, at: Position, clouds: &[Cloud], settings: &mut alibaba::Settings) {
        let key = Key { at, text: "region".into() };
        if settings.region.is_some() {
            return self.no_effect(&key, "server.region", "`alibaba.region` counts");
        }
        settings.region = region.parse().ok();
        if !clouds.contains(&Cloud::Alibaba) {
            let what = "counts for Alibaba Cloud alone: a token of AWS names the region of its STS itself";
            let problem = Problem::new(at, what).id(CheckId::NoEffect).under("server.region", at);
            self.findings.remark(Severity::Warning, problem);
        } else if settings.region.is_none() {
            self.no_effect(&key, "server.region", "no region of Alibaba Cloud has such a name");
        }
    }

    fn no_effect(&mut self, key: &Key, path: &str, advice: &str) {
        let problem = Problem::new(key.at, "has no effect").id(CheckId::NoEffect).fix(advice).under(path, key.at);
        self.findings.remark(Severity::Warning, problem);
    }
}

/// The keys that count under `server`, by the room that reads them.
fn rooms_of_server() -> [&'static [&'static str]; 4] {
    [&lists::KEYS, fields_of::<Own>(), fields_of::<server::Config>(), fields_of::<observe::Config>()]
}

/// Whether `key` has a place in a configuration, whichever that is.
pub(super) fn is_key(key: &str) -> bool {
    let on_top: [&[&str]; 2] = [&TOP, fields_of::<ClientSection>()];
    rooms_of_server().into_iter().chain(on_top).flatten().any(|name| name.eq_ignore_ascii_case(key))
}

fn cluster_id(top: &[(Key, Node)], source: &str) -> Result<Option<ClusterId>, Problem> {
    let Some(node) = value(top, "clusterID") else { return Ok(None) };
    let bad = |error: InvalidClusterId| Problem::new(node.at, error.to_string());
    let parse = |text: &str| text.parse().map_err(bad);
    node.text(source).and_then(parse).map(Some).map_err(|problem| problem.under("clusterID", node.at))
}

/// The hosts of `server.sts.endpoints` that the provider's table has not, or that name their own region.
fn sts_hosts(sts: &sts::Config, partition: aws::Partition) -> Result<Vec<aws::ExtraHost>, String> {
    let table = aws::Hosts::new(partition, Vec::new());
    let mut hosts = Vec::new();
    for sts::Endpoint { host, region, partition, .. } in &sts.endpoints {
        // The host that is asked is chosen elsewhere: here it is only said how it is reached.
        if alibaba::endpoint::is_sts(host) || partition.as_deref() == Some(ACS_PARTITION) {
            continue;
        }
        let wrong = |error: &dyn std::fmt::Display| format!("endpoints: {host}: {error}");
        let Some(region) = region else {
            table.find(host).map_err(|_| wrong(&"not a host of server.partition: give its `region`"))?;
            continue;
        };
        hosts.push(aws::ExtraHost {
            host: host.clone().try_into().map_err(|error| wrong(&error))?,
            region: region.clone().try_into().map_err(|error| wrong(&error))?,
            partition: partition.as_ref().map(|name| name.parse().map_err(|error| wrong(&error))).transpose()?,
        });
    }
    Ok(hosts)
}

/// Files are named relative to the configuration file.
fn beside(file: &Path, other: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(other)
}

/// The same; existing files give an empty path for "none".
fn beside_if_given(file: &Path, other: Option<&Path>) -> Option<PathBuf> {
    other.filter(|path| !path.as_os_str().is_empty()).map(|path| beside(file, path))
}

/// A value that is written as text; existing files give an empty one for "none".
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| T::deserialize(StringDeserializer::<D::Error>::new(text))).transpose()
}

fn fold_known(key: &Key, names: &[&'static str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(&key.text))
}

fn take(entries: &mut Vec<(Key, Node)>, key: &str) -> Option<Node> {
    let index = entries.iter().position(|(other, _)| other.text.eq_ignore_ascii_case(key))?;
    Some(entries.swap_remove(index).1)
}

// === impl Own ===

impl Own {
    fn kubernetes(&self, file: &Path) -> watch::Access {
        let master = self.master.clone().filter(|url| !url.is_empty());
        let kubeconfig = beside_if_given(file, self.kubeconfig.as_deref());
        watch::Access { kubeconfig, master, ..watch::Access::default() }
    }

    fn ec2(&self) -> aws::ec2::Settings {
        let default = aws::ec2::Settings::default();
        aws::ec2::Settings {
            config: self.ec2.clone(),
            role: self.ec2_describe_instances_role_arn.clone(),
            source_arn: self.source_arn.clone(),
            qps: self.ec2_describe_instances_qps.unwrap_or(default.qps),
            burst: self.ec2_describe_instances_burst.unwrap_or(default.burst),
            partition: self.partition,
        }
    }

    fn dynamic_file(&self, file: &Path) -> Option<PathBuf> {
        beside_if_given(file, self.dynamic_file_path.as_deref())
    }
}

// === impl Places ===

impl Places {
    fn of(own: &Node) -> Self {
        let Value::Map(entries) = &own.value else { return Self::default() };
        let items = |key| match value(entries, key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes.iter().map(|node| node.at).collect(),
            _ => Vec::new(),
        };
        let at = |key| value(entries, key).map_or(own.at, |node| node.at);
        let says = |key: &&str| {
            let value = value(entries, key).map(|node| &node.value);
            !matches!(value, None | Some(Value::Null | Value::Bool(false)))
                && !matches!(value, Some(Value::Text(text)) if text.is_empty())
        };
        let settings = |policy: &Node| match &policy.value {
            Value::Map(entries) => value(entries, "settings").map(SettingsAt::of).unwrap_or_default(),
            _ => SettingsAt::default(),
        };
        let policies = match value(entries, "policies").map(|node| &node.value) {
            Some(Value::List(policies)) => policies.as_slice(),
            _ => &[],
        };
        Self {
            settings: policies.iter().map(settings).collect(),
            backend_mode: at("backendMode"),
            modes: items("backendMode"),
            sts: at("sts"),
            providers: at("providers"),
            alibaba: at("alibaba"),
            region: at("region"),
            policies: items("policies"),
            reserved_prefixes: items("reservedPrefixConfig"),
            dynamic_file: DYNAMIC_FILE.into_iter().filter(says).map(|key| (key, at(key))).collect(),
        }
    }
}
