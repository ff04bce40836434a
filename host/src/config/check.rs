//! Rules across keys: what each says may be right, and together they make no sense.

use std::collections::BTreeMap;

use super::{
    Source,
    backend_mode::BackendMode,
    error::{Problem, did_you_mean},
    file::{Places, ReservedPrefixes},
    warnings::Warnings,
};
use crate::{
    mapping::{chain::MAP_ACCOUNTS, policy_stage},
    policy::{self, Kind, OnFault},
};

/// Every source that is no policy.
const STATIC: [Source; 5] =
    [Source::MountedFile, Source::EksConfigMap, Source::AckConfigMap, Source::Crd, Source::DynamicFile];
/// Old names, and the sources they mean.
const OLD_NAMES: [(&str, Source); 2] = [("ConfigMap", Source::EksConfigMap), ("File", Source::MountedFile)];

/// The sources in order. `dynamic_file`: there is a path for DynamicFile.
pub(super) fn sources(
    modes: Option<&BackendMode>,
    policies: &[policy::Config],
    dynamic_file: bool,
    places: &Places,
) -> Result<Vec<Source>, Problem> {
    let wrong = |what: String| Problem::new(places.backend_mode, what).under("backendMode", places.backend_mode);
    let Some(BackendMode(modes)) = modes else { return Ok(vec![Source::MountedFile]) };
    if modes.is_empty() {
        return Err(wrong("names no source".to_owned()));
    }
    let mut sources = Vec::new();
    for mode in modes {
        let source = source(mode, policies).map_err(wrong)?;
        if sources.contains(&source) {
            return Err(wrong(format!("names {} twice", source.name())));
        }
        if source == Source::DynamicFile && !dynamic_file {
            return Err(wrong("DynamicFile needs `dynamicFilePath`".to_owned()));
        }
        sources.push(source);
    }
    Ok(sources)
}

pub(super) fn source(mode: &str, policies: &[policy::Config]) -> Result<Source, String> {
    if let Some(source) = static_source(mode) {
        return Ok(source);
    }
    let Some(name) = mode.strip_prefix(policy_stage::PREFIX) else {
        let names = STATIC.map(|source| source.name());
        let hint = did_you_mean(mode, names.iter().map(String::as_str).chain([policy_stage::PREFIX]));
        return Err(format!("unknown source `{mode}`{hint}"));
    };
    let found = policies.iter().find(|policy| policy.name.as_str() == name);
    match found.map(|policy| policy.kind) {
        Some(Kind::Map) => Ok(Source::Policy(name.to_owned())),
        Some(_) => Err(format!("{mode} is not of kind map: policies of other kinds follow the list by themselves")),
        None => {
            let hint = did_you_mean(name, policies.iter().map(|policy| policy.name.as_str()));
            Err(format!("{mode} names no policy of `policies`{hint}"))
        }
    }
}

fn static_source(mode: &str) -> Option<Source> {
    let old = OLD_NAMES.iter().find(|(name, _)| *name == mode).map(|(_, source)| source.clone());
    old.or_else(|| STATIC.into_iter().find(|source| source.name() == mode))
}

/// What the policies say about each other and about the list of sources. `switched`: another list may take its place,
/// so that a policy which this one leaves out may still be asked.
pub(super) fn policies(
    policies: &[policy::Config],
    sources: &[Source],
    switched: bool,
    places: &Places,
) -> Result<(), Problem> {
    let guarded = policies.iter().any(|policy| policy.kind == Kind::Guard);
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
        return Err(Problem::new(at, what).within(index, at).under("policies", at));
    }
    Ok(())
}

/// Reserved prefixes by source. Entries of one source add up.
pub(super) fn reserved_prefixes(
    entries: Vec<ReservedPrefixes>,
    sources: &[Source],
    places: &Places,
    warnings: &mut Warnings,
) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    let mut reserved: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let at = places.reserved_prefixes.get(index).copied().unwrap_or_default();
        let known = static_source(&entry.backend_mode);
        let name = known.as_ref().map_or(entry.backend_mode, Source::name);
        let asked = name == MAP_ACCOUNTS || sources.iter().any(|source| source.name() == name);
        if !asked && known.is_some() {
            warnings.push(
                at.line,
                &format!("server.reservedPrefixConfig[{index}]"),
                format!("has no effect: {name} is not in backendMode"),
            );
        } else if !asked {
            let names: Vec<String> = sources.iter().map(Source::name).collect();
            let hint = did_you_mean(&name, names.iter().map(String::as_str));
            let problem = Problem::new(at, format!("`{name}` is not in backendMode{hint}"));
            return Err(problem.within(index, at).under("reservedPrefixConfig", at));
        }
        let prefixes = entry.username_prefix_reserve_list.into_iter().filter(|prefix| !prefix.is_empty());
        reserved.entry(name).or_default().extend(prefixes);
    }
    Ok(reserved)
}
