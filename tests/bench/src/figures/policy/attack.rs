//! Logins beside an attack: callers whom a good policy names, while others, as fast as they are answered, make a hostile one
//! behind it compute until its limits stop it. All is one server, alone and attacked in turn.

use std::{sync::Arc, time::Duration};

use super::{AtLeastFloor, AtMost, AtMostFloor, Found, Information, Plan, RATE, Row, Scale, each, p99_ms};
use crate::{
    load::{self, Report, Spec},
    output, run,
    target::{Running, config::FIRST_ATTACKER},
    traffic::{Cases, Kind},
    world::World,
};

/// What was found, one entry a repeat.
#[derive(Default)]
struct Attacked {
    alone: Vec<Found>,
    beside: Vec<Found>,
    /// The attackers' own logins.
    attack: Vec<Report>,
}

/// Measures the same logins alone and beside the attack, again and again.
pub(super) async fn measure(world: &World, herald: &Running, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let plan = Plan { rate: Some(RATE), ..Plan::distinct(CONNECTIONS, Duration::ZERO, scale.duration) };
    let mut found = Attacked::default();
    for repeat in 0..scale.repeats {
        output::progress(format_args!("repeat {repeat}: logins at a fixed rate, alone and beside an attack"));
        found.alone.push(run::run(world, herald, &plan).await?);
        let spec = attack(world, herald, &plan)?;
        let (beside, attack) =
            tokio::join!(run::run(world, herald, &plan), load::run(spec, plan.warm_up, plan.duration, || ()));
        found.beside.push(beside?);
        found.attack.push(attack);
    }
    Ok(found.rows())
}

/// Each attacker has a token of his own, which STS is asked about once.
fn attack(world: &World, herald: &Running, plan: &Plan) -> anyhow::Result<Spec> {
    let kind = (herald.target.cloud(), Kind::Good);
    let cases = Cases::make(kind, ATTACKERS, FIRST_ATTACKER, world.roles, herald.target.naming())?;
    // The one token that comes with it is not sent.
    let spec = run::spec(world, herald, &plan.clone().repeated(1))?;
    Ok(Spec { pid: None, rate: None, connections: ATTACKERS, cases: Arc::new(cases), ..spec })
}

// === impl Attacked ===

impl Attacked {
    fn rows(&self) -> Vec<Row> {
        let name = format!("an attack by {ATTACKERS} callers on a policy that spins");
        let pair = |what: &str, unit, goal, figure: fn(&Found) -> f64| {
            let measure = format!("{what} beside {name} (floor: alone), distinct tokens, 1,000 logins a second");
            Row::pair(measure, unit, each(&self.alone, figure), each(&self.beside, figure), goal)
        };
        let answers = self.attack.iter().map(|attack| attack.per_second).collect();
        vec![
            pair("logins", "1/s", AtLeastFloor(0.9), |found| found.report.per_second),
            pair("99th percentile of latency", "ms", AtMostFloor(2.0), p99_ms),
            Row::alone(format!("mistakes, {name}"), "", vec![self.mistakes() as f64], AtMost(0.0)),
            Row::alone(format!("answers to {name}"), "1/s", answers, Information),
        ]
    }

    /// Answers that the logins do not deserve, and logins without one. An attacker must not be let in, and has an answer.
    fn mistakes(&self) -> u64 {
        let logins = self.alone.iter().chain(&self.beside).map(|found| &found.report.verdicts);
        let logins = logins.map(|verdicts| verdicts.wrong() + verdicts.errors()).sum::<u64>();
        let attack = self.attack.iter().map(|attack| attack.verdicts.authenticated + attack.verdicts.unanswered());
        logins + attack.sum::<u64>()
    }
}

/// Connections of the logins.
const CONNECTIONS: usize = 32;
/// Twice as many as there are instances of policies.
const ATTACKERS: usize = 16;
