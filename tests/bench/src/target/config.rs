//! Configuration of Herald under test: a mapping table of any size that fits the made tokens, no limit
//! towards STS, an audit log on disk, everything else at its default.

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

/// Policies around the mapping table, by their components.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policies<'a> {
    /// None at all.
    None,
    /// One that names every caller, so that the table is never asked.
    One(&'a Path),
    /// Four that are asked first and know nobody, and one that adds to what the table says for each of [`HOSTILE`].
    Ten {
        /// The component of `session-groups`.
        good: &'a Path,
        /// The component of `hostile`.
        hostile: &'a Path,
    },
}

/// What the hostile ones of [`Policies::Ten`] do, each at every login. All of them fault, and are skipped.
pub(crate) const HOSTILE: [&str; 6] = ["huge-string", "many-groups", "memory", "recurse", "spin", "trap"];

/// Herald's configuration file.
pub(crate) fn herald(cloud: Cloud, mappings: &Mappings, policies: Policies<'_>, audit: &Path) -> String {
    let mut text = format!("clusterID: {CLUSTER_ID}\nserver:\n  sts: {{limits: {{perSecond: 0}}}}\n");
    if cloud == Cloud::Alibaba {
        text.push_str("  providers: [alibaba]\n  alibaba: {region: cn-hangzhou}\n");
    }
    let _ = writeln!(text, "  audit: {{output: {}}}", audit.display());
    policies.write(&mut text);
    mappings.write(cloud, &mut text);
    text
}

// === impl Policies ===

impl Policies<'_> {
    /// The `server` keys of these policies.
    fn write(self, text: &mut String) {
        match self {
            Self::None => {}
            Self::One(component) => one(text, component),
            Self::Ten { good, hostile } => ten(text, good, hostile),
        }
    }
}

fn one(text: &mut String, component: &Path) {
    let _ = write!(
        text,
        "  backendMode: [Policy/session-groups, MountedFile]
  policies:
  - name: session-groups
    kind: map
    component: {component}
    settings:
      rules:
      - match: {{accounts: [\"{ACCOUNT}\"]}}
        username: \"{POLICY_PREFIX}{{{{RoleName}}}}:{{{{SessionName}}}}\"
        groups: [\"bench:viewers\", \"account:{{{{AccountID}}}}\"]
",
        component = component.display()
    );
}

fn ten(text: &mut String, good: &Path, hostile: &Path) {
    text.push_str("  backendMode: [Policy/p0, Policy/p1, Policy/p2, Policy/p3, MountedFile]\n  policies:\n");
    for number in 0..10 - HOSTILE.len() {
        let _ = writeln!(
            text,
            "  - name: p{number}\n    kind: map\n    component: {}\n    settings: {{rules: [{{match: {{accounts: [\"99999999999{number}\"]}}, username: a}}]}}",
            good.display()
        );
    }
    // Little fuel, so that most of what is measured is not the processor's patience.
    for mode in HOSTILE {
        let _ = writeln!(
            text,
            "  - name: {mode}\n    kind: augment\n    onFault: skip\n    component: {}\n    settings: {{mode: {mode}}}\n    limits: {{fuel: 5000000}}",
            hostile.display()
        );
    }
}

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
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_policy_before_the_mapping_table() {
        let mappings = Mappings { kind: MapKind::Role, entries: 1, roles: 1 };
        let text =
            herald(Cloud::Aws, &mappings, Policies::One(Path::new("policy.wasm")), Path::new("/run/audit.jsonl"));
        expect![[r#"
            clusterID: bench
            server:
              sts: {limits: {perSecond: 0}}
              audit: {output: /run/audit.jsonl}
              backendMode: [Policy/session-groups, MountedFile]
              policies:
              - name: session-groups
                kind: map
                component: policy.wasm
                settings:
                  rules:
                  - match: {accounts: ["111122223333"]}
                    username: "policy:{{RoleName}}:{{SessionName}}"
                    groups: ["bench:viewers", "account:{{AccountID}}"]
              mapRoles:
              - roleARN: arn:aws:iam::111122223333:role/bench-role-000000
                username: "bench-role-000000:{{SessionName}}"
                groups: ["bench:viewers", "bench:g0"]
        "#]]
        .assert_eq(&text);
    }
}
