//! Load bench: Herald beside the least that a webhook and an exec plugin can cost, on loopback.
//!
//! ```text
//!              TokenReviews over TLS             HTTPS_PROXY + SSL_CERT_FILE
//! load ───────────────────────────▶ target ─────────────────────────────────▶ dev STS
//! closed or open loop,              `floor` or `herald`,                      one a target, so that
//! answers compared with the         in turn within each                       connections are counted
//! token's own identity              repeat; /proc sampled                     apart
//! ```
//!
//! [`figures`] runs the table of goals and is what `BENCHMARKS.md` shows; [`matrix`], [`startup`],
//! [`abuse`] and [`cold`] look at one thing closely. The floors check and log next to nothing: they
//! bound what is possible. A figure counts only beside the floor's of the same run.

mod abuse;
mod binaries;
mod clock;
mod cold;
mod figures;
mod load;
mod machine;
mod matrix;
mod output;
mod procfs;
mod run;
mod startup;
mod statistics;
mod target;
mod tls;
mod traffic;
mod world;

use clap::{Parser, Subcommand};

/// Load bench for the webhook and the exec plugin.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every row of the table of goals: measure, floor, Herald, ratio, goal, met or missed.
    Figures(figures::Arguments),
    /// Throughput, latency, CPU time, memory and STS calls over connections, protocol, tokens, policy and STS latency.
    Matrix(matrix::Arguments),
    /// Start-up time and memory at rest.
    Startup(startup::Arguments),
    /// Slow and idle clients, huge bodies, vanishing clients.
    Abuse(abuse::Arguments),
    /// Cold starts of commands in turn: wall and CPU time.
    Cold(cold::Arguments),
    /// Load on one webhook that already runs.
    Load(load::Arguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?.block_on(async {
        match arguments.command {
            Command::Figures(command) => figures::run(&command).await,
            Command::Matrix(command) => matrix::run(&command).await,
            Command::Startup(command) => startup::run(&command).await,
            Command::Abuse(command) => abuse::run(&command).await,
            Command::Cold(command) => cold::run(&command),
            Command::Load(command) => load::run_arguments(command).await,
        }
    })
}

/// Threads of the load generator and the dev STS together.
const WORKERS: usize = 2;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_subcommand_has_a_sound_command_line() {
        super::Arguments::command().debug_assert();
    }
}
