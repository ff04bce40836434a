//! `dev-sts`: the dev STS by itself. Prints one JSON line with its port and CA, then serves until it is stopped.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use tests::sts::{
    ALICE, BOB, Behaviour, EVE, Options, Sts,
    alibaba::{DEPLOYER, EXTERNAL_ID, GUARDED, LIN, MEI, OIDC_PROVIDER, OIDC_TOKEN, POD, ROOT, ZOE},
    keys, spawn,
};

/// STS of AWS and Alibaba Cloud, CONNECT proxy and metadata stub on one loopback port, with made-up callers.
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
    let of_aws = [ALICE, BOB, EVE].map(|person| (person.arn, person.environment()));
    let of_alibaba = [LIN, MEI, ROOT, ZOE].map(|person| (person.arn, person.environment()));
    for (arn, environment) in of_aws.into_iter().chain(of_alibaba) {
        writeln!(stderr, "# {arn}")?;
        for (name, value) in environment {
            writeln!(stderr, "export {name}='{value}'")?;
        }
    }
    writeln!(stderr, "# bob may assume {}", keys::DEPLOYER_ROLE)?;
    writeln!(stderr, "# lin may assume {DEPLOYER}, and with the external id {EXTERNAL_ID} {GUARDED}")?;
    writeln!(stderr, "# whoever has the OIDC token '{OIDC_TOKEN}' of {OIDC_PROVIDER} may assume {POD}")?;
    Ok(())
}
