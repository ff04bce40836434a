//! Configuration of Herald under test: a mapping table of any size that fits the made tokens, policies around it, no
//! limit towards STS unless its own are asked for, an audit log on disk, everything else at its default.

use std::{fmt::Write as _, path::Path};

use ::tests::tokens::{ACCOUNT, alibaba, role_name};
use clap::ValueEnum;

use crate::traffic::{Cloud, POLICY_PREFIX};

/// What the mapping table is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum MapKind {
    /// Role mappings, each token's role among them.
    Role,
    /// User mappings, and one role mapping for each role in use.
    User,
    /// Permission-set mappings, and one role mapping for each role in use.
    Sso,
}

/// A mapping table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mappings {
    /// What it is made of.
    pub(crate) kind: MapKind,
    /// How many entries it has.
    pub(crate) entries: u64,
    /// How many roles the tokens are spread over.
    pub(crate) roles: u64,
}

/// Policies around the mapping table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policies {
    /// `session-groups`, which names every caller but attackers, whose sessions are numbered from [`FIRST_ATTACKER`]; then
    /// `hostile`, which computes until its limits stop it.
    Attacked,
    /// `expression`, which names every caller by rules; the caller's groups tell their edition.
    Expression {
        /// The number in the group.
        edition: usize,
    },
    /// None at all.
    None,
    /// `session-groups`, which names every caller, so that the table is never asked; likewise.
    One {
        /// The number in the group.
        edition: usize,
    },
    /// `hostile` in shadow mode, which computes at every login until its limits stop it.
    Shadow,
    /// `account-tiers`, which adds what [`ACCOUNTS`] says of the caller's account.
    Table,
    /// Six ready-made ones, of which four are asked first and know nobody and two add what their tables say; and
    /// `hostile`, four times. `guard` is not among them: beside a guard no fault is skipped. Nor are `ec2-node`, which
    /// asks EC2, and `expression`, which has an engine in it.
    Ten {
        /// What the hostile ones do, each at every login. All of them fault, and are skipped.
        hostile: [&'static str; 4],
    },
}

/// What Herald under test is configured with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config<'a> {
    /// Whose callers it takes.
    pub(crate) cloud: Cloud,
    /// Whether it has its own limits towards STS, instead of none a second.
    pub(crate) limited: bool,
    /// Its mapping table.
    pub(crate) mappings: Mappings,
    /// Its policies.
    pub(crate) policies: Policies,
    /// The folder of their components.
    pub(crate) components: &'a Path,
    /// Where its audit log goes.
    pub(crate) audit: &'a Path,
}

/// What a hostile policy does that faults, by the four of [`Policies::Ten`].
pub(crate) const HOSTILE: [[&str; 4]; 2] =
    [["huge-string", "many-groups", "memory", "recurse"], ["fault-huge", "many-extra", "spin", "trap"]];
/// The number of the first attacker's session. It has a digit less than those of the logins beside him.
pub(crate) const FIRST_ATTACKER: u64 = 800_000;
/// Of whom that does not hold.
const NO_ATTACKERS: &str = ", sessionName: \"sess-???????*\"";
/// The table of `account-tiers`, beside the configuration.
pub(crate) const ACCOUNTS: &str = "accounts.yaml";
/// The table of `break-glass`, likewise.
pub(crate) const GRANTS: &str = "grants.yaml";

/// What [`ACCOUNTS`] says.
pub(crate) fn accounts(edition: usize) -> String {
    format!("\"{ACCOUNT}\": {{tier: bench, edition: e{edition}}}\n")
}

// === impl Config ===

impl Config<'_> {
    /// The configuration file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("clusterID: {CLUSTER_ID}\nserver:\n");
        if !self.limited {
            text.push_str("  sts: {limits: {perSecond: 0}}\n");
        }
        if self.cloud == Cloud::Alibaba {
            text.push_str("  providers: [alibaba]\n  alibaba: {region: cn-hangzhou}\n");
        }
        let _ = writeln!(text, "  audit: {{output: {}}}", self.audit.display());
        self.policies.write(self.components, &mut text);
        self.mappings.write(self.cloud, &mut text);
        text
    }
}

// === impl Policies ===

impl Policies {
    /// Their names, which are their folders' in the repository.
    pub(crate) fn components(self) -> &'static [&'static str] {
        match self {
            Self::Attacked => &["hostile", "session-groups"],
            Self::Expression { .. } => &["expression"],
            Self::None => &[],
            Self::One { .. } => &["session-groups"],
            Self::Shadow => &["hostile"],
            Self::Table => &["account-tiers"],
            Self::Ten { .. } => &[
                "account-tiers",
                "arn-globs",
                "break-glass",
                "hostile",
                "session-groups",
                "sso-organization",
                "sso-permission-sets",
            ],
        }
    }

    /// The `server` keys of these policies, whose components are in `folder`.
    fn write(self, folder: &Path, text: &mut String) {
        let component = |name: &str| folder.join(name).with_extension("wasm").display().to_string();
        let _ = match self {
            Self::None => Ok(()),
            Self::Attacked => {
                let hostile = component("hostile");
                let good = write_session_groups(text, component, "Policy/hostile, ", NO_ATTACKERS, 0);
                good.and_then(|()| {
                    writeln!(text, "  - {{name: hostile, kind: map, component: {hostile}, settings: {{mode: spin}}}}")
                })
            }
            Self::Expression { edition } => write!(
                text,
                "  backendMode: [Policy/expression, MountedFile]
  policies:
  - name: expression
    kind: map
    component: {}
    settings:
      rules:
      - match: caller.accountId == \"{ACCOUNT}\"
        username: '\"{POLICY_PREFIX}\" + caller.name + \":\" + caller.sessionName'
        groups: '[\"bench:viewers\", \"bench:edition-{edition}\"]'
",
                component("expression")
            ),
            Self::One { edition } => write_session_groups(text, component, "", "", edition),
            Self::Shadow => writeln!(
                text,
                "  policies:\n  - {{name: hostile, kind: augment, mode: shadow, component: {}, settings: {{mode: spin}}}}",
                component("hostile")
            ),
            Self::Table => writeln!(
                text,
                "  policies:\n  - {{name: tiers, kind: augment, component: {}, tables: {{accounts: {ACCOUNTS}}}}}",
                component("account-tiers")
            ),
            Self::Ten { hostile } => write_ten(text, component, &hostile),
        };
    }
}

/// `session-groups`, then the policies `next`, then the mapping table; its only rule has these conditions `more`.
fn write_session_groups(
    text: &mut String,
    component: impl Fn(&str) -> String,
    next: &str,
    more: &str,
    edition: usize,
) -> std::fmt::Result {
    write!(
        text,
        "  backendMode: [Policy/session-groups, {next}MountedFile]
  policies:
  - name: session-groups
    kind: map
    component: {}
    settings:
      rules:
      - match: {{accounts: [\"{ACCOUNT}\"]{more}}}
        username: \"{POLICY_PREFIX}{{{{RoleName}}}}:{{{{SessionName}}}}\"
        groups: [\"bench:edition-{edition}\", \"account:{{{{AccountID}}}}\"]
",
        component("session-groups")
    )
}

fn write_ten(text: &mut String, component: impl Fn(&str) -> String, hostile: &[&str]) -> std::fmt::Result {
    text.push_str("  backendMode: [");
    STRANGERS.iter().try_for_each(|(name, _)| write!(text, "Policy/{name}, "))?;
    text.push_str("MountedFile]\n  policies:\n");
    for (name, more) in STRANGERS {
        writeln!(text, "  - name: {name}\n    kind: map\n    component: {}\n    {more}", component(name))?;
    }
    for (name, table, file) in [("account-tiers", "accounts", ACCOUNTS), ("break-glass", "grants", GRANTS)] {
        writeln!(
            text,
            "  - name: {name}\n    kind: augment\n    component: {}\n    tables: {{{table}: {file}}}",
            component(name)
        )?;
    }
    // Little fuel, so that most of what is measured is not the processor's patience.
    hostile.iter().try_for_each(|mode| {
        writeln!(
            text,
            "  - name: {mode}\n    kind: augment\n    onFault: skip\n    component: {}\n    settings: {{mode: {mode}}}\n    limits: {{fuel: 5000000}}",
            component("hostile")
        )
    })
}

/// Ready-made policies with settings, and a table, that are about no caller of the bench.
const STRANGERS: [(&str, &str); 4] = [
    ("arn-globs", r#"settings: {rules: [{match: {accounts: ["999999999999"], role: "*"}, username: stranger}]}"#),
    ("session-groups", r#"settings: {rules: [{match: {accounts: ["999999999999"]}, username: stranger}]}"#),
    ("sso-organization", "settings: {permissionSets: [{name: Admin}]}\n    tables: {accounts: accounts.yaml}"),
    ("sso-permission-sets", r#"settings: {accounts: ["999999999999"], permissionSets: [{name: Admin}]}"#),
];

// === impl Mappings ===

impl Mappings {
    /// The `server` keys of this table.
    fn write(&self, cloud: Cloud, text: &mut String) {
        let principals = match cloud {
            Cloud::Alibaba => format!("acs:ram::{}", alibaba::ACCOUNT),
            Cloud::Aws => format!("arn:aws:iam::{ACCOUNT}"),
        };
        let roles = if self.kind == MapKind::Role { self.entries.max(self.roles) } else { self.roles };
        text.push_str("  mapRoles:\n");
        for role in 0..roles {
            let name = role_name(role);
            let _ = writeln!(
                text,
                "  - roleARN: {principals}:role/{name}\n    username: \"{name}:{{{{SessionName}}}}\"\n    groups: [\"bench:viewers\", \"bench:g{}\"]",
                role % 100
            );
        }
        match self.kind {
            MapKind::Role => {}
            MapKind::Sso => self.write_sso(text),
            MapKind::User => self.write_users(text),
        }
    }

    fn write_sso(&self, text: &mut String) {
        for entry in 0..self.entries {
            let _ = writeln!(
                text,
                "  - sso:\n      permissionSetName: Set{entry:06}\n      accountID: \"{ACCOUNT}\"\n    username: sso{entry}\n    groups: [\"bench:viewers\"]"
            );
        }
    }

    fn write_users(&self, text: &mut String) {
        text.push_str("  mapUsers:\n");
        for entry in 0..self.entries {
            let _ = writeln!(
                text,
                "  - userARN: arn:aws:iam::{ACCOUNT}:user/bench-user-{entry:06}\n    username: bench-user-{entry:06}\n    groups: [\"bench:viewers\"]"
            );
        }
    }
}

/// The cluster id of all runs.
pub(crate) const CLUSTER_ID: &str = "bench";

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(policies: Policies, limited: bool, expected: &Expect) {
        let mappings = Mappings { kind: MapKind::Role, entries: 1, roles: 1 };
        let (components, audit) = (Path::new("policies"), Path::new("/run/audit.jsonl"));
        expected.assert_eq(&Config { cloud: Cloud::Aws, limited, mappings, policies, components, audit }.text());
    }

    #[test]
    fn a_policy_before_the_mapping_table() {
        check(
            Policies::One { edition: 0 },
            false,
            &expect![[r#"
                clusterID: bench
                server:
                  sts: {limits: {perSecond: 0}}
                  audit: {output: /run/audit.jsonl}
                  backendMode: [Policy/session-groups, MountedFile]
                  policies:
                  - name: session-groups
                    kind: map
                    component: policies/session-groups.wasm
                    settings:
                      rules:
                      - match: {accounts: ["111122223333"]}
                        username: "policy:{{RoleName}}:{{SessionName}}"
                        groups: ["bench:edition-0", "account:{{AccountID}}"]
                  mapRoles:
                  - roleARN: arn:aws:iam::111122223333:role/bench-role-000000
                    username: "bench-role-000000:{{SessionName}}"
                    groups: ["bench:viewers", "bench:g0"]
            "#]],
        );
    }

    #[test]
    fn a_hostile_policy_that_is_asked_about_attackers_alone() {
        check(
            Policies::Attacked,
            false,
            &expect![[r#"
                clusterID: bench
                server:
                  sts: {limits: {perSecond: 0}}
                  audit: {output: /run/audit.jsonl}
                  backendMode: [Policy/session-groups, Policy/hostile, MountedFile]
                  policies:
                  - name: session-groups
                    kind: map
                    component: policies/session-groups.wasm
                    settings:
                      rules:
                      - match: {accounts: ["111122223333"], sessionName: "sess-???????*"}
                        username: "policy:{{RoleName}}:{{SessionName}}"
                        groups: ["bench:edition-0", "account:{{AccountID}}"]
                  - {name: hostile, kind: map, component: policies/hostile.wasm, settings: {mode: spin}}
                  mapRoles:
                  - roleARN: arn:aws:iam::111122223333:role/bench-role-000000
                    username: "bench-role-000000:{{SessionName}}"
                    groups: ["bench:viewers", "bench:g0"]
            "#]],
        );
    }

    #[test]
    fn a_policy_behind_the_mapping_table_with_the_limits_of_every_server() {
        check(
            Policies::Table,
            true,
            &expect![[r#"
                clusterID: bench
                server:
                  audit: {output: /run/audit.jsonl}
                  policies:
                  - {name: tiers, kind: augment, component: policies/account-tiers.wasm, tables: {accounts: accounts.yaml}}
                  mapRoles:
                  - roleARN: arn:aws:iam::111122223333:role/bench-role-000000
                    username: "bench-role-000000:{{SessionName}}"
                    groups: ["bench:viewers", "bench:g0"]
            "#]],
        );
    }

    #[test]
    fn ten_policies_are_ten() {
        for hostile in HOSTILE {
            let mut text = String::new();
            Policies::Ten { hostile }.write(Path::new(""), &mut text);
            assert_eq!(text.matches("- name: ").count(), 10, "{text}");
            assert_eq!(text.matches("onFault: skip").count(), hostile.len());
            assert!(Policies::Ten { hostile }.components().iter().all(|name| text.contains(&format!("{name}.wasm"))));
        }
    }
}
