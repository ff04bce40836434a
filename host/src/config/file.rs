//! The file's shape: which key belongs to which room, and which keys of existing files have no effect.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    ClientSection, Config, Loaded,
    accounts::{Numbers, accounts},
    backend_mode::BackendMode,
    check,
    de::{De, fields_of, twice, unknown},
    entry::{Entries, Place, Style, value},
    error::{Position, Problem},
    node::{self, Key, Node, Section, Value},
    warnings::Warnings,
};
use crate::{caller::AccountId, kubernetes::watch, mapping::Rules, observe, policy, provider::aws, server, sts};

/// What this room itself reads under `server`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Own {
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
    sts: Position,
    pub(super) policies: Vec<Position>,
    pub(super) reserved_prefixes: Vec<Position>,
}

const TOP: [&str; 2] = ["clusterID", "server"];
/// Read entry by entry; the roles and users are already, on the way.
const LISTS: [&str; 5] = ["mapRoles", "mapUsers", "mapAccounts", "scrubbedAccounts", BOOTSTRAP_ADMINS];
const BOOTSTRAP_ADMINS: &str = "bootstrapAdmins";
/// How entries of this file are read and named.
const STYLE: Style = Style { under: "server.", shared: false, by_user_id: false };
/// Keys of existing files that are understood and do nothing, with what to know about them.
const IDLE_TOP: [(&str, &str); 5] = [
    ("feature-gates", "nothing here is behind a gate"),
    ("log-format", "use the command line"),
    ("log-verbosity", "use the command line"),
    ("output", "use the command line"),
    ("token", "a token does not belong into a file"),
];
const IDLE_SERVER: [(&str, &str); 6] = [
    ("bind", "use `address`"),
    ("ec2DescribeInstancesBurst", "this release makes no EC2 look-ups"),
    ("ec2DescribeInstancesQps", "this release makes no EC2 look-ups"),
    ("ec2DescribeInstancesRoleARN", "this release makes no EC2 look-ups"),
    ("region", "a token names the region of its STS itself"),
    ("sourceARN", "this release makes no EC2 look-ups"),
];

/// Reads a whole file.
pub(super) fn parse(file: &Path, source: &str) -> Result<Loaded, Problem> {
    let mut entries = Entries::new(source, STYLE);
    let root = node::read(source, &mut |section, index, node| entries.add(section, Place::Item(index), &node))?;
    let (rules, mut warnings) = entries.finish();

    let idle = IDLE_TOP.map(|(key, _)| key);
    let [top, client, idle] = split(root, [&TOP, fields_of::<ClientSection>(), &idle])?;
    warn_idle(&mut warnings, "", &idle, &IDLE_TOP);
    let Value::Map(mut top) = top.value else { return Ok(Loaded { config: Config::default(), warnings: Vec::new() }) };
    let server = take(&mut top, "server").unwrap_or_else(|| Node::new(Position::default(), Value::Null));
    let at = server.at;
    let config = Config {
        file: file.to_owned(),
        cluster_id: cluster_id(&top, source)?,
        client: De::new(&client, source).read()?,
        rules: Arc::new(rules),
        ..server_section(file, server, source, &mut warnings).map_err(|problem| problem.under("server", at))?
    };
    Ok(Loaded { config, warnings: warnings.finish() })
}

fn server_section(file: &Path, node: Node, source: &str, warnings: &mut Warnings) -> Result<Config, Problem> {
    let idle = IDLE_SERVER.map(|(key, _)| key);
    let rooms = [&LISTS, fields_of::<Own>(), fields_of::<server::Config>(), fields_of::<observe::Config>(), &idle];
    let [mut lists, own, http, observe, idle] = split(node, rooms)?;
    warn_idle(warnings, "server.", &idle, &IDLE_SERVER);

    lists_were_read(&lists)?;
    let places = Places::of(&own);
    let admins = bootstrap_admins(&mut lists, source, warnings)?;
    let keys: Own = De::new(&own, source).read()?;
    let (kubernetes, dynamic_file) = (keys.kubernetes(file), keys.dynamic_file(file));
    let Own { partition, backend_mode, mut policies, policy_engine, reserved_prefix_config, mut sts, .. } = keys;
    sts.check().map_err(|error| {
        let key = if let sts::ConfigError::Bounds { key, .. } = &error { key } else { "endpoints" };
        out_of_bounds(&own, &format!("sts.{key}"), &error)
    })?;
    let http_config: server::Config = De::new(&http, source).read()?;
    http_config.check().map_err(|error| {
        let key = if let server::Error::OutOfBounds { key, .. } = &error { key } else { "" };
        out_of_bounds(&http, key, &error)
    })?;
    for policy in &mut policies {
        policy.component = beside(file, &policy.component);
    }
    for ca_file in sts.endpoints.iter_mut().filter_map(|endpoint| endpoint.ca_file.as_mut()) {
        *ca_file = beside(file, ca_file);
    }
    let sources = check::sources(backend_mode.as_ref(), &policies, dynamic_file.is_some(), &places)?;
    check::policies(&policies, &sources, keys.dynamic_backend_mode_path.is_some(), &places)?;
    let sts_hosts =
        sts_hosts(&sts, partition).map_err(|what| Problem::new(places.sts, what).under("sts", places.sts))?;
    let reserved_prefixes = check::reserved_prefixes(reserved_prefix_config, &sources, &places, warnings)?;
    Ok(Config {
        server: http_config,
        observe: De::new(&observe, source).read()?,
        sts,
        partition,
        sts_hosts,
        sources,
        bootstrap_admins: Arc::new(admins),
        kubernetes,
        dynamic_file,
        dynamic_file_strict: keys.dynamic_file_user_id_strict,
        backend_mode_file: keys.dynamic_backend_mode_path.map(|path| beside(file, &path)),
        policies,
        policy_engine,
        map_accounts: account_list(&lists, "mapAccounts", source, |problem| {
            warnings.left_out(&problem.under("mapAccounts", Position::default()).under("server", Position::default()));
            Ok(())
        })?,
        // Leaving one out would put that account into logs, so a wrong one is an error.
        scrubbed_accounts: account_list(&lists, "scrubbedAccounts", source, Err)?,
        reserved_prefixes,
        ..Config::default()
    })
}

/// That the value at `path`, dots between its keys, is not what its room takes.
fn out_of_bounds(section: &Node, path: &str, error: &dyn std::error::Error) -> Problem {
    let mut place = section;
    for key in path.split('.') {
        let Value::Map(entries) = &place.value else { break };
        let Some(node) = value(entries, key) else { break };
        place = node;
    }
    let mut problem = Problem::new(place.at, error.to_string());
    for key in path.rsplit('.') {
        problem = problem.under(key, place.at);
    }
    problem
}

/// The entries of these lists are in, so that nothing is left of a list; of anything else, something is.
fn lists_were_read(lists: &Node) -> Result<(), Problem> {
    let Value::Map(entries) = &lists.value else { return Ok(()) };
    for key in ["mapRoles", "mapUsers"] {
        if let Some(node) = value(entries, key) {
            let what = format!("expected a list of mappings, found {}", node.value.noun());
            return Err(Problem::new(node.at, what).under(key, node.at));
        }
    }
    Ok(())
}

/// Those who are to get in whatever happens: leaving one out could be found too late, so a wrong one is an error.
fn bootstrap_admins(lists: &mut Node, source: &str, warnings: &mut Warnings) -> Result<Rules, Problem> {
    let Value::Map(keys) = &mut lists.value else { return Ok(Rules::default()) };
    let Some(list) = take(keys, BOOTSTRAP_ADMINS) else { return Ok(Rules::default()) };
    let items = match list.value {
        Value::Null => Vec::new(),
        Value::List(items) => items,
        other => {
            let what = format!("expected a list of ARNs, found {}", other.noun());
            return Err(Problem::new(list.at, what).under(BOOTSTRAP_ADMINS, list.at));
        }
    };
    let mut entries = Entries::new(source, STYLE);
    for (index, item) in items.into_iter().enumerate() {
        let at = item.at;
        let entry = match item.value {
            Value::Text(_) => Node::new(at, Value::Map(vec![(Key { at, text: "arn".into() }, item)])),
            _ => item,
        };
        let read = entries.require(Section::Admins, index, &entry);
        read.map_err(|problem| problem.within(index, at).under(BOOTSTRAP_ADMINS, at))?;
    }
    let (rules, remarks) = entries.finish();
    warnings.append(remarks);
    Ok(rules)
}

fn account_list(
    lists: &Node,
    key: &str,
    source: &str,
    wrong: impl FnMut(Problem) -> Result<(), Problem>,
) -> Result<BTreeSet<AccountId>, Problem> {
    let Value::Map(entries) = &lists.value else { return Ok(BTreeSet::new()) };
    let Some(node) = value(entries, key) else { return Ok(BTreeSet::new()) };
    accounts(node, source, Numbers::Refused, wrong).map_err(|problem| problem.under(key, node.at))
}

fn cluster_id(top: &[(Key, Node)], source: &str) -> Result<Option<aws::ClusterId>, Problem> {
    let Some(node) = value(top, "clusterID") else { return Ok(None) };
    let bad = |error: aws::InvalidClusterId| Problem::new(node.at, error.to_string());
    let parse = |text: &str| text.parse().map_err(bad);
    node.text(source).and_then(parse).map(Some).map_err(|problem| problem.under("clusterID", node.at))
}

/// The hosts of `server.sts.endpoints` that the provider's table has not, or that name their own region.
fn sts_hosts(sts: &sts::Config, partition: aws::Partition) -> Result<Vec<aws::ExtraHost>, String> {
    let table = aws::Hosts::new(partition, Vec::new());
    let mut hosts = Vec::new();
    for sts::Endpoint { host, region, partition, .. } in &sts.endpoints {
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

/// Deals the keys of one map out to those who know them.
fn split<const N: usize>(node: Node, rooms: [&[&'static str]; N]) -> Result<[Node; N], Problem> {
    let at = node.at;
    let entries = match node.value {
        Value::Map(entries) => entries,
        Value::Null => Vec::new(),
        other => return Err(Problem::new(at, format!("expected a map, found {}", other.noun()))),
    };
    let mut dealt: [Vec<(Key, Node)>; N] = std::array::from_fn(|_| Vec::new());
    for (key, node) in entries {
        let whose = rooms.iter().position(|names| fold_known(&key, names));
        let Some(place) = whose else {
            let known: Vec<&'static str> = rooms.concat();
            return Err(unknown(&key, &known).under(&key.text, key.at));
        };
        if let Some((first, _)) = dealt[place].iter().find(|(other, _)| other.text.eq_ignore_ascii_case(&key.text)) {
            return Err(twice(&key, first).under(&key.text, key.at));
        }
        dealt[place].push((key, node));
    }
    Ok(dealt.map(|entries| Node::new(at, Value::Map(entries))))
}

fn fold_known(key: &Key, names: &[&'static str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(&key.text))
}

fn take(entries: &mut Vec<(Key, Node)>, key: &str) -> Option<Node> {
    let index = entries.iter().position(|(other, _)| other.text.eq_ignore_ascii_case(key))?;
    Some(entries.swap_remove(index).1)
}

fn warn_idle(warnings: &mut Warnings, prefix: &str, idle: &Node, table: &[(&str, &str)]) {
    let Value::Map(entries) = &idle.value else { return };
    for (key, _) in entries {
        let advice = table.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key.text)).map_or("", |(_, text)| text);
        warnings.push(key.at.line, &format!("{prefix}{}", key.text), format!("has no effect: {advice}"));
    }
}

// === impl Own ===

impl Own {
    fn kubernetes(&self, file: &Path) -> watch::Access {
        let given = self.kubeconfig.as_deref().filter(|path| !path.as_os_str().is_empty());
        let master = self.master.clone().filter(|url| !url.is_empty());
        watch::Access { kubeconfig: given.map(|path| beside(file, path)), master }
    }

    fn dynamic_file(&self, file: &Path) -> Option<PathBuf> {
        let given = self.dynamic_file_path.as_deref().filter(|path| !path.as_os_str().is_empty());
        given.map(|path| beside(file, path))
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
        Self {
            backend_mode: value(entries, "backendMode").map_or(own.at, |node| node.at),
            sts: value(entries, "sts").map_or(own.at, |node| node.at),
            policies: items("policies"),
            reserved_prefixes: items("reservedPrefixConfig"),
        }
    }
}
