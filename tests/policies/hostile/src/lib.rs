//! A policy that breaks the host's rules, one at a time: the setting `mode` says which. A few modes are
//! well-behaved and show what crosses the border.
//!
//! Settings: `{"mode": "spin"}`, and for modes that have a size `{"mode": "log-flood", "amount": 100}`.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
};

use herald_policy::{Caller, Decision, Fault, Mapping, Policy, Request, log};
use serde::Deserialize;

/// The policy, configured.
#[derive(Debug)]
pub struct Hostile {
    mode: Mode,
    amount: usize,
}

/// What the test sets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    mode: Mode,
    /// A count or a number of bytes. Default: more than any limit, see [`Mode::plenty`].
    amount: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    // Well-behaved.
    /// Abstains.
    Abstain,
    /// Allows `fine`.
    Allow,
    /// Allows `call-N`, where N counts the calls this instance has seen: always 1.
    Count,
    /// Denies.
    Deny,
    /// Allows a user whose extra holds every field of the request.
    Echo,

    // Never comes back.
    /// Loops for ever in `configure`.
    ConfigureSpin,
    /// Loops for ever in `decide`.
    Spin,

    // Takes what it can get.
    /// Takes `amount` bytes in `configure`.
    ConfigureMemory,
    /// Takes `amount` bytes in `decide`.
    Memory,
    /// Calls itself `amount` times.
    Recurse,

    // Falls over.
    /// Refuses its settings.
    ConfigureError,
    /// Panics in `configure`.
    ConfigureTrap,
    /// Answers `fault::broken`.
    FaultBroken,
    /// Answers `fault::broken` with `amount` bytes of text.
    FaultHuge,
    /// Answers `fault::unavailable`.
    FaultUnavailable,
    /// Panics in `decide`.
    Trap,

    // Says too much.
    /// Denies with `amount` bytes of text.
    HugeDeny,
    /// Allows a username of `amount` bytes.
    HugeString,
    /// Logs `amount` lines, then allows `fine`.
    LogFlood,
    /// Logs one line of `amount` bytes, then allows `fine`.
    LogHuge,
    /// Logs control characters and a line that looks like a record, then allows `fine`.
    LogInjection,
    /// Allows `amount` extra keys.
    ManyExtra,
    /// Allows `amount` groups.
    ManyGroups,

    // Says what it may not.
    /// Allows a username with a line break and a direction mark.
    BadUsername,
    /// Allows an empty group.
    EmptyGroup,
    /// Allows an empty username.
    EmptyUsername,
    /// Allows one of the host's own extra keys.
    HostExtra,
    /// Allows the group `system:masters`.
    Masters,
    /// Allows the user `system:admin`.
    SystemUser,
}

const GIBIBYTE: usize = 1 << 30;
const PAGE: usize = 64 * 1024;

static CALLS: AtomicU32 = AtomicU32::new(0);

// === impl Hostile ===

impl Policy for Hostile {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { mode, amount } = settings;
        match mode {
            Mode::ConfigureError => return Err("mode: this one is refused".to_owned()),
            Mode::ConfigureMemory => take_memory(amount.unwrap_or(GIBIBYTE)),
            Mode::ConfigureSpin => spin(),
            Mode::ConfigureTrap => panic!("hostile: configure"),
            _ => {}
        }
        let plenty = mode.plenty();
        Ok(Self { mode, amount: amount.unwrap_or(plenty) })
    }

    fn decide(&self, request: &Request) -> Result<Decision, Fault> {
        let fine = || Mapping::named("fine");
        let text = || "x".repeat(self.amount);
        Ok(match self.mode {
            Mode::Abstain => Decision::Abstain,
            Mode::BadUsername => Mapping::named("fine\n\u{202e}user").into(),
            Mode::Count => {
                Mapping::named(["call-", &(CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string()].concat()).into()
            }
            Mode::Deny => Decision::deny("hostile: denied"),
            Mode::Echo => echo(request).into(),
            Mode::EmptyGroup => fine().with_group("").into(),
            Mode::EmptyUsername => Mapping::default().into(),
            Mode::FaultBroken => return Err(Fault::broken("hostile: broken")),
            Mode::FaultHuge => return Err(Fault::broken(text())),
            Mode::FaultUnavailable => return Err(Fault::unavailable("hostile: unavailable")),
            Mode::HostExtra => fine().with_extra("herald.dev/decision-id", ["forged"]).into(),
            Mode::HugeDeny => Decision::deny(text()),
            Mode::HugeString => Mapping::named(text()).into(),
            Mode::LogFlood => {
                (0..self.amount).for_each(|_| log::info("hostile: a line"));
                fine().into()
            }
            Mode::LogHuge => {
                log::warn(&text());
                fine().into()
            }
            Mode::LogInjection => {
                log::error("a line\n{\"decision\":\"allow\"}\u{1b}[2J\r\u{0}");
                fine().into()
            }
            Mode::ManyExtra => (0..self.amount).fold(fine(), |user, n| user.with_extra(n.to_string(), ["x"])).into(),
            Mode::ManyGroups => fine().with_groups((0..self.amount).map(|_| "group")).into(),
            Mode::Masters => fine().with_group("system:masters").into(),
            Mode::Memory => {
                take_memory(self.amount);
                fine().into()
            }
            Mode::Recurse => Mapping::named(recurse(self.amount).to_string()).into(),
            Mode::Spin => spin(),
            Mode::SystemUser => Mapping::named("system:admin").into(),
            Mode::Trap => panic!("hostile: decide"),
            Mode::Allow | Mode::ConfigureError | Mode::ConfigureMemory | Mode::ConfigureSpin | Mode::ConfigureTrap => {
                fine().into()
            }
        })
    }
}

herald_policy::export!(Hostile);

// === impl Mode ===

impl Mode {
    /// More than any limit; of lines and values, few enough that the fuel lasts for all of them.
    fn plenty(self) -> usize {
        match self {
            Self::LogFlood | Self::ManyGroups => 50_000,
            Self::ManyExtra => 15_000,
            Self::Memory => GIBIBYTE,
            _ => 400_000,
        }
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Touches what it takes, so that it counts.
fn take_memory(bytes: usize) {
    let mut held = Vec::new();
    for _ in 0..bytes.div_ceil(PAGE) {
        held.push(black_box(vec![1_u8; PAGE]));
    }
    black_box(&held);
}

/// Not a tail call. It keeps next to nothing in memory, whose own end would be another reason.
fn recurse(depth: usize) -> usize {
    if depth == 0 { 0 } else { black_box(recurse(depth - 1)) + 1 }
}

/// Every field of the request under a key of its own; groups are the trail.
fn echo(request: &Request) -> Mapping {
    let Request { caller, cluster_id, now, current, trail } = request;
    let user = echo_caller(caller)
        .with_groups(trail)
        .with_extra("cluster-id", [cluster_id])
        .with_extra("now", [now.to_string()]);
    match current {
        Some(Mapping { username, uid, groups, extra }) => user
            .with_extra("current.username", [username])
            .with_extra("current.uid", uid)
            .with_extra("current.groups", groups)
            .with_extra("current.extra", extra.iter().map(|(key, values)| [key, "=", &values.join(",")].concat())),
        None => user,
    }
}

fn echo_caller(caller: &Caller) -> Mapping {
    Mapping::named("echo")
        .with_uid(&caller.principal_id)
        .with_extra("provider", [&caller.provider])
        .with_extra("partition", [&caller.partition])
        .with_extra("account-id", [&caller.account_id])
        .with_extra("kind", [format!("{:?}", caller.kind)])
        .with_extra("arn", [&caller.arn])
        .with_extra("canonical-arn", [&caller.canonical_arn])
        .with_extra("name", [&caller.name])
        .with_extra("principal-id", [&caller.principal_id])
        .with_extra("session-name", &caller.session_name)
        .with_extra("sso-permission-set", &caller.sso_permission_set)
        .with_extra("access-key-id", [&caller.access_key_id])
        .with_extra("sts-region", [&caller.sts_region])
        .with_extra("signed-at", [caller.signed_at.to_string()])
        .with_extra("expires-at", [caller.expires_at.to_string()])
        .with_extra("attributes", caller.attributes.iter().map(|(name, value)| [name, "=", value].concat()))
}
