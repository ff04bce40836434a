//! The demo behind `cargo quickstart`: logins from end to end on one machine, offline.
//!
//! ```text
//! herald token ──token──▶ this program ──TokenReview──▶ herald server ──▶ dev STS
//! the real exec           in the place of               the real webhook,  in the place
//! plugin                  the API server                with a policy      of AWS
//! ```
//!
//! Everything it needs it builds itself. Every step checks what it says: if one does not hold, the
//! exit code is 1. Whatever way it ends, the processes it started end with it.

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

mod build;
mod page;
mod stay;
mod story;

use page::Page;
use story::Stage;

/// Show a login from end to end on this machine, offline.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo quickstart --")]
struct Arguments {
    /// Keep everything running afterwards, with kubeconfigs to try, until Ctrl-C.
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut page = Page::stdout();
    match run(&arguments, &mut page).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            page.failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, page: &mut Page) -> anyhow::Result<()> {
    // Dropping the story ends the processes it started.
    let stage = tokio::select! {
        told = tell(page) => told?,
        name = stop_signal() => bail!("stopped by {} before the end", name?),
    };
    if arguments.stay {
        stay::describe(page, &stage)?;
        let name = stop_signal().await?;
        page.note(&format!("{name}: all of it is stopped."));
        return Ok(());
    }
    stage.clear().await?;
    page.say("");
    page.note("To keep it all running, with kubeconfigs to try:  cargo quickstart -- --stay");
    Ok(())
}

async fn tell(page: &mut Page) -> anyhow::Result<Stage> {
    let built = build::all(page).await?;
    story::tell(page, &built).await
}

/// Waits for somebody to want this program to end; gives the signal's name.
async fn stop_signal() -> anyhow::Result<&'static str> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok("Ctrl-C"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}
