//! Finding: one thing to say about a file, with a stable id, its place and what to write instead.
//!
//! The server's warnings and what `herald check-config` prints are this one list: the server logs what is
//! worse than a note, and refuses the file if a finding says so.

use std::fmt;

use serde::{Serialize, Serializer};

use super::error::{Position, Problem, whole};

/// Something to say about a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which check found it.
    pub id: CheckId,
    /// How bad it is.
    pub severity: Severity,
    /// The file as a whole is not put in force because of it.
    pub refuses: bool,
    /// Where it stands.
    pub at: Position,
    /// The key, e.g. `server.mapRoles[3].username`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what comes of it.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing has to change.
    Note,
    /// In force, and probably not what was meant.
    Warning,
    /// Not in force: the entry, or the file as a whole, is left out.
    Error,
}

/// What has been found in one file so far, with a bound.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    /// How many more there are, and the worst of them.
    more: usize,
    worst: Option<Severity>,
    /// Whether a finding refuses the file as a whole.
    refused: bool,
}

/// Most findings of one severity that are kept with their text, so that notes do not crowd out errors.
const MAX_FINDINGS: usize = 1_000;

/// What a finding about a list starts with of which no entry is in force.
const WHOLE_LIST: &str = "the whole list is left out: ";

macro_rules! checks {
    ($($(#[doc = $about:literal])+ $name:ident = $id:literal;)*) => {
        /// The stable ids of all checks, as `check-config` prints them.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum CheckId {
            $($(#[doc = $about])+ $name,)*
        }

        impl CheckId {
            /// Every check there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The id.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What the check is about, in one sentence.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => concat!($($about),+).trim_ascii(),)* }
            }
        }
    };
}

checks! {
    /// A value is not what its key asks for.
    InvalidValue = "invalid-value";
    /// An entry has ended by its own `notAfter`.
    Ended = "ended";
    /// An account id is 12 or 16 digits, written as text.
    AccountId = "account-id";
    /// A key is given twice.
    DuplicateKey = "duplicate-key";
    /// One principal is mapped by two entries, and the first stays in force.
    DuplicatePrincipal = "duplicate-principal";
    /// A principal is named by a text that is no principal's ARN.
    InvalidArn = "invalid-arn";
    /// A permission set is not named as IAM Identity Center names it.
    InvalidPermissionSet = "invalid-permission-set";
    /// A key is missing.
    MissingKey = "missing-key";
    /// More was found than is told.
    More = "more";
    /// A name of Kubernetes is written in another case, and Kubernetes tells them apart.
    NameCase = "name-case";
    /// An entry with `{{EC2PrivateDNSName}}` has EC2 asked for the instance, which Herald must be allowed to.
    NeedsEc2 = "needs-ec2";
    /// Nobody becomes an administrator.
    NoAdministrator = "no-administrator";
    /// A key or an entry is understood and has no effect.
    NoEffect = "no-effect";
    /// A node's username is not the one that Kubernetes gives nodes.
    NodeName = "node-name";
    /// No node is let in.
    NoNodes = "no-nodes";
    /// A template asks for the name of a session, and the principal never has one.
    NoSession = "no-session";
    /// An entry gives an empty username.
    NoUsername = "no-username";
    /// An instance role gives `system:masters`.
    NodeAdministrator = "node-administrator";
    /// A policy does not load, or does not take its settings.
    Policy = "policy";
    /// A policy may give `system:masters`.
    PolicyAdministrator = "policy-administrator";
    /// A role is named with a path, which STS never returns.
    RolePath = "role-path";
    /// The account root gives `system:masters`.
    RootAdministrator = "root-administrator";
    /// The account root is named where the account may be meant.
    RootArn = "root-arn";
    /// A session is named where its role is meant.
    SessionArn = "session-arn";
    /// All sessions of a role are administrators under one username.
    SharedAdministrator = "shared-administrator";
    /// What an entry names, or part of it, is named by another that is asked first.
    Shadowed = "shadowed";
    /// A role of IAM Identity Center is named by its suffix, which changes.
    SsoRoleArn = "sso-role-arn";
    /// A caller chooses the rest of a `system:` name.
    SystemName = "system-name";
    /// A username or group is no template.
    Template = "template";
    /// A key is nobody's.
    UnknownKey = "unknown-key";
    /// A document is of a kind that is not checked.
    UnknownKind = "unknown-kind";
    /// A file cannot be read.
    Unreadable = "unreadable";
    /// An API server that is started with the webhook kubeconfig on this machine would not trust Herald's certificate.
    WebhookTrust = "webhook-trust";
    /// An ARN holds a wildcard.
    WildcardArn = "wildcard-arn";
    /// A principal is of a partition whose tokens are not accepted.
    WrongPartition = "wrong-partition";
    /// A list of roles names a user, or the other way round.
    WrongSection = "wrong-section";
    /// A document is no YAML.
    Yaml = "yaml";
    /// A value is read differently by different readers of YAML.
    YamlTrap = "yaml-trap";
}

// === impl CheckId ===

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CheckId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

// === impl Severity ===

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

// === impl Finding ===

impl Finding {
    /// The message and the fix in one sentence.
    #[must_use]
    pub fn text(&self) -> String {
        whole(&self.message, self.fix.as_deref())
    }

    /// Whether the server logs it: it is worse than a note.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity > Severity::Note
    }

    /// Whether entries may stand where it is about that nobody knows of.
    pub(super) fn hides_entries(&self) -> bool {
        self.refuses || self.id == CheckId::Unreadable || self.message.contains(WHOLE_LIST)
    }

    /// The same, about a text that stands `outside` of its place in the file.
    pub(super) fn placed(self, outside: Option<Position>) -> Self {
        match outside {
            None => self,
            Some(at) => Self { message: format!("line {} of this text: {}", self.at.line, self.message), at, ..self },
        }
    }

    /// That what `problem` is about is not in force.
    pub(super) fn error(problem: Problem) -> Self {
        let path = problem.path();
        let at = problem.at.unwrap_or(Position { line: 1, column: 1 });
        let Problem { id, what, fix, .. } = problem;
        Self { id, severity: Severity::Error, refuses: false, at, path, message: what, fix }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.at.line, self.text())?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " ({})", self.path) }
    }
}

// === impl Findings ===

impl Findings {
    /// That the file as a whole is not put in force.
    pub(super) fn refuse(&mut self, problem: Problem) {
        // The first is what the server ends with, so it is kept whatever else there is.
        if !self.refused && self.is_full(Severity::Error) {
            let last = self.list.iter().rposition(|finding| finding.severity == Severity::Error);
            self.list.remove(last.unwrap_or_default());
            self.more += 1;
            self.worst = Some(Severity::Error);
        }
        self.refused = true;
        self.push(Finding { refuses: true, ..Finding::error(problem) });
    }

    /// That one entry is not in force.
    pub(super) fn left_out(&mut self, problem: Problem) {
        let finding = Finding::error(problem);
        self.push(Finding { message: format!("left out: {}", finding.message), ..finding });
    }

    /// That no entry of a list is in force.
    pub(super) fn whole_list(&mut self, problem: Problem) {
        let finding = Finding::error(problem);
        self.push(Finding { message: format!("{WHOLE_LIST}{}", finding.message), ..finding });
    }

    /// That something is in force, and yet worth a word.
    pub(super) fn remark(&mut self, severity: Severity, problem: Problem) {
        self.push(Finding { severity, ..Finding::error(problem) });
    }

    pub(super) fn push(&mut self, finding: Finding) {
        if self.is_full(finding.severity) {
            self.more += 1;
            self.worst = self.worst.max(Some(finding.severity));
        } else {
            self.list.push(finding);
        }
    }

    fn is_full(&self, severity: Severity) -> bool {
        // Counting is worth it only when there are that many of any severity.
        self.list.len() >= MAX_FINDINGS
            && self.list.iter().filter(|finding| finding.severity == severity).count() >= MAX_FINDINGS
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Those from the one numbered `first` on.
    pub(super) fn since(&self, first: usize) -> &[Finding] {
        self.list.get(first..).unwrap_or_default()
    }

    /// Takes back those from the one numbered `first` on.
    pub(super) fn truncate(&mut self, first: usize) {
        self.list.truncate(first);
    }

    /// Moves those from the one numbered `first` on out of a text that does not stand in its place.
    pub(super) fn place_from(&mut self, first: usize, outside: Option<Position>) {
        let moved: Vec<Finding> = self.list.drain(first..).map(|finding| finding.placed(outside)).collect();
        self.list.extend(moved);
    }

    /// The first finding that refuses the file.
    pub(super) fn refusal(&self) -> Option<&Finding> {
        self.list.iter().find(|finding| finding.refuses)
    }

    /// Those that are logged, as [`finish`](Self::finish) gives them.
    pub(super) fn warnings(self) -> Vec<Finding> {
        self.finish().into_iter().filter(Finding::is_warning).collect()
    }

    /// All of them by place, and last how many more there are.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| finding.at);
        if let Some(severity) = self.worst {
            let at = self.list.last().map_or_else(Position::default, |last| last.at);
            let what = format!("and {} more of this kind", self.more);
            let problem = Problem::new(at, what).id(CheckId::More);
            self.list.push(Finding { severity, ..Finding::error(problem) });
        }
        self.list
    }
}
