//! `dev-sts`: the dev STS by itself. Prints one JSON line with its port and CA, then serves until it is stopped.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use tests::sts::{ALICE, BOB, Behaviour, EVE, Options, Sts, keys, spawn};

/// AWS STS, CONNECT proxy and metadata stub on one loopback port, with made-up callers.
#[derive(Parser)]
struct Arguments {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the CA's certificate, in PEM.
    #[arg(long, default_value = "dev-sts-ca.pem")]
    ca: PathBuf,
    /// Knobs at the start, as for `/admin/set`: `latency_ms=5&fault=hang&h2=false`.
    #[arg(long, default_value = "")]
    set: String,
    /// Requests to keep for `/admin/requests`.
    #[arg(long, default_value_t = 0)]
    log: usize,
    /// Print the made-up callers' keys on stderr.
    #[arg(long)]
    people: bool,
    /// Stop after so many seconds.
    #[arg(long)]
    for_s: Option<u64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let behaviour = Behaviour::default().with_query(&arguments.set)?;
    let sts = Sts::new(Options { behaviour, log_capacity: arguments.log, ..Options::default() })?;
    sts.write_ca(&arguments.ca)?;
    let address = spawn(sts, arguments.listen).await?;
    if arguments.people {
        print_people()?;
    }
    let ca = std::fs::canonicalize(&arguments.ca)?;
    let line = serde_json::json!({"port": address.port(), "ca": ca, "pid": std::process::id()});
    writeln!(std::io::stdout(), "{line}")?;
    match arguments.for_s {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => tokio::signal::ctrl_c().await?,
    }
    Ok(())
}

fn print_people() -> anyhow::Result<()> {
    let mut stderr = std::io::stderr();
    for person in [ALICE, BOB, EVE] {
        writeln!(stderr, "# {}", person.arn)?;
        for (name, value) in person.environment() {
            writeln!(stderr, "export {name}='{value}'")?;
        }
    }
    writeln!(stderr, "# bob may assume {}", keys::DEPLOYER_ROLE)?;
    Ok(())
}
