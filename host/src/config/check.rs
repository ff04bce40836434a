//! Rules across keys: what each says may be right, and together they make no sense. And the rooms' own bounds.

use std::collections::BTreeMap;

use super::{
    Source,
    backend_mode::BackendMode,
    error::{Position, Problem, did_you_mean},
    file::{Places, ReservedPrefixes},
    finding::{CheckId, Findings, Severity},
    remark::MASTERS,
};
use crate::{
    mapping::{chain::MAP_ACCOUNTS, policy_stage},
    policy::{self, Kind, Mode, OnFault},
    provider::{Cloud, alibaba, aws},
    server, sts,
};

/// Every source that is no policy.
const STATIC: [Source; 6] = [
    Source::MountedFile,
    Source::EksConfigMap,
    Source::AckConfigMap,
    Source::Crd,
    Source::RamIdentityMapping,
    Source::DynamicFile,
];

/// What a list of sources may name.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Without them any name of one is taken.
    pub(super) policies: Option<&'a [policy::Config]>,
    /// There is a path for DynamicFile.
    pub(super) dynamic_file: bool,
    /// Whose tokens are accepted.
    pub(super) clouds: &'a [Cloud],
}

/// The sources in order, and what is wrong with the list.
pub(super) fn sources(modes: Option<&BackendMode>, known: Known<'_>, places: &Places) -> (Vec<Source>, Vec<Problem>) {
    let wrong = |index: usize, what: Wrong| {
        let at = places.modes.get(index).copied().unwrap_or(places.backend_mode);
        what.at(at).under("backendMode", at)
    };
    let Some(BackendMode(modes)) = modes else { return (vec![Source::MountedFile], Vec::new()) };
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    if modes.is_empty() {
        problems.push(wrong(0, "names no source".to_owned().into()));
    }
    for (index, mode) in modes.iter().enumerate() {
        match source(mode, known) {
            Ok(source) if sources.contains(&source) => {
                problems.push(wrong(index, format!("names {} twice", source.name()).into()));
            }
            Ok(source) => sources.push(source),
            Err(what) => problems.push(wrong(index, what)),
        }
    }
    (sources, problems)
}

/// What is wrong with a source, and most likely meant.
pub(super) struct Wrong {
    what: String,
    hint: Option<String>,
}

fn source(mode: &str, known: Known<'_>) -> Result<Source, Wrong> {
    match static_source(mode, known.clouds) {
        Some(Source::DynamicFile) if !known.dynamic_file => {
            return Err("DynamicFile needs `dynamicFilePath`".to_owned().into());
        }
        Some(source) => return Ok(source),
        None => {}
    }
    let Some(name) = mode.strip_prefix(policy_stage::PREFIX) else {
        let names = STATIC.map(|source| source.name());
        let hint = did_you_mean(mode, names.iter().map(String::as_str).chain([policy_stage::PREFIX]));
        return Err(Wrong { what: format!("unknown source `{mode}`"), hint });
    };
    let Some(policies) = known.policies else { return Ok(Source::Policy(name.to_owned())) };
    let found = policies.iter().find(|policy| policy.name.as_str() == name);
    match found.map(|policy| policy.kind) {
        Some(Kind::Map) => Ok(Source::Policy(name.to_owned())),
        Some(_) => {
            Err(format!("{mode} is not of kind map: policies of other kinds follow the list by themselves").into())
        }
        None => {
            let hint = did_you_mean(name, policies.iter().map(|policy| policy.name.as_str()));
            Err(Wrong { what: format!("{mode} names no policy of `policies`"), hint })
        }
    }
}

/// The source of that name, or of a former one: each of the replaced programs has called its own ConfigMap `ConfigMap`.
fn static_source(mode: &str, clouds: &[Cloud]) -> Option<Source> {
    match (mode, clouds) {
        ("ConfigMap", [Cloud::Alibaba]) => Some(Source::AckConfigMap),
        ("ConfigMap", _) => Some(Source::EksConfigMap),
        ("File", _) => Some(Source::MountedFile),
        _ => STATIC.into_iter().find(|source| source.name() == mode),
    }
}

/// What is wrong with what the policies say about each other and about the list of sources. `switched`: another list
/// may take its place, so that a policy which this one leaves out may still be asked.
pub(super) fn policies(
    policies: &[policy::Config],
    sources: &[Source],
    switched: bool,
    places: &Places,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let guarded = policies.iter().any(|policy| policy.kind == Kind::Guard && policy.mode == Mode::Enforce);
    for (index, policy) in policies.iter().enumerate() {
        let name = policy.name.as_str();
        let twice = policies.iter().take(index).any(|earlier| earlier.name == policy.name);
        let listed = sources.contains(&Source::Policy(name.to_owned()));
        let what = match (policy.kind, policy.on_fault) {
            _ if twice => format!("another policy is called `{name}` already"),
            (Kind::Map, _) if !listed && !switched => {
                format!("`{name}` is of kind map and never asked: put `Policy/{name}` into backendMode")
            }
            (Kind::Map | Kind::Guard, OnFault::Skip) => {
                "onFault: skip is for policies of kind augment: skipping any other could let somebody in".to_owned()
            }
            (Kind::Augment, OnFault::Skip) if guarded => {
                "onFault: skip does not go with a policy of kind guard: the guard would judge less than there is"
                    .to_owned()
            }
            _ => continue,
        };
        let at = places.policies.get(index).copied().unwrap_or_default();
        problems.push(Problem::new(at, what).within(index, at).under("policies", at));
    }
    problems
}

/// Policies that the operator lets make administrators.
pub(super) fn ceilings(policies: &[policy::Config], places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    for ((index, policy), at) in policies.iter().enumerate().zip(&places.policies) {
        let groups = policy.ceiling.groups.as_deref().unwrap_or_default();
        if groups.iter().any(|group| group == MASTERS) {
            let what = format!("`{}` may make anybody an administrator", policy.name.as_str());
            let problem = Problem::new(*at, what).id(CheckId::PolicyAdministrator);
            let problem = problem.fix(format!("take `{MASTERS}` out of its ceiling, or map administrators by name"));
            problems.push(problem.within(index, *at).under("policies", *at));
        }
    }
    problems
}

/// Policies that are granted facts which no caller has.
pub(super) fn facts(policies: &[policy::Config], clouds: &[Cloud], places: &Places) -> Vec<Problem> {
    if clouds != [Cloud::Alibaba] {
        return Vec::new();
    }
    let placed = policies.iter().enumerate().zip(&places.policies);
    let granted = placed.filter(|((_, policy), _)| !policy.cloud.is_empty());
    let problems = granted.map(|((index, policy), at)| {
        let name = policy.name.as_str();
        let what = format!("`cloud` of `{name}` gives it nothing: of callers of Alibaba Cloud no fact is known");
        let problem = Problem::new(*at, what).id(CheckId::NoEffect);
        let problem = problem.fix("leave the policy out, or add aws to `server.providers`");
        problem.within(index, *at).under("policies", *at)
    });
    problems.collect()
}

/// Reserved prefixes by source, and what is wrong with them. Entries of one source add up.
pub(super) fn reserved_prefixes(
    entries: Vec<ReservedPrefixes>,
    sources: &[Source],
    clouds: &[Cloud],
    places: &Places,
    findings: &mut Findings,
) -> (BTreeMap<String, Vec<String>>, Vec<Problem>) {
    let mut reserved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let at = places.reserved_prefixes.get(index).copied().unwrap_or_default();
        let full = |problem: Problem| problem.within(index, at).under("reservedPrefixConfig", at);
        let known = static_source(&entry.backend_mode, clouds);
        let name = known.as_ref().map_or(entry.backend_mode, Source::name);
        let asked = name == MAP_ACCOUNTS || sources.iter().any(|source| source.name() == name);
        if !asked && known.is_some() {
            let problem = Problem::new(at, "has no effect").id(CheckId::NoEffect);
            let problem = full(problem.fix(format!("{name} is not in backendMode")));
            findings.remark(Severity::Warning, problem.under("server", at));
        } else if !asked {
            let names: Vec<String> = sources.iter().map(Source::name).collect();
            let hint = did_you_mean(&name, names.iter().map(String::as_str));
            problems.push(full(Problem::new(at, format!("`{name}` is not in backendMode")).maybe(hint)));
            continue;
        }
        let prefixes = entry.username_prefix_reserve_list.into_iter().filter(|prefix| !prefix.is_empty());
        reserved.entry(name).or_default().extend(prefixes);
    }
    (reserved, problems)
}

/// What is wrong with the list of clouds, and with the endpoint of one of them.
pub(super) fn providers(
    clouds: Option<&[Cloud]>,
    alibaba: &alibaba::Settings,
    places: &Places,
) -> impl Iterator<Item = Problem> {
    let at = places.providers;
    let list = clouds.and_then(|clouds| match clouds {
        [] => Some("names no provider".to_owned()),
        [first, rest @ ..] => rest.contains(first).then(|| format!("names {} twice", first.name())),
    });
    let list = list.map(|what| Problem::new(at, what).under("providers", at));
    let endpoint = alibaba.host().err();
    let endpoint =
        endpoint.map(|error| Problem::new(places.alibaba, error.to_string()).under("alibaba", places.alibaba));
    list.into_iter().chain(endpoint)
}

/// The first setting of STS that is out of bounds, and why.
pub(super) fn sts_bounds(sts: &sts::Config) -> Option<(String, String)> {
    let error = sts.check().err()?;
    let key = if let sts::ConfigError::Bounds { key, .. } = &error { key } else { "endpoints" };
    Some((format!("sts.{key}"), error.to_string()))
}

/// The first setting of look-ups that is out of bounds, and why.
pub(super) fn look_up_bounds(ec2: &aws::ec2::Settings, iam: &aws::iam::Config) -> Option<(String, String)> {
    let error = ec2.check().and_then(|()| iam.check()).err()?;
    Some((error.key.to_owned(), error.to_string()))
}

/// The first setting of the server itself that is out of bounds, and why.
pub(super) fn server_bounds(server: &server::Config) -> Option<(String, String)> {
    let error = server.check().err()?;
    let key = match &error {
        server::Error::OutOfBounds { key, .. } => *key,
        server::Error::ClientAuth(_) => "clientAuth",
        _ => "",
    };
    Some((key.to_owned(), error.to_string()))
}

// === impl Wrong ===

impl Wrong {
    fn at(self, at: Position) -> Problem {
        Problem::new(at, self.what).maybe(self.hint)
    }
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { what, hint: None }
    }
}
