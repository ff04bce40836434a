//! Good logins beside floods of tokens that are none: what they lose, and what memory it costs.
//!
//! Good logins come as fast as they are answered, and at a fixed rate. The first are bound by the time at STS, so that
//! a loss of CPU hardly shows in their number; latency at a fixed rate shows it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tests::sts::Behaviour;

use super::{
    Row, Scale,
    row::Goal::{AtLeast, AtLeastFloor, AtMost, AtMostFloor, Information},
};
use crate::{
    binaries::Binaries,
    clock,
    load::{self, Report, Spec},
    output,
    run::{self, Plan, Tokens},
    target::{Running, Target},
    traffic::{Cases, Kind},
    world::World,
};

/// A flood.
#[derive(Clone, Copy)]
struct Flood {
    /// The name in rows.
    name: &'static str,
    /// What it is made of, in equal parts.
    kinds: &'static [Kind],
    /// Tokens a second, all together.
    rate: f64,
}

/// Good logins beside a flood.
#[derive(Clone, Copy)]
struct Logins {
    /// What is behind "logins" in the names of rows.
    how: &'static str,
    connections: usize,
    /// Logins a second; `None`: as many as are answered.
    rate: Option<f64>,
    /// The same people all the time, each token a new one; `None`: everybody comes once.
    callers: Option<usize>,
}

/// What one load of good logins and one flood found, one entry a repeat.
#[derive(Default)]
struct Found {
    quiet: Vec<Report>,
    flooded: Vec<Report>,
    /// One report for each kind.
    junk: Vec<Vec<Report>>,
}

/// A server that is flooded while people log in.
struct Bench<'a> {
    world: &'a World,
    herald: &'a Running,
    scale: Scale,
    /// Seconds before `since` in which known callers have signed a token already.
    signed: u64,
    since: SystemTime,
}

/// Measures good logins alone and beside each flood, in turn.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::Herald, Target::HeraldLimited], false).await?;
    let limited = &world.site(Target::HeraldLimited)?.sts.sts;
    // Only STS can tell that a signature is bad.
    limited.set(Behaviour { verify: true, ..Behaviour::clone(&limited.behaviour()) });
    let mut rows = Vec::new();
    for (target, logins, floods) in [
        (Target::Herald, CLOSED, &FLOODS[..]),
        (Target::Herald, OPEN, &FLOODS),
        (Target::HeraldLimited, KNOWN, &SIGNED),
    ] {
        let herald = target.start(&world.site(target)?.place).await?;
        let mut bench = Bench { world: &world, herald: &herald, scale, signed: 0, since: clock::now() };
        rows.extend(bench.rows(logins, floods).await?);
        herald.stop().await;
    }
    Ok(rows)
}

// === impl Bench ===

impl Bench<'_> {
    /// Good logins alone, then beside each flood, again and again.
    async fn rows(&mut self, logins: Logins, floods: &[Flood]) -> anyhow::Result<Vec<Row>> {
        // Caches, pools and pages of the binary that logins need once are there then.
        run::run(self.world, self.herald, &Plan::distinct(32, Duration::ZERO, self.scale.duration)).await?;
        let mut found: Vec<Found> = floods.iter().map(|_| Found::default()).collect();
        for repeat in 0..self.scale.repeats {
            output::progress(format_args!("repeat {repeat}: logins{}, alone", logins.how));
            let (quiet, _) = self.beside(logins, None).await?;
            for (flood, found) in floods.iter().zip(&mut found) {
                output::progress(format_args!("repeat {repeat}: logins{}, {}", logins.how, flood.name));
                let (flooded, junk) = self.beside(logins, Some(*flood)).await?;
                found.quiet.push(quiet.clone());
                found.flooded.push(flooded);
                found.junk.push(junk);
            }
        }
        Ok(floods.iter().zip(&found).flat_map(|(flood, found)| found.rows(logins, *flood)).collect())
    }

    /// The good logins, and the flood beside them, kind by kind.
    async fn beside(&mut self, logins: Logins, flood: Option<Flood>) -> anyhow::Result<(Report, Vec<Report>)> {
        let good = Plan { rate: logins.rate, ..Plan::distinct(logins.connections, STS, self.scale.flood) };
        let spec = self.spec(logins, &good)?;
        let mut junk = Vec::new();
        for &kind in flood.map_or(&[][..], |flood| flood.kinds) {
            let rate = flood.map(|flood| flood.rate / flood.kinds.len() as f64);
            let tokens = Tokens { kind, ..good.tokens };
            junk.push(run::spec(
                self.world,
                self.herald,
                &Plan { tokens, rate, connections: CONNECTIONS, ..good.clone() },
            )?);
        }
        let sts = &self.world.site(self.herald.target)?.sts.sts;
        sts.set(good.sts.behaviour(&sts.behaviour()));
        let (report, junk) = tokio::join!(
            load::run(spec, good.warm_up, good.duration, || ()),
            join_all(junk.into_iter().map(|spec| load::run(spec, good.warm_up, good.duration, || ()))),
        );
        output::progress(format_args!(
            "  {:.0} logins/s, p99 {} µs, beside {:.0} others/s",
            report.per_second,
            report.p99_us,
            per_second(&junk)
        ));
        Ok((report, junk))
    }

    fn spec(&mut self, logins: Logins, good: &Plan) -> anyhow::Result<Spec> {
        let (Some(callers), Some(rate)) = (logins.callers, logins.rate) else {
            return run::spec(self.world, self.herald, good);
        };
        // The one token that comes with it is not sent.
        let spec = run::spec(self.world, self.herald, &good.clone().repeated(1))?;
        let seconds = (good.warm_up + good.duration).as_secs_f64();
        let each = (rate * seconds / callers as f64) as u64 + 2;
        let ages = self.signed..self.signed + each;
        self.signed = ages.end;
        let naming = self.herald.target.naming();
        let cases = Cases::of_callers(callers, FIRST_KNOWN, self.world.roles, naming, (self.since, ages));
        Ok(Spec { cases: Arc::new(cases), ..spec })
    }
}

fn per_second(junk: &[Report]) -> f64 {
    junk.iter().map(|report| report.per_second).sum()
}

// === impl Flood ===

impl Flood {
    /// Answers that are wrong, and tokens without one, of a report for each kind. Of what STS has to be asked about, and of
    /// nothing else, tokens beyond what may be asked are told to come again.
    fn mistakes(self, junk: &[Report]) -> u64 {
        let each = self.kinds.iter().zip(junk).map(|(kind, Report { verdicts, .. })| {
            let failed = if *kind == Kind::Badsig { verdicts.unanswered() } else { verdicts.errors() };
            verdicts.wrong() + failed
        });
        each.sum()
    }
}

// === impl Found ===

impl Found {
    fn rows(&self, Logins { how, rate, .. }: Logins, flood: Flood) -> Vec<Row> {
        let name = flood.name;
        let beside = if how.is_empty() { String::new() } else { format!(", beside logins{how}") };
        let each = |reports: &[Report], figure: fn(&Report) -> f64| reports.iter().map(figure).collect::<Vec<_>>();
        let pair = |what: &str, unit, goal, figure| {
            let measure = format!("{what}{how} beside {name} (floor: alone)");
            Row::pair(measure, unit, each(&self.quiet, figure), each(&self.flooded, figure), goal)
        };
        let wrong: u64 = self.flooded.iter().map(|good| good.verdicts.wrong() + good.verdicts.errors()).sum();
        let wrong = wrong + self.junk.iter().map(|junk| flood.mistakes(junk)).sum::<u64>();
        let last_end = |floor: &str, first: Option<&Report>, goal| {
            let measure = format!("RSS at the end of the last flood of {name}{beside} (floor: {floor})");
            let [first, last] = [first, self.flooded.last()]
                .map(|report| report.map(|report| report.server.end_mib).into_iter().collect());
            Row::pair(measure, "MiB", first, last, goal)
        };
        let mut rows = vec![
            pair("logins", "1/s", AtLeastFloor(0.9), |report| report.per_second),
            pair("99th percentile of latency", "ms", AtMostFloor(2.0), |report| f64::from(report.p99_us) / 1000.0),
            pair("RSS", "MiB", AtMostFloor(1.1), |report| report.server.end_mib),
            Row::pair(
                format!("RSS at the end of {name}{beside} (floor: at its beginning)"),
                "MiB",
                each(&self.flooded, |report| report.server.begin_mib),
                each(&self.flooded, |report| report.server.end_mib),
                AtMostFloor(1.1),
            ),
            // Caches of bounded size are full once the first flood is over.
            last_end("at the end of the first", self.flooded.first(), AtMostFloor(1.1)),
            last_end("alone, before the first", self.quiet.first(), Information),
            Row::alone(
                format!("answers to {name}{beside}"),
                "1/s",
                self.junk.iter().map(|junk| per_second(junk)).collect(),
                AtLeast(flood.rate * 0.95),
            ),
            Row::alone(format!("mistakes, {name}{beside}"), "", vec![wrong as f64], AtMost(0.0)),
        ];
        if rate.is_some() {
            rows.push(Row::alone(format!("CPU for each of {name}"), "µs", self.cost(), Information));
        }
        rows
    }

    /// CPU time of the server that the good logins alone do not take, for each token of the flood, in microseconds.
    fn cost(&self) -> Vec<f64> {
        let total = |report: &Report| report.server.cpu_us * report.done as f64;
        let repeats = self.quiet.iter().zip(&self.flooded).zip(&self.junk);
        let costs = repeats.map(|((quiet, flooded), junk)| {
            let answers: u64 = junk.iter().map(|report| report.done).sum();
            (total(flooded) - total(quiet)) / answers.max(1) as f64
        });
        costs.collect()
    }
}

const CLOSED: Logins = Logins { how: "", connections: 8, rate: None, callers: None };
const OPEN: Logins = Logins { how: " at 1,000 a second", connections: 32, rate: Some(1_000.0), callers: None };
/// As many as a large cluster has, and far below what Herald asks of STS at most by itself.
const KNOWN: Logins =
    Logins { how: " of known callers at 100 a second", connections: 32, rate: Some(100.0), callers: Some(100) };

const FLOODS: [Flood; 3] = [
    Flood { name: "10,000 junk tokens a second", kinds: &[Kind::Junk], rate: 10_000.0 },
    Flood { name: "3,000 tokens for foreign hosts a second", kinds: &[Kind::Badhost], rate: 3_000.0 },
    Flood {
        name: "10,000 tokens a second that are junk, no base64, for foreign hosts or expired",
        kinds: &[Kind::Junk, Kind::Badb64, Kind::Badhost, Kind::Expired],
        rate: 10_000.0,
    },
];
/// What STS has to be asked about as well; on a server with its own limits towards STS.
const SIGNED: [Flood; 1] = [Flood {
    name: "10,000 tokens a second that are junk, no base64, for foreign hosts, expired or signed badly",
    kinds: &[Kind::Junk, Kind::Badb64, Kind::Badhost, Kind::Expired, Kind::Badsig],
    rate: 10_000.0,
}];
/// Time at STS.
const STS: Duration = Duration::from_millis(5);
/// Connections of each kind in a flood.
const CONNECTIONS: usize = 16;
/// Far from the sessions that other runs use.
const FIRST_KNOWN: u64 = 700_000;
