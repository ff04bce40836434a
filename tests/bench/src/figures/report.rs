//! The report: the table as Markdown, and the page that `BENCHMARKS.md` is.

use super::Row;
use crate::machine::Machine;

/// All rows of a run, and where it was made.
pub(super) struct Report {
    rows: Vec<Row>,
    /// The command that made it, and what that does.
    made_by: String,
    machine: Machine,
}

// === impl Report ===

impl Report {
    /// The report of a run that has just ended.
    pub(super) fn new(rows: Vec<Row>, made_by: String) -> Self {
        Self { rows, made_by, machine: Machine::read() }
    }

    /// Every row with its repeats.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The table and its sum.
    pub(super) fn table(&self) -> String {
        let mut text = String::from(HEAD);
        for row in &self.rows {
            text.push_str("| ");
            text.push_str(&row.columns().join(" | "));
            text.push_str(" |\n");
        }
        let verdicts: Vec<bool> = self.rows.iter().flat_map(Row::verdicts).flatten().collect();
        let met = verdicts.iter().filter(|met| **met).count();
        text.push_str(&format!("\n{met} of {} goals met.\n", verdicts.len()));
        text
    }

    /// The whole page.
    pub(super) fn page(&self) -> String {
        INTRODUCTION.replace("{machine}", &self.machine.to_string()).replace("{made by}", &self.made_by)
            + &self.table()
            + NOTES
    }
}

const HEAD: &str = "\
| measure | floor | Herald | ratio | goal | |
|---|---|---|---|---|---|
";

const INTRODUCTION: &str = "\
# Benchmarks

Made by {made by}.

{machine}. Load generator, dev STS and the server under test share these cores; everything is on loopback.

The *floor* is the least that a webhook (`tests/bench/src/bin/floor.rs`: axum, rustls and one pooled STS call)
and an exec plugin (`floor-token.rs`) can cost in Rust. It checks and records next to nothing, so it bounds what
is possible. Floor and Herald take turns within each repeat. Figures are medians with the smallest and largest
in parentheses; a ratio is Herald's figure to the floor's of the same repeat. Herald runs with its defaults,
an audit line for each login, and, where a row does not say otherwise, no rate limit towards STS. The floor has the system's allocator, Herald mimalloc.

";

const NOTES: &str = "
## Reading the figures

- Goals in microseconds and milliseconds are for a machine that does nothing else; the rows that say what other
  programs had tell how far this run was from that. A ratio to the floor holds on a busy machine too.
- CPU time for each login is the figure to trust on a busy machine: logins a second and latencies also pay for
  the load generator and the dev STS.
- *Distinct tokens* were never seen before, so neither cache nor single flight helps: the row with STS calls for each
  login shows it. *Repeated tokens* are answered from the verified-caller cache; mappings and policies run afresh.
- Tokens are 1.7 kB long, those of Alibaba Cloud 2.3 kB, as temporary credentials make them. Timers have a grain of 1 ms: 5 ms at STS are 6 to 7 ms.
- Resident memory has the pages of the binary in it that the kernel maps beside those which are needed, since Linux 6.18 as large as they happen
  to lie in the page cache: the same binary has a megabyte more or less after it was copied. The rows of anonymous memory do not depend on that.
- Mistakes are answers that name somebody else than the token's own caller, refusals of good tokens, and requests
  without an answer, over all runs of a part. Another status than 200 is no answer, whatever is in it. When the time of a load is over no request begins any
  more, and what is under way has two seconds, or six beside an STS that does not answer: whatever has not come back by then never did, and counts as a request
  without an answer. What comes back in between is in no rate and no latency, and a mistake only if it is wrong.
- *Logins without an answer* are broken connections, requests that never came back, and answers that are no TokenReview. HTTP 429 and 503 are answers there:
  they tell the API server to ask again.
- Ten policies are six ready-made ones, four that know nobody and two that add groups by a table, and four hostile ones that fault at every login and
  are skipped; another server has four others, and the larger figure counts. `guard` cannot be beside policies that are skipped, `ec2-node` needs EC2, and `expression` has an engine in it.
- *An attack* is 16 callers on connections of their own, as fast as they are answered. A good policy names everybody else and is asked first, with its limits at
  their defaults; only the attackers come to the one behind it, which computes until its limits stop it. Logins come at a fixed rate, as beside a shadow,
  since as many as are answered pay for every processor that others have.
- Where a row has two goals, the second is the stricter one that is to be reached next.
- Rows about floods, faults and changes have Herald without them in the floor's column. *Idle* is its memory when nobody has asked for two
  seconds, after three loads of 32 connections with distinct tokens. One such load goes before each later reading too, so that both have the same caches,
  pools and pages of the binary in them, and no larger load stands in the floor's column.
- The clock is stepped by a library in front of the C library, and the state folder is closed in mounts of the server's own: those rows are
  of a server of their own; where it cannot be started so, one row says that they are not measured. The rows about an STS
  that flaps are of one of their own, too. There, whoever comes as fast as he is answered comes most when he is told at once to come again, so that the share of
  logins that are let in has its goal at a fixed rate. Herald leaves an STS alone for two seconds that has failed ten times in a row, so that of the half of
  the time in which it is good a part is left: good and bad moments are 0.7 s long in the closed loop, and 1.5 s at the fixed rate.
- A flood is an open loop beside good logins with 5 ms at STS: in a closed loop of 8 connections, and at 1,000 a second, which is an open
  loop. The closed one is bound by the time at STS, so that a loss of CPU hardly shows in its number; at a fixed rate latency shows it.
  Memory at the end of the last flood of a kind is compared with that at the end of the first, when all caches of bounded size are full, so that what each
  flood leaves adds up.
  The load generator makes the flood on the same processors, and what it takes of them the logins beside it lose as well. Bad signatures are for STS to
  tell: that server has the limits towards STS that every server has, the dev STS checks signatures, and good logins are new tokens of people who have
  logged in before.
- An instance of a policy is fresh in each decision. *Both processors loaded* is beside a process that decides by the same policy without a pause.
- A change is in force when the process log says so, beside logins on 8 connections that are kept and 2 that are made anew for each login; all of
  them trust what the webhook kubeconfig names and nobody else, and each new certificate has been shown to one of them. The rules of
  `expression` change beside 1,000 logins a second and 100 on new connections, since what is compiled is so with the lowest priority;
  nearly all of these are to be answered. Of the others, which come as fast as they are answered, a quarter is to be left of as many as there were before the first change.
- Each of the 1,000 garbled ConfigMaps is read before the next is written.
- kubectl is run against an API server of Kubernetes' own libraries (`tests/e2e/kube/`), with the plugin and with one token in
  the kubeconfig for all runs. Each run with the plugin is in a second of its own, so that nobody has seen its token and STS is asked, which checks
  signatures here; without Go one row says that they are not measured.
- Rows about large mapping tables have Herald with ten mappings in the floor's column, and those about logins from
  Alibaba Cloud have Herald with logins from AWS.
- `cargo run --release --bin bench -- matrix` goes through all of 1, 8, 32 and 128 connections, HTTP/1.1 and HTTP/2, distinct and repeated tokens,
  without and with a policy, 0, 5, 20 and 50 ms at STS, with ratios to a bare echo as well; with its options it looks at one thing closely, as `startup`, `abuse`,
  `cold` and `load` do: other rates, faults of STS, mapping tables, token mixes, unfriendly clients.
";
