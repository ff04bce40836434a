//! The tables of a matrix: medians over repeats, those of Herald with their ratios to the echo's and to the floor's.

use std::fmt::Write as _;

use super::{Cell, Row, Way};
use crate::{run::Found, statistics::median, target::Target};

/// One column: its name, its figure, and with how many decimals it is shown.
type Column = (&'static str, fn(&Found) -> f64, usize);

/// All runs of one target in one cell.
struct Line<'a> {
    cell: Cell,
    target: Target,
    runs: Vec<&'a Found>,
}

/// What Herald's figures are compared with.
#[derive(Clone, Copy)]
struct Bases<'a> {
    echo: Option<&'a Line<'a>>,
    floor: Option<&'a Line<'a>>,
}

/// Herald's lines, one a cell and target, then those of the floors; in front of them what a `quick` run leaves out.
pub(super) fn of(rows: &[Row], quick: bool) -> String {
    let lines = lines(rows);
    let (herald, floors): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.target.is_herald());
    let mut text = String::from(if quick && !lines.is_empty() { QUICK } else { "" });
    if !herald.is_empty() {
        text.push_str("Herald (ratio to the echo · ratio to the floor):\n\n");
        text.push_str(&head());
        for line in herald {
            text.push_str(&line.text(Some(line.bases(&lines))));
        }
        text.push('\n');
    }
    if !floors.is_empty() {
        text.push_str("Floors:\n\n");
        text.push_str(&head());
        floors.into_iter().for_each(|line| text.push_str(&line.text(None)));
    }
    text
}

/// Cells and targets in the order in which they were first run.
fn lines(rows: &[Row]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in rows {
        let known = lines.iter_mut().find(|line| line.cell == row.cell && line.target == row.target);
        match known {
            Some(line) => line.runs.push(&row.found),
            None => lines.push(Line { cell: row.cell, target: row.target, runs: vec![&row.found] }),
        }
    }
    lines
}

fn head() -> String {
    let names: Vec<&str> = FIGURES.iter().map(|(name, _, _)| *name).collect();
    let columns = WHERE.len() + FIGURES.len() + BESIDES.len();
    let names = [&WHERE[..], &names, &BESIDES].concat().join(" | ");
    format!("| {names} |\n{}|\n", "|---".repeat(columns))
}

// === impl Line ===

impl<'a> Line<'a> {
    /// The echo of the same way of sending, of the same cell if it was run there; and the floor of the same cell.
    fn bases(&self, lines: &'a [Self]) -> Bases<'a> {
        let find = |is: &dyn Fn(&Line<'_>) -> bool| lines.iter().find(|line| is(line));
        let is_echo = |line: &Line<'_>| line.target == Target::FloorEcho;
        let same_cell = find(&|line| is_echo(line) && line.cell == self.cell);
        let is_floor = |target| matches!(target, Target::FloorCached | Target::FloorSts);
        Bases {
            echo: same_cell.or_else(|| find(&|line| is_echo(line) && line.cell.way == self.cell.way)),
            floor: find(&|line| is_floor(line.target) && line.cell == self.cell),
        }
    }

    fn text(&self, bases: Option<Bases<'_>>) -> String {
        let mut text = format!("| {} |", self.place().join(" | "));
        for (_, figure, decimals) in FIGURES {
            let own = self.middle(figure);
            let _ = write!(text, " {own:.decimals$}");
            if let Some(Bases { echo, floor }) = bases {
                let [echo, floor] = [echo, floor].map(|base| ratio(own, base.map(|line| line.middle(figure))));
                let _ = write!(text, " ({echo} · {floor})");
            }
            text.push_str(" |");
        }
        let sum = |count: &dyn Fn(&Found) -> u64| self.runs.iter().map(|run| count(run)).sum::<u64>();
        let others = self.middle(|found| found.report.others_cpu_share) * 100.0;
        let refused = sum(&|found| found.report.verdicts.refused);
        let _ = writeln!(text, " {refused} | {} | {others:.0} % |", sum(&|found| self.mistakes(found)));
        text
    }

    fn place(&self) -> [String; WHERE.len()] {
        let Cell { way: Way { connections, protocol, rate }, tokens, latency_ms } = self.cell;
        let rate = rate.map(|rate| format!(", {rate}/s")).unwrap_or_default();
        [
            format!("{connections} {protocol:?}{rate}"),
            if tokens == 0 { "distinct".to_owned() } else { format!("{tokens} repeated") },
            latency_ms.to_string(),
            self.target.name().to_owned(),
        ]
    }

    /// Answers that were not what the token's caller deserves, and requests without one. The echo has one answer for all.
    fn mistakes(&self, found: &Found) -> u64 {
        let verdicts = &found.report.verdicts;
        verdicts.errors() + if self.target == Target::FloorEcho { 0 } else { verdicts.wrong() }
    }

    fn middle(&self, figure: impl Fn(&Found) -> f64) -> f64 {
        median(self.runs.iter().map(|run| figure(run))).unwrap_or(f64::NAN)
    }
}

fn ratio(own: f64, base: Option<f64>) -> String {
    match base.filter(|base| *base > 0.0).map(|base| own / base) {
        None => "–".to_owned(),
        Some(ratio) if ratio >= 10.0 => format!("{ratio:.0}"),
        Some(ratio) => format!("{ratio:.2}"),
    }
}

/// What a quick run leaves out.
const QUICK: &str = "\
Left out by `--quick`: all repeats but one, repeated tokens at other STS latencies than the first, and the echo but for the first cell of
each number of connections, protocol and rate, to which the echo's ratios of all cells are.

";
/// What a line is about.
const WHERE: [&str; 4] = ["connections", "tokens", "STS ms", "target"];

const FIGURES: [Column; 7] = [
    ("logins/s", |found| found.report.per_second, 0),
    ("p50 ms", |found| f64::from(found.report.p50_us) / 1000.0, 2),
    ("p99 ms", |found| f64::from(found.report.p99_us) / 1000.0, 2),
    ("p99.9 ms", |found| f64::from(found.report.p999_us) / 1000.0, 2),
    ("CPU µs/login", |found| found.report.server.cpu_us, 1),
    ("RSS MiB", |found| found.report.server.peak_mib, 1),
    ("STS calls/login", Found::calls_per_login, 2),
];

/// What says whether a line is to be trusted.
const BESIDES: [&str; 3] = ["refused", "mistakes", "others' CPU"];

#[cfg(test)]
mod tests {
    use ::tests::sts::Stats;
    use expect_test::expect;

    use super::*;
    use crate::load::{Protocol, Report};

    fn row(target: Target, tokens: usize, latency_ms: u64, per_second: f64) -> Row {
        let way = Way { connections: 8, protocol: Protocol::H1, rate: None };
        let (cell, done) = (Cell { way, tokens, latency_ms }, 100);
        let mut report = Report { per_second, done, p50_us: 1500, p999_us: 22_500, ..Report::default() };
        report.verdicts.wrong_identity = 7;
        let sts = Stats { requests: if tokens == 0 { 100 } else { 0 }, ..Stats::default() };
        Row { cell, target, repeat: 0, found: Found { report, sts } }
    }

    #[test]
    fn herald_is_compared_with_the_echo_and_with_the_floor_of_its_cell() {
        let rows = [
            row(Target::FloorEcho, 0, 0, 1000.0),
            row(Target::FloorSts, 0, 0, 200.0),
            row(Target::Herald, 0, 0, 100.0),
            row(Target::Herald, 0, 0, 140.0),
            row(Target::Herald, 0, 0, 20_000.0),
            row(Target::FloorSts, 0, 5, 100.0),
            row(Target::HeraldPolicy, 0, 5, 50.0),
            row(Target::Herald, 200, 0, 300.0),
        ];
        expect![[r#"
            Herald (ratio to the echo · ratio to the floor):

            | connections | tokens | STS ms | target | logins/s | p50 ms | p99 ms | p99.9 ms | CPU µs/login | RSS MiB | STS calls/login | refused | mistakes | others' CPU |
            |---|---|---|---|---|---|---|---|---|---|---|---|---|---|
            | 8 H1 | distinct | 0 | herald | 140 (0.14 · 0.70) | 1.50 (1.00 · 1.00) | 0.00 (– · –) | 22.50 (1.00 · 1.00) | 0.0 (– · –) | 0.0 (– · –) | 1.00 (1.00 · 1.00) | 0 | 21 | 0 % |
            | 8 H1 | distinct | 5 | herald-policy | 50 (0.05 · 0.50) | 1.50 (1.00 · 1.00) | 0.00 (– · –) | 22.50 (1.00 · 1.00) | 0.0 (– · –) | 0.0 (– · –) | 1.00 (1.00 · 1.00) | 0 | 7 | 0 % |
            | 8 H1 | 200 repeated | 0 | herald | 300 (0.30 · –) | 1.50 (1.00 · –) | 0.00 (– · –) | 22.50 (1.00 · –) | 0.0 (– · –) | 0.0 (– · –) | 0.00 (0.00 · –) | 0 | 7 | 0 % |

            Floors:

            | connections | tokens | STS ms | target | logins/s | p50 ms | p99 ms | p99.9 ms | CPU µs/login | RSS MiB | STS calls/login | refused | mistakes | others' CPU |
            |---|---|---|---|---|---|---|---|---|---|---|---|---|---|
            | 8 H1 | distinct | 0 | floor-echo | 1000 | 1.50 | 0.00 | 22.50 | 0.0 | 0.0 | 1.00 | 0 | 0 | 0 % |
            | 8 H1 | distinct | 0 | floor-sts | 200 | 1.50 | 0.00 | 22.50 | 0.0 | 0.0 | 1.00 | 0 | 7 | 0 % |
            | 8 H1 | distinct | 5 | floor-sts | 100 | 1.50 | 0.00 | 22.50 | 0.0 | 0.0 | 1.00 | 0 | 7 | 0 % |
        "#]].assert_eq(&of(&rows, false));
        assert!(of(&rows, true).starts_with("Left out by `--quick`: "));
        assert_eq!(of(&[], true), "");
    }
}
