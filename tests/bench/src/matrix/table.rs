//! The table of a matrix: medians over repeats, and ratios to the first target's.

use super::{Cell, Row};
use crate::{output, statistics::median, target::Target};

/// Prints one line for each cell and target.
pub(super) fn print(rows: &[Row], targets: &[Target]) {
    output::line(HEAD);
    output::line("|---".repeat(COLUMNS) + "|");
    let mut cells: Vec<Cell> = Vec::new();
    for row in rows {
        if !cells.contains(&row.cell) {
            cells.push(row.cell);
        }
    }
    for cell in cells {
        let mut base = None;
        for &target in targets {
            let runs: Vec<&Row> = rows.iter().filter(|row| row.cell == cell && row.target == target).collect();
            if !runs.is_empty() {
                output::line(line(cell, target, &runs, &mut base));
            }
        }
    }
}

/// Figures of the first target in a cell, which the others are compared with.
#[derive(Clone, Copy)]
struct Base {
    per_second: f64,
    cpu_us: f64,
}

fn line(cell: Cell, target: Target, runs: &[&Row], base: &mut Option<Base>) -> String {
    let middle = |figure: &dyn Fn(&Row) -> f64| median(runs.iter().map(|row| figure(row))).unwrap_or(f64::NAN);
    let sum = |figure: &dyn Fn(&Row) -> u64| runs.iter().map(|row| figure(row)).sum::<u64>();
    let per_second = middle(&|row| row.found.report.per_second);
    let cpu_us = middle(&|row| row.found.report.server.cpu_us);
    let base = *base.get_or_insert(Base { per_second, cpu_us });
    let Cell { latency_ms, protocol, connections, rate } = cell;
    let columns: [String; COLUMNS] = [
        latency_ms.to_string(),
        format!("{protocol:?}"),
        connections.to_string(),
        rate.map_or_else(|| "–".to_owned(), |rate| rate.to_string()),
        target.name().to_owned(),
        runs.len().to_string(),
        format!("{per_second:.0}"),
        format!("{:.2}", middle(&|row| f64::from(row.found.report.p50_us)) / 1000.0),
        format!("{:.2}", middle(&|row| f64::from(row.found.report.p90_us)) / 1000.0),
        format!("{:.2}", middle(&|row| f64::from(row.found.report.p99_us)) / 1000.0),
        format!("{:.1}", middle(&|row| f64::from(row.found.report.max_us)) / 1000.0),
        format!("{cpu_us:.0}"),
        format!("{:.1}", middle(&|row| row.found.report.server.peak_mib)),
        format!("{:.3}", middle(&|row| row.found.calls_per_login())),
        format!("{:.1}", middle(&|row| row.found.connections_per_thousand())),
        sum(&|row| row.found.report.verdicts.refused).to_string(),
        sum(&|row| row.found.report.verdicts.errors()).to_string(),
        sum(&|row| row.found.report.verdicts.wrong()).to_string(),
        format!("{:.0} %", middle(&|row| row.found.report.others_cpu_share) * 100.0),
        format!("{:.2}", per_second / base.per_second),
        format!("{:.2}", cpu_us / base.cpu_us),
    ];
    format!("| {} |", columns.join(" | "))
}

const HEAD: &str = "| STS ms | protocol | connections | rate | target | runs | req/s | p50 ms | p90 ms | p99 ms | max ms \
| CPU µs/req | peak MiB | STS calls/req | STS connections/1,000 req | refused | errors | wrong | others' CPU \
| ratio req/s | ratio CPU |";

const COLUMNS: usize = 21;
