//! Chain: the order in which stages are asked, the power each kind of policy has, and the guard
//! that stands behind them all.
//!
//! `map` stages answer while nobody has mapped the caller (the first that does wins), then the
//! `mapAccounts` of all of them, then `augment` policies (all see the same mapping, their additions are
//! united), then `guard` policies (each may only take away), then the [`Guard`]. A denial is final, whatever the kind
//! of the policy. Shadows are not asked: what they would be asked is noted.
//!
//! What an `augment` policy adds whose faults are skipped counts or not whatever the others of its kind say: it has an
//! even share of the room that all the rest leaves. If the others could take its room, it would be their failure that
//! lets its additions in.

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Answer, Guard, NodeNames, Refusal, Stage, StageError, StageRecord,
    ceiling::Ceiling,
    guard::{GuardError, MAX_EXTRA, MAX_GROUPS},
    node::{NoNode, NodeRecord},
    rule::Rule,
    shadow::{Place, Question, Shadow},
};
use crate::policy::{Fault, Kind, Mapping, Request, Verdict, Versions};

/// The name under which a source's `mapAccounts` stands in the trail.
pub const MAP_ACCOUNTS: &str = "mapAccounts";

/// Every stage of one configuration, in order.
#[derive(Debug, Default)]
pub struct Chain {
    /// Asked in order until one maps the caller.
    pub map: Vec<Link>,
    /// Policies that may add to a mapping.
    pub augment: Vec<Link>,
    /// Policies that may take away from a mapping, asked last.
    pub guards: Vec<Link>,
    /// Policies that are tried beside the others. None is asked by the chain.
    pub shadows: Vec<Arc<Shadow>>,
    /// The checks behind every source.
    pub guard: Guard,
    /// Finds the names of nodes for entries that need them; `None` refuses those logins.
    pub nodes: Option<Arc<dyn NodeNames>>,
}

/// A stage and what the operator lets it do.
#[derive(Debug)]
pub struct Link {
    /// The stage.
    pub stage: Box<dyn Stage>,
    /// The most it may grant; `None` for a static source, whose entries the operator wrote.
    pub ceiling: Option<Ceiling>,
    /// `augment` only: a fault adds nothing instead of refusing the login. More than its share is one, and so is what
    /// the [`Guard`] does not pass.
    pub skip_on_fault: bool,
}

/// What an `augment` policy answered.
struct Addition<'a> {
    link: &'a Link,
    /// Which of the stages that were asked it is.
    record: usize,
    after: Mapping,
}

/// What a chain said about one caller.
#[derive(Debug)]
pub struct Trace {
    /// The mapping, or why there is none.
    pub outcome: Result<Mapping, Refusal>,
    /// The stages that made or changed the mapping, oldest first.
    pub trail: Vec<String>,
    /// Every stage that was asked.
    pub stages: Vec<StageRecord>,
    /// What shadows would have been asked, for whoever has time to ask them.
    pub questions: Vec<Question>,
}

/// A decision under way.
struct Walk<'a> {
    request: Request<'a>,
    nodes: Option<&'a dyn NodeNames>,
    trail: Vec<String>,
    stages: Vec<StageRecord>,
    shadows: &'a [Arc<Shadow>],
    questions: Vec<Question>,
    /// Whether a stage that was asked lists the caller's account.
    account_listed: bool,
}

// === impl Chain ===

impl Chain {
    /// Asks every stage that has a say about `request.caller`. `request.current`, `request.trail` and
    /// `request.tables` are the chain's own to fill.
    pub async fn decide(&self, request: Request<'_>) -> Trace {
        let tables = self.versions();
        let mut walk = Walk {
            request: Request { tables: Some(&tables), ..request },
            nodes: self.nodes.as_deref(),
            trail: Vec::new(),
            stages: Vec::new(),
            shadows: &self.shadows,
            questions: Vec::new(),
            account_listed: false,
        };
        let outcome = self.walk(&mut walk).await;
        Trace { outcome, trail: walk.trail, stages: walk.stages, questions: walk.questions }
    }

    /// What all its policies see of their tables in one login, those in shadow mode too.
    fn versions(&self) -> Versions {
        let mut versions = Versions::default();
        let links = self.map.iter().chain(&self.augment).chain(&self.guards);
        links.for_each(|link| link.stage.hold_tables(&mut versions));
        self.shadows.iter().for_each(|shadow| shadow.hold_tables(&mut versions));
        versions
    }

    async fn walk(&self, walk: &mut Walk<'_>) -> Result<Mapping, Refusal> {
        let mut mapping = self.map(walk).await?;
        walk.gave(|place| matches!(place, Place::Map(_)), &mapping);
        walk.note(Place::Augment, Some(&mapping));
        if !self.augment.is_empty() {
            mapping = self.augment(walk, mapping).await?;
            walk.gave(|place| place == Place::Augment, &mapping);
        }
        for (index, link) in self.guards.iter().enumerate() {
            walk.note(Place::Guard(index), Some(&mapping));
            mapping = walk.guard(link, mapping).await?;
        }
        walk.note(Place::Guard(self.guards.len()), Some(&mapping));
        self.check(walk, &mapping)?;
        Ok(mapping)
    }

    /// The checks behind every source.
    fn check(&self, walk: &Walk<'_>, mapping: &Mapping) -> Result<(), Refusal> {
        let stage = walk.trail.first().map_or("", String::as_str);
        let checked = self.guard.check(stage, mapping, walk.request.caller.extra);
        checked.map_err(|source| Refusal::Guard { stage: walk.givers(), source })
    }

    async fn map(&self, walk: &mut Walk<'_>) -> Result<Mapping, Refusal> {
        for (index, link) in self.map.iter().enumerate() {
            walk.note(Place::Map(index), None);
            if let Some(mapping) = walk.ask(link, None).await? {
                walk.trail.push(link.stage.name().to_owned());
                return Ok(mapping);
            }
        }
        walk.note(Place::Map(self.map.len()), None);
        if !walk.account_listed {
            return Err(Refusal::NotMapped);
        }
        walk.trail.push(MAP_ACCOUNTS.to_owned());
        Ok(Mapping { username: walk.request.caller.canonical_arn.clone(), ..Mapping::default() })
    }

    /// The stages that cannot answer yet, and why.
    pub fn missing(&self) -> impl Iterator<Item = (&str, String)> {
        let links = self.map.iter().chain(&self.augment).chain(&self.guards);
        links.filter_map(|link| Some((link.stage.name(), link.stage.missing()?)))
    }

    async fn augment(&self, walk: &mut Walk<'_>, before: Mapping) -> Result<Mapping, Refusal> {
        let additions = self.additions(walk, &before).await?;
        let mut settled = before.clone();
        for Addition { link, after, .. } in additions.iter().filter(|addition| !addition.link.skip_on_fault) {
            unite(&mut settled, after.clone());
            if settled.groups.len() > MAX_GROUPS {
                let stage = link.stage.name().to_owned();
                return Err(Refusal::Guard { stage, source: GuardError::TooMany("groups") });
            }
        }
        if additions.iter().any(|addition| addition.link.skip_on_fault) {
            self.check(walk, &settled)?;
        }
        let mut united = before.clone();
        for Addition { link, record, after } in additions {
            if link.skip_on_fault && !self.has_room(walk, &settled, &after) {
                walk.overrule(record);
                continue;
            }
            if shrunk(&before, &after).is_err() {
                walk.trail.push(link.stage.name().to_owned());
            }
            unite(&mut united, after);
        }
        Ok(united)
    }

    /// What the `augment` policies answer that have an opinion, all of them shown `before`.
    async fn additions(&self, walk: &mut Walk<'_>, before: &Mapping) -> Result<Vec<Addition<'_>>, Refusal> {
        let trail = walk.trail.clone();
        let mut additions = Vec::new();
        for link in &self.augment {
            let answer = match walk.ask_with_trail(link, Some(before), &trail).await {
                Err(Refusal::Stage { .. }) if link.skip_on_fault => continue,
                answer => answer?,
            };
            let Some(after) = answer else { continue };
            let record = walk.stages.len() - 1;
            match grown(before, &after) {
                Ok(()) => additions.push(Addition { link, record, after }),
                Err(rule) => {
                    walk.overrule(record);
                    if !link.skip_on_fault {
                        return Err(out_of_bounds(link.stage.name(), rule));
                    }
                }
            }
        }
        Ok(additions)
    }

    /// Whether what a policy adds whose faults are skipped passes the checks beside `settled`, which is there whatever
    /// such policies say, and stays within its share.
    fn has_room(&self, walk: &Walk<'_>, settled: &Mapping, after: &Mapping) -> bool {
        let mut beside = settled.clone();
        unite(&mut beside, after.clone());
        let sharers = self.augment.iter().filter(|link| link.skip_on_fault).count();
        self.check(walk, &beside).is_ok() && is_within_share(settled, &beside, sharers)
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// Notes what the shadows at `place` would be asked.
    fn note(&mut self, place: Place, current: Option<&Mapping>) {
        let here = self.shadows.iter().filter(|shadow| shadow.place() == place);
        self.questions.extend(here.map(|shadow| Question::new(shadow, current, &self.trail, self.request.tables)));
    }

    /// That the chain went on with `mapping` behind the shadows of some places.
    fn gave(&mut self, places: impl Fn(Place) -> bool, mapping: &Mapping) {
        self.questions
            .iter_mut()
            .filter(|question| question.is_at(&places))
            .for_each(|question| question.given(mapping));
    }

    /// Who mapped the caller, and whoever had a say after that: what the checks refuse may be of any of them.
    fn givers(&self) -> String {
        let mapped = self.trail.first().map_or("", String::as_str);
        let refined = self.stages.iter().filter(|record| record.verdict == "allow" && record.stage != mapped);
        let names: Vec<&str> = iter::once(mapped).chain(refined.map(|record| record.stage.as_str())).collect();
        names.join(", ")
    }

    async fn guard(&mut self, link: &Link, before: Mapping) -> Result<Mapping, Refusal> {
        let Some(after) = self.ask(link, Some(&before)).await? else { return Ok(before) };
        if let Err(rule) = shrunk(&before, &after) {
            self.overrule(self.stages.len() - 1);
            return Err(out_of_bounds(link.stage.name(), rule));
        }
        let after = Mapping { uid: before.uid.clone(), ..after };
        if after != before {
            self.trail.push(link.stage.name().to_owned());
        }
        Ok(after)
    }

    async fn ask(&mut self, link: &Link, current: Option<&Mapping>) -> Result<Option<Mapping>, Refusal> {
        let trail = std::mem::take(&mut self.trail);
        let answer = self.ask_with_trail(link, current, &trail).await;
        self.trail = trail;
        answer
    }

    /// Asks one stage and records it: `Some` is its mapping, within its ceiling.
    async fn ask_with_trail(
        &mut self,
        link: &Link,
        current: Option<&Mapping>,
        trail: &[String],
    ) -> Result<Option<Mapping>, Refusal> {
        let started = Instant::now();
        let request = Request { current, trail, ..self.request };
        let Answer { mut verdict, log, fuel, waiting, node: own_node, lists_account } =
            link.stage.decide(&request).await;
        self.account_listed |= lists_account;
        let mut node = None;
        if let (Some(rule), Some(nodes)) = (waiting, self.nodes) {
            let (rendered, record) = self.with_node(&rule, nodes).await;
            (verdict, node) = (rendered, Some(record));
        }
        let verdict = verdict.and_then(|verdict| within_ceiling(link, verdict, current, own_node.as_deref()));
        let name = link.stage.name();
        self.stages.push(StageRecord {
            stage: name.to_owned(),
            verdict: verdict.as_ref().map_or_else(StageError::reason, Verdict::label),
            micros: micros(started.elapsed()),
            fuel,
            node,
            log,
        });
        match verdict {
            Ok(Verdict::Abstain) => Ok(None),
            Ok(Verdict::Allow(mapping)) => Ok(Some(mapping)),
            Ok(Verdict::Deny(why)) => Err(Refusal::Denied { stage: name.to_owned(), why }),
            Err(source) => Err(Refusal::Stage { stage: name.to_owned(), source }),
        }
    }

    /// What `rule` gives, once it is known which node the caller is.
    async fn with_node(&self, rule: &Rule, nodes: &dyn NodeNames) -> (Result<Verdict, StageError>, NodeRecord) {
        let started = Instant::now();
        let found = nodes.find(self.request.caller).await;
        let (source, took) = (found.source, micros(started.elapsed()));
        let name = found.name.as_ref().ok().cloned();
        let verdict = found.name.map_err(|none: NoNode| none.into());
        let verdict = verdict.and_then(|name| rule.render(self.request.caller, Some(&name)).map(Verdict::Allow));
        (verdict, NodeRecord { name, source, micros: took })
    }

    /// Writes into a record that the host did not accept the stage's answer.
    fn overrule(&mut self, record: usize) {
        self.stages[record].verdict = Fault::OutOfBounds(String::new()).reason();
    }
}

fn within_ceiling(
    link: &Link,
    verdict: Verdict,
    current: Option<&Mapping>,
    node: Option<&str>,
) -> Result<Verdict, StageError> {
    if let (Some(ceiling), Verdict::Allow(mapping)) = (&link.ceiling, &verdict) {
        ceiling.check(mapping, current, node).map_err(Fault::OutOfBounds)?;
    }
    Ok(verdict)
}

fn out_of_bounds(stage: &str, rule: &str) -> Refusal {
    Refusal::Stage { stage: stage.to_owned(), source: Fault::OutOfBounds(rule.to_owned()).into() }
}

/// Holds the answer `after` of a policy of `kind` to the power of its kind. Where nobody has mapped the caller `before`, only a
/// map policy may name him: no other is asked.
///
/// # Errors
///
/// The rule that it breaks.
pub fn within_power(kind: Kind, before: Option<&Mapping>, after: &Mapping) -> Result<(), &'static str> {
    match (kind, before) {
        (Kind::Map, _) => Ok(()),
        (Kind::Augment, Some(before)) => grown(before, after),
        (Kind::Guard, Some(before)) => shrunk(before, after),
        (Kind::Augment | Kind::Guard, None) => Err("only a map policy may name a caller whom nobody has mapped"),
    }
}

/// Whether `after` is `before` with nothing but groups and extra values added.
pub(super) fn grown(before: &Mapping, after: &Mapping) -> Result<(), &'static str> {
    same_name(before, after)?;
    if !before.groups.iter().all(|group| after.groups.contains(group)) {
        return Err("an augment policy may not take a group away");
    }
    if !extra_within(before, after) {
        return Err("an augment policy may not take an extra value away");
    }
    Ok(())
}

/// Whether `after` is `before` with nothing but groups and extra values taken away.
///
/// # Errors
///
/// The rule that it breaks.
pub fn shrunk(before: &Mapping, after: &Mapping) -> Result<(), &'static str> {
    same_name(before, after)?;
    if !after.groups.iter().all(|group| before.groups.contains(group)) {
        return Err("a guard policy may not add a group");
    }
    if !extra_within(after, before) {
        return Err("a guard policy may not add an extra value");
    }
    Ok(())
}

fn same_name(before: &Mapping, after: &Mapping) -> Result<(), &'static str> {
    let uid = after.uid.is_none() || after.uid == before.uid;
    if before.username != after.username || !uid {
        return Err("only a map policy may choose the username and uid");
    }
    Ok(())
}

/// Whether every extra value of `small` is in `large`.
fn extra_within(small: &Mapping, large: &Mapping) -> bool {
    small.extra.iter().all(|(key, values)| {
        let found = large.extra.iter().find(|(name, _)| name == key);
        found.is_some_and(|(_, all)| values.iter().all(|value| all.contains(value)))
    })
}

/// Adds to `united` what `after` has and it has not. Where two policies give one extra key different values, both are
/// kept; keys that differ in nothing but case are one, as they are for the [`Guard`].
pub(super) fn unite(united: &mut Mapping, after: Mapping) {
    for group in after.groups {
        if !united.groups.contains(&group) {
            united.groups.push(group);
        }
    }
    for (key, values) in after.extra {
        match united.extra.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(&key)) {
            None => united.extra.push((key, values)),
            Some((_, all)) => {
                let new: Vec<String> = values.into_iter().filter(|value| !all.contains(value)).collect();
                all.extend(new);
            }
        }
    }
}

/// Whether `beside` has no more new groups, extra keys and values of a key than one of so many `sharers` may add to
/// `settled`.
fn is_within_share(settled: &Mapping, beside: &Mapping, sharers: usize) -> bool {
    let within = |most: usize, before: usize, after: usize| after - before <= most.saturating_sub(before) / sharers;
    let values = |key: &str| settled.extra.iter().find(|(name, _)| name == key).map_or(0, |(_, values)| values.len());
    within(MAX_GROUPS, settled.groups.len(), beside.groups.len())
        && within(MAX_EXTRA, settled.extra.len(), beside.extra.len())
        && beside.extra.iter().all(|(key, all)| within(MAX_EXTRA, values(key), all.len()))
}

/// Whole microseconds of `time`.
#[must_use]
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
