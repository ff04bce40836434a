//! The server as a process: memory at rest, time to ready, and the size of the binary.

use std::{fs, path::Path};

use super::{
    Row, Scale,
    row::Goal::{AtMost, Information},
};
use crate::{
    binaries::Binaries,
    startup::{self, Starts},
    target::{Start, Target},
};

/// Starts each server again and again in the state folder that its first start left.
pub(super) async fn measure(binaries: &Binaries, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let world = super::world(binaries, &[Target::FloorSts, Target::Herald, Target::HeraldPolicy], false).await?;
    let starts = startup::time(&world, scale.starts).await?;
    let [floor, fixed, policy] = &starts[..] else { anyhow::bail!("a start of each of three servers was asked for") };
    let resident = |starts: &Starts| starts.figures(|start| start.rest.rss_kib as f64 / 1024.0);
    let anonymous = |starts: &Starts| starts.figures(|start| start.rest.anonymous_kib as f64 / 1024.0);
    let ready = |starts: &Starts| starts.figures(ready_ms);
    let size = |binary: &Path| anyhow::Ok(vec![fs::metadata(binary)?.len() as f64 / 1e6]);
    Ok(vec![
        Row::pair("RSS at rest, static mappings", "MiB", resident(floor), resident(fixed), AtMost(14.0)),
        Row::pair("RSS at rest, one policy", "MiB", resident(floor), resident(policy), AtMost(24.0)),
        Row::pair("of it anonymous, static mappings", "MiB", anonymous(floor), anonymous(fixed), Information),
        Row::pair("of it anonymous, one policy", "MiB", anonymous(floor), anonymous(policy), Information),
        Row::pair("start to ready, certificate present", "ms", ready(floor), ready(fixed), AtMost(25.0)),
        Row::pair("start to ready, compiled policy present", "ms", ready(floor), ready(policy), AtMost(50.0)),
        Row::alone("first start to ready, static mappings", "ms", vec![ready_ms(&fixed.first)], Information),
        Row::alone("first start to ready, one policy", "ms", vec![ready_ms(&policy.first)], Information),
        Row::pair("stripped release binary", "MB", size(&binaries.floor)?, size(&binaries.herald)?, AtMost(32.0)),
    ])
}

fn ready_ms(start: &Start) -> f64 {
    start.ready_ms
}
