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

/// Measures with a region in the environment, then without.
pub(super) fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let home = tempfile::tempdir()?;
    // Bound and closed again: a port where connections are refused at once.
    let refused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let with_region = [("AWS_REGION", "us-east-1".to_owned())];
    let without_region = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{refused}"))];
    let floor = subject("floor-token", &binaries.floor_token, &[CLUSTER_ID], home.path(), &with_region);
    let herald =
        |environment| subject("herald token", &binaries.herald, &["token", "-i", CLUSTER_ID], home.path(), environment);
    let [floor, herald, nowhere]: [Runs; 3] =
        cold::time(&[floor, herald(&with_region), herald(&without_region)], scale.cold_starts)?
            .try_into()
            .expect("one result for each subject");
    let failures = |runs: &Runs| vec![runs.failed as f64];
    Ok(vec![
        Row::pair(
            "`herald token`, static keys, wall",
            "ms",
            floor.wall_ms.clone(),
            herald.wall_ms.clone(),
            AtMost(4.0),
        ),
        Row::pair("`herald token`, static keys, CPU", "ms", floor.cpu_ms.clone(), herald.cpu_ms.clone(), AtMost(3.0)),
        Row::pair("`herald token`, static keys, failures", "", failures(&floor), failures(&herald), AtMost(0.0)),
        Row::alone("`herald token`, no region, no metadata service, wall", "ms", nowhere.wall_ms.clone(), AtMost(50.0)),
        Row::alone("`herald token`, no region, no metadata service, failures", "", failures(&nowhere), Information),
    ])
}

fn subject(name: &str, program: &Path, arguments: &[&str], home: &Path, more: &[(&str, String)]) -> Subject {
    let mut environment = vec![
        ("HOME".to_owned(), home.display().to_string()),
        ("AWS_ACCESS_KEY_ID".to_owned(), "AKIABENCHEXAMPLE0001".to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), "bench/secret+key/of/no/real/account/1234".to_owned()),
    ];
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Subject {
        name: name.to_owned(),
        program: program.to_owned(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        environment,
        expect: "k8s-aws-v1.",
    }
}
