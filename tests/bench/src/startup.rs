//! `bench startup`: time from spawn to ready, CPU time by then, and memory at rest.
//!
//! A first start, which makes the certificate and compiles policies, is shown apart from the later ones.

use std::fs;

use serde::Serialize;

use crate::{
    output,
    statistics::Spread,
    target::{Start, Target},
    world::{self, World},
};

/// Which targets, how often.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    world: world::Arguments,
    /// Starts of each target after the first.
    #[arg(long, default_value_t = 10)]
    repeat: usize,
}

/// All starts of one target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Starts {
    /// The target.
    pub(crate) target: Target,
    /// With an empty state folder.
    pub(crate) first: Start,
    /// With what the first one left.
    pub(crate) later: Vec<Start>,
}

/// Runs the subcommand.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let world = World::new(&arguments.world, &Target::PAIR).await?;
    let all = time(&world, arguments.repeat).await?;
    output::line("| target | first ready ms | later ready ms | CPU ms | RSS MiB | anonymous MiB | threads |");
    output::line("|---|---|---|---|---|---|---|");
    for starts in &all {
        output::line(starts.row());
    }
    if let Some(file) = &arguments.world.json {
        fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// Starts every target once with an empty state folder and `repeat` times with the same one, in turn.
///
/// # Errors
///
/// When a target does not become ready.
pub(crate) async fn time(world: &World, repeat: usize) -> anyhow::Result<Vec<Starts>> {
    let mut all = Vec::new();
    for site in world.sites() {
        let running = site.target.start(&site.place).await?;
        all.push(Starts { target: site.target, first: running.start, later: Vec::new() });
        running.stop().await;
    }
    for round in 0..repeat {
        for turn in 0..all.len() {
            let index = (turn + round) % all.len();
            let site = &world.sites()[index];
            let running = site.target.start(&site.place).await?;
            all[index].later.push(running.start);
            running.stop().await;
        }
    }
    Ok(all)
}

// === impl Starts ===

impl Starts {
    /// One figure of the later starts.
    pub(crate) fn figures(&self, figure: impl Fn(&Start) -> f64) -> Vec<f64> {
        self.later.iter().map(figure).collect()
    }

    fn row(&self) -> String {
        let spread = |figure: fn(&Start) -> f64| {
            Spread::of(self.figures(figure)).map_or_else(|| "–".to_owned(), |spread| spread.to_string())
        };
        format!(
            "| {} | {:.1} | {} | {} | {} | {} | {} |",
            self.target.name(),
            self.first.ready_ms,
            spread(|start| start.ready_ms),
            spread(|start| start.cpu_ms),
            spread(|start| start.rest.rss_kib as f64 / 1024.0),
            spread(|start| start.rest.anonymous_kib as f64 / 1024.0),
            spread(|start| start.rest.threads as f64),
        )
    }
}
