//! Whom an entry is about: a principal by its ARN, a permission set, or a principal by its unique id.

use super::{
    super::{
        arn_hint,
        error::{Position, Problem, did_you_mean},
        finding::CheckId,
        node::{Key, Node, Section, Value},
    },
    Entries, UserIds, check_keys, value,
};
use crate::{
    caller::{
        AccountId, Arn, InvalidAccountId, PrincipalId,
        arn::{ACS_PARTITION, AWS_PARTITIONS, InvalidArn},
    },
    mapping::rule::{ArnGlob, PermissionSet, Subject},
    provider::Cloud,
};

const SSO_KEYS: [&str; 3] = ["permissionSetName", "accountID", "partition"];
/// Longest name of a permission set (IAM Identity Center API Reference, "CreatePermissionSet").
const MAX_SET_NAME: usize = 32;

// === impl Entries ===

impl Entries<'_> {
    /// Whom an entry is about, and where it says so.
    pub(super) fn subject(
        &self,
        section: Section,
        entries: &[(Key, Node)],
        at: Position,
    ) -> Result<(Subject, Position), Problem> {
        let key = section.arn_key();
        let read = |node: &Node| self.arn(section, node).map_err(|problem| problem.under(key, node.at));
        let named = value(entries, key);
        let sso = value(entries, "sso").filter(|_| section == Section::Roles);
        // Programs that write such files leave the key empty where the id says it all.
        let whole = named.filter(|node| !matches!(&node.value, Value::Text(text) if text.is_empty()));
        let by_id = match self.style.user_ids {
            UserIds::Idle => false,
            UserIds::Match => true,
            // What names somebody by the id alone is meant to match by it.
            UserIds::Unknown => whole.is_none() && sso.is_none() && value(entries, "userid").is_some(),
        };
        if by_id {
            let id = PrincipalId::new(self.required(entries, "userid", at)?);
            let named_at = value(entries, "userid").map_or(at, |node| node.at);
            return Ok((Subject::Principal(id, whole.map(read).transpose()?), named_at));
        }
        let nobody = |what: String| Problem::new(at, what).id(CheckId::MissingKey);
        match (named, sso) {
            (Some(node), None) if self.is_glob(node) => match self.glob(node) {
                Ok(glob) => Ok((Subject::Glob(glob), node.at)),
                Err(problem) => Err(problem.under(key, node.at)),
            },
            (Some(node), None) => read(node).map(|arn| (Subject::Arn(arn), node.at)),
            (None, Some(node)) => match self.permission_set(node) {
                Ok(set) => Ok((set, node.at)),
                Err(problem) => Err(problem.under("sso", node.at)),
            },
            (Some(_), Some(_)) => Err(Problem::new(at, format!("has both `{key}` and `sso`")).fix("keep one of them")),
            (None, None) if section == Section::Roles => {
                Err(nobody(format!("has neither `{key}` nor `sso`: it names nobody")))
            }
            (None, None) => Err(nobody(format!("has no `{key}`: it names nobody"))),
        }
    }

    fn is_glob(&self, node: &Node) -> bool {
        self.style.globs && node.text(self.source).is_ok_and(ArnGlob::is_meant)
    }

    fn glob(&self, node: &Node) -> Result<ArnGlob, Problem> {
        let text = node.text(self.source)?;
        ArnGlob::parse(text).map_err(|error| Problem::new(node.at, error.to_string()).id(CheckId::InvalidArn))
    }

    fn arn(&self, section: Section, node: &Node) -> Result<Arn, Problem> {
        let text = node.text(self.source)?;
        if text.contains(['*', '?']) {
            let what = "wildcards are not supported in an ARN";
            return Err(Problem::new(node.at, what).id(CheckId::WildcardArn).fix(arn_hint::for_wildcard(text)));
        }
        let arn: Arn = text.parse().map_err(|error: InvalidArn| {
            Problem::new(node.at, error.to_string()).id(CheckId::InvalidArn).maybe(arn_hint::for_invalid(text))
        })?;
        // Only Herald has bootstrap admins.
        if section != Section::Admins && arn.session_name().is_some() && !self.takes_sessions_of(&arn) {
            let what = "names one session, and an entry is in force for every session of its role";
            let fix = format!("write `{}`", arn.canonical_without_path());
            return Err(Problem::new(node.at, what).id(CheckId::SessionArn).fix(fix));
        }
        Ok(arn)
    }

    fn takes_sessions_of(&self, arn: &Arn) -> bool {
        let cloud = if arn.partition() == ACS_PARTITION { Cloud::Alibaba } else { Cloud::Aws };
        self.style.sessions.contains(&cloud)
    }

    fn permission_set(&self, node: &Node) -> Result<Subject, Problem> {
        let Value::Map(entries) = &node.value else {
            return Err(Problem::new(node.at, format!("expected a map, found {}", node.value.noun())));
        };
        check_keys(entries, &SSO_KEYS, false)?;
        let bad = |at, what: String| Problem::new(at, what).id(CheckId::InvalidPermissionSet);
        let name = self.required(entries, "permissionSetName", node.at)?;
        let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        if !good || !(1..=MAX_SET_NAME).contains(&name.len()) {
            let what = "not the name of a permission set: 1 to 32 of A-Z a-z 0-9 _ + = , . @ -";
            return Err(bad(node.at, what.to_owned()));
        }
        let account = self.required(entries, "accountID", node.at)?;
        let wrong = |error: InvalidAccountId| Problem::new(node.at, error.to_string()).id(CheckId::AccountId);
        let account: AccountId = account.parse().map_err(wrong)?;
        let partition = match value(entries, "partition") {
            None => AWS_PARTITIONS[0],
            Some(node) => {
                let text = node.text(self.source)?;
                let known = AWS_PARTITIONS.into_iter().find(|known| *known == text);
                let hint = || did_you_mean(text, AWS_PARTITIONS);
                known.ok_or_else(|| bad(node.at, "no partition of AWS".to_owned()).maybe(hint()))?
            }
        };
        Ok(Subject::PermissionSet(PermissionSet::new(partition, &account, name)))
    }
}
