//! Together: what the files of one check mean as one: which source is asked before which, which entries let anybody in,
//! and which never do.
//!
//! Judged by the one configuration among them, if it names its sources. Without one, with several, or where a command
//! line may name them, nothing is known of order and of what is asked, and every entry counts.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::SystemTime,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Checked, CheckedFile, Config, Source,
    entry::UserIds,
    error::{Position, Problem},
    finding::{CheckId, Finding, Severity},
    manifest::OtherMap,
    sources::{dynamic_file, table},
};
use crate::{
    caller::{Arn, PrincipalKind, arn::ACS_PARTITION},
    mapping::{
        bootstrap_admins::NAME as BOOTSTRAP_ADMINS,
        rule::{Rule, Rules},
    },
    policy::TableSource,
};

/// What the entries of a part are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Origin {
    /// Those of a configuration: bootstrap admins, and MountedFile.
    #[default]
    Configuration,
    /// Nobody reads them where they stand.
    Nowhere,
    /// Those of a source that is followed.
    Live(Source),
}

/// Entries of one source, in one file.
struct Asked<'a> {
    file: usize,
    part: &'a Checked,
    /// As [`Source::name`], or `bootstrapAdmins`.
    name: String,
    rules: &'a Rules,
}

/// What is said of one entry.
struct Said<'a> {
    file: usize,
    part: &'a Checked,
    rule: &'a Rule,
    id: CheckId,
    severity: Severity,
    what: String,
    fix: &'static str,
}

/// All files of one check, at one time.
pub(super) struct Together<'a> {
    files: &'a [CheckedFile],
    now: SystemTime,
    /// The one configuration.
    config: Option<&'a Config>,
    /// The same, if it names its sources, and so their order.
    order: Option<&'a Config>,
    /// In the order in which they are asked, as far as that is known.
    asked: Vec<Asked<'a>>,
}

/// Most findings of each kind.
const MAX_FINDINGS: usize = 100;

/// Entries of `files` that let nobody in at `now` though nothing is wrong with them, each with the number of its file.
#[must_use]
pub fn check(files: &[CheckedFile], now: SystemTime) -> Vec<(usize, Finding)> {
    let together = Together::new(files, now);
    let mut findings = together.ended();
    findings.extend(together.shadowed());
    findings.extend(together.unasked());
    findings.extend(together.roots());
    findings.extend(together.tables());
    findings
}

/// Reads files of DynamicFile again as the one configuration among `files` has their entries match: by ARN, or by unique id.
pub fn match_as_configured(files: &mut [CheckedFile]) {
    let Some(strict) = configuration(files).map(|config| config.dynamic_file_strict) else { return };
    for file in files {
        if matches!(&file.parts[..], [part] if part.origin == Origin::Live(Source::DynamicFile)) {
            let checked = dynamic_file::check(&file.text, UserIds::of(strict));
            *file = CheckedFile::of(std::mem::take(&mut file.text), checked);
        }
    }
}

// === impl Together ===

impl<'a> Together<'a> {
    pub(super) fn new(files: &'a [CheckedFile], now: SystemTime) -> Self {
        let config = configuration(files);
        let mut asked = Vec::new();
        for (file, part) in parts(files).filter(|(_, part)| part.origin == Origin::Configuration) {
            let (name, rules) = (BOOTSTRAP_ADMINS.to_owned(), &*part.config.bootstrap_admins);
            asked.push(Asked { file, part, name, rules });
        }
        // Its sources in their order, or else every part as it comes.
        let named = |config: &&Config| config.names_sources && config.backend_mode_file.is_none();
        let order = config.filter(named);
        let mut sources: Vec<_> = parts(files)
            .filter_map(|(file, part)| {
                let source = match &part.origin {
                    Origin::Configuration => Source::MountedFile,
                    Origin::Live(source) => source.clone(),
                    Origin::Nowhere => return None,
                };
                let is_asked = part.asks_mounted_file() || part.origin != Origin::Configuration;
                let (place, source) = match order {
                    None => (0, &source),
                    Some(config) => config.asked(&source)?,
                };
                is_asked.then(|| (place, Asked { file, part, name: source.name(), rules: &part.config.rules }))
            })
            .collect();
        sources.sort_by_key(|(place, _)| *place);
        asked.extend(sources.into_iter().map(|(_, asked)| asked));
        Self { files, now, config, order, asked }
    }

    /// Whether an entry of which `is` holds lets somebody in.
    pub(super) fn anybody(&self, is: impl Fn(&Rule) -> bool) -> bool {
        let mut named: HashSet<String> = HashSet::new();
        for asked in &self.asked {
            for (who, rule) in asked.rules.in_force(self.now) {
                let counts = is(rule) && self.may_count(&asked.name, &who, rule);
                // Without an order nobody is before anybody.
                let is_first = named.insert(who) || self.order.is_none();
                if is_first && counts {
                    return true;
                }
            }
        }
        false
    }

    /// Whether tokens of `who` are taken, and nothing forbids the name that the entry gives.
    fn may_count(&self, source: &str, who: &str, rule: &Rule) -> bool {
        let Some(config) = self.config else { return true };
        if config.deny_root && is_root(who) {
            return false;
        }
        let accepted = partition(who).is_none_or(|partition| config.accepted_partitions().contains(&partition));
        let reserved = config.reserved_prefixes.get(source).map_or(&[][..], Vec::as_slice);
        accepted && !reserved.iter().any(|prefix| rule.username.literal_head().starts_with(prefix.as_str()))
    }

    fn ended(&self) -> Vec<(usize, Finding)> {
        let ended = |rule: &&Rule| rule.not_after().is_some_and(|end| end < self.now);
        let mut found = Vec::new();
        for (file, part) in parts(self.files) {
            for rule in part.config.bootstrap_admins.every().chain(part.config.rules.every()).filter(ended) {
                let end = rule.not_after().map(OffsetDateTime::from).and_then(|end| end.format(&Rfc3339).ok());
                let what = format!("lets nobody in any more: it has ended at {}", end.unwrap_or_default());
                let (id, severity, fix) = (CheckId::Ended, Severity::Warning, "take it out");
                found.push(Said { file, part, rule, id, severity, what, fix });
            }
        }
        self.bounded(found)
    }

    fn shadowed(&self) -> Vec<(usize, Finding)> {
        if self.config.is_none() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut first: HashMap<String, (&Asked<'_>, &Rule)> = HashMap::new();
        for asked in &self.asked {
            for (who, rule) in asked.rules.in_force(self.now) {
                let Some((earlier, winner)) = first.get(&who) else {
                    // Bootstrap admins are before everybody, whatever the order of the rest.
                    if self.order.is_some() || asked.name == BOOTSTRAP_ADMINS {
                        first.insert(who, (asked, rule));
                    }
                    continue;
                };
                let what =
                    format!("never counts: {}, which is asked first, maps {who} on line {}", earlier.name, winner.line);
                let severity = if winner.is_same(rule) { Severity::Note } else { Severity::Warning };
                let (file, part, id, fix) = (asked.file, asked.part, CheckId::Shadowed, "keep one of the two");
                found.push(Said { file, part, rule, id, severity, what, fix });
            }
        }
        self.bounded(found)
    }

    /// Objects of a source that the configuration does not ask.
    fn unasked(&self) -> Vec<(usize, Finding)> {
        let Some(config) = self.order else { return Vec::new() };
        let mut found = Vec::new();
        for (file, part) in parts(self.files) {
            let Origin::Live(source) = &part.origin else { continue };
            let first = part.config.rules.every().min_by_key(|rule| rule.line);
            if let (None, Some(rule)) = (config.asked(source), first) {
                let (why, fix) = match config.sources.contains(source) {
                    true => (
                        "CRD is RAMIdentityMappings where Alibaba Cloud's tokens alone are accepted".to_owned(),
                        "add aws to `server.providers`, or take these entries over",
                    ),
                    false => (
                        format!("{} is not in `backendMode`", source.name()),
                        "put it there, or take these entries over",
                    ),
                };
                let what = format!("nothing of this is in force: {why}");
                let (id, severity) = (CheckId::NoEffect, Severity::Warning);
                found.push(self.finding(Said { file, part, rule, id, severity, what, fix }));
            }
        }
        found
    }

    /// Entries about accounts' roots, whom the configuration lets in by none.
    fn roots(&self) -> Vec<(usize, Finding)> {
        if !self.config.is_some_and(|config| config.deny_root) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for asked in &self.asked {
            for (_, rule) in asked.rules.in_force(self.now).filter(|(who, _)| is_root(who)) {
                let what = "lets nobody in: `denyRoot` keeps every account's root out".to_owned();
                let (file, part, fix) = (asked.file, asked.part, "name a user or a role");
                let (id, severity) = (CheckId::NoEffect, Severity::Warning);
                found.push(Said { file, part, rule, id, severity, what, fix });
            }
        }
        self.bounded(found)
    }

    /// ConfigMaps that the configuration has for tables of policies, and that are none.
    fn tables(&self) -> Vec<(usize, Finding)> {
        let policies = self.config.into_iter().flat_map(|config| &config.policies);
        // Several policies may read one.
        let sources: BTreeSet<&TableSource> = policies.flat_map(|policy| policy.tables.values()).collect();
        let mut found = Vec::new();
        for source in sources {
            let TableSource::ConfigMap { namespace, name, .. } = source else { continue };
            for (file, checked) in self.files.iter().enumerate() {
                let is_it = |map: &&OtherMap| {
                    *map.name == **name && map.namespace.as_ref().is_none_or(|other| **other == **namespace)
                };
                for map in checked.config_maps.iter().filter(is_it) {
                    let Some(why) = table::refusal(source, &map.object) else { continue };
                    let problem = Problem::new(map.at, format!("no table for policies: {why}"));
                    found.push((file, Finding::error(problem.under(name, map.at))));
                }
            }
        }
        found.truncate(MAX_FINDINGS);
        found
    }

    /// The first of `found`. Only they are worth the search for their lines.
    fn bounded(&self, mut found: Vec<Said<'_>>) -> Vec<(usize, Finding)> {
        found.sort_by_key(|said| (said.file, said.part.outside.map_or(said.rule.line, |at| at.line)));
        found.truncate(MAX_FINDINGS);
        found.into_iter().map(|said| self.finding(said)).collect()
    }

    /// About an entry, where its line begins.
    fn finding(&self, said: Said<'_>) -> (usize, Finding) {
        let Said { file, part, rule, id, severity, what, fix } = said;
        let line = rule.line.max(1);
        let text = self.files[file].text.lines().nth(line as usize - 1).unwrap_or_default();
        let indent = text.chars().take_while(|char| matches!(char, ' ' | '-')).count();
        let column = u32::try_from(indent + 1).unwrap_or(1);
        let problem = Problem::new(Position { line, column }, what).id(id).fix(fix);
        (file, Finding { severity, ..Finding::error(problem) }.placed(part.outside))
    }
}

/// The configuration among `files`, if there is one alone.
fn configuration(files: &[CheckedFile]) -> Option<&Config> {
    let mut configs = parts(files).filter(|(_, part)| part.origin == Origin::Configuration && part.readable);
    match (configs.next(), configs.next()) {
        (Some((_, only)), None) => Some(&only.config),
        _ => None,
    }
}

fn parts(files: &[CheckedFile]) -> impl Iterator<Item = (usize, &Checked)> {
    files.iter().enumerate().flat_map(|(index, file)| file.parts.iter().map(move |part| (index, part)))
}

/// The partition of a principal as [`Rules::iter`] names it; `None` for a unique id, which has none.
fn partition(who: &str) -> Option<&str> {
    let mut words = who.split(':');
    match words.next()? {
        "arn" | "sso" => words.next(),
        ACS_PARTITION => Some(ACS_PARTITION),
        _ => None,
    }
}

/// Whether `who` is an account's root, as [`Rules::iter`] names it.
fn is_root(who: &str) -> bool {
    who.parse::<Arn>().is_ok_and(|arn| arn.kind() == PrincipalKind::Root)
}

// === impl Config ===

impl Config {
    /// The source that reads what `source` does, and its place among those that are asked.
    fn asked(&self, source: &Source) -> Option<(usize, &Source)> {
        self.sources.iter().enumerate().find(|(_, other)| other.read_as(self.clouds()) == source)
    }
}

// === impl Checked ===

impl Checked {
    /// Whether the entries of a configuration's own lists are asked.
    pub(super) fn asks_mounted_file(&self) -> bool {
        self.config.sources.contains(&Source::MountedFile) || self.config.backend_mode_file.is_some()
    }
}
