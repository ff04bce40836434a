//! The exec plugin: cold starts of `herald token` beside the least one can cost.

use std::{net::TcpListener, path::Path};

use super::{
    Row, Scale,
    row::Goal::{AtMost, Information},
};
use crate::{
    binaries::Binaries,
    cold::{self, Runs, Subject},
    target::config::CLUSTER_ID,
};

/// Measures with a region in the environment, then without; and for Alibaba Cloud, where none is needed.
pub(super) fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let home = tempfile::tempdir()?;
    // Bound and closed again: a port where connections are refused at once.
    let refused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let with_region = aws(&[("AWS_REGION", "us-east-1")]);
    let nowhere = format!("http://{refused}");
    let without_region = aws(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &nowhere)]);
    let keys = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tBENCHEXAMPLE01"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "benchSecretOfNoRealAccount0001"),
    ];
    let (herald, token) = (&binaries.herald, ["token", "-i", CLUSTER_ID]);
    let alibaba = [&token[..], &["--provider", "alibaba"]].concat();
    let subject = |name, program, arguments: &[&str], environment: &[(&str, &str)], expect| {
        subject(name, program, arguments, home.path(), environment, expect)
    };
    let subjects = [
        subject("floor-token", &binaries.floor_token, &[CLUSTER_ID], &with_region, AWS_TOKEN),
        subject("herald token", herald, &token, &with_region, AWS_TOKEN),
        subject("herald token, no region", herald, &token, &without_region, AWS_TOKEN),
        subject("herald token, Alibaba Cloud", herald, &alibaba, &keys, "k8s-ack-v2."),
    ];
    let [floor, herald, nowhere, alibaba]: [Runs; 4] =
        cold::time(&subjects, scale.cold_starts)?.try_into().expect("one result for each subject");
    let mut rows = by_static_keys("`herald token`, static keys", &floor, &herald);
    rows.extend([
        Row::alone("`herald token`, no region, no metadata service, wall", "ms", nowhere.wall_ms.clone(), AtMost(50.0)),
        Row::alone("`herald token`, no region, no metadata service, failures", "", failures(&nowhere), Information),
    ]);
    rows.extend(by_static_keys("`herald token --provider alibaba`, static keys", &floor, &alibaba));
    Ok(rows)
}

fn by_static_keys(measure: &str, floor: &Runs, herald: &Runs) -> Vec<Row> {
    let row = |what: &str, unit, floor: Vec<f64>, herald: Vec<f64>, limit| {
        Row::pair(format!("{measure}, {what}"), unit, floor, herald, AtMost(limit))
    };
    vec![
        row("wall", "ms", floor.wall_ms.clone(), herald.wall_ms.clone(), 4.0),
        row("CPU", "ms", floor.cpu_ms.clone(), herald.cpu_ms.clone(), 3.0),
        row("failures", "", failures(floor), failures(herald), 0.0),
    ]
}

fn failures(runs: &Runs) -> Vec<f64> {
    vec![runs.failed as f64]
}

/// Static keys of AWS, and more.
fn aws<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIABENCHEXAMPLE0001"),
        ("AWS_SECRET_ACCESS_KEY", "bench/secret+key/of/no/real/account/1234"),
    ];
    keys.into_iter().chain(more.iter().copied()).collect()
}

fn subject(
    name: &str,
    program: &Path,
    arguments: &[&str],
    home: &Path,
    environment: &[(&str, &str)],
    expect: &'static str,
) -> Subject {
    let home = ("HOME".to_owned(), home.display().to_string());
    let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Subject {
        name: name.to_owned(),
        program: program.to_owned(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        environment: environment.chain([home]).collect(),
        expect,
    }
}

const AWS_TOKEN: &str = "k8s-aws-v1.";
