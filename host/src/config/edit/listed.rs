//! What a ConfigMap with mappings lists, in the order in which its entries are asked.

use serde::Serialize;

use super::{AuthMap, LEFT_OUT, List};
use crate::config::{
    Finding, Severity,
    entry::value,
    finding::Findings,
    node::{Node, Value},
    sources::config_map,
};

/// One entry, or one account.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The list it stands in: `mapRoles`, `mapUsers` or `mapAccounts`.
    pub list: &'static str,
    /// Its number there, from 0.
    pub index: usize,
    /// The line of that list's text, from 1.
    pub line: u32,
    /// Whom it names, as it is written; of a permission set `sso:partition:account:name`.
    pub principal: String,
    /// The username that it gives, as a template; of an account, the callers' own ARNs.
    pub username: String,
    /// The groups that it gives, as templates.
    pub groups: Vec<String>,
    /// When it ends by itself, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Why it is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// What callers of a listed account are named by.
const OWN_ARN: &str = "(its canonical ARN)";

// === impl AuthMap ===

impl AuthMap {
    /// Every entry, roles before users before accounts, and the findings about lists that cannot be read.
    #[must_use]
    pub fn listed(&self) -> (Vec<Listed>, Vec<Finding>) {
        let (_, findings) = self.entries();
        let mut listed = Vec::new();
        for list in List::ALL {
            let text = self.text(list);
            let items = config_map::items(text).unwrap_or_default();
            let each = items.iter().enumerate().map(|(index, item)| self.entry(list, index, item, text, &findings));
            listed.extend(each);
        }
        let unread = findings.into_iter().filter(|finding| List::ALL.iter().any(|list| finding.path == list.key()));
        let mut unread: Vec<Finding> = unread.collect();
        self.accounts(&mut listed, &mut unread);
        (listed, unread)
    }

    fn entry(&self, list: List, index: usize, item: &Node, text: &str, findings: &[Finding]) -> Listed {
        let place = format!("{}[{index}]", list.key());
        let of_this = |finding: &&Finding| {
            let rest = finding.path.strip_prefix(&place);
            finding.severity == Severity::Error && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let left_out = findings.iter().find(of_this).map(why);
        let read = self.who_of(list, item, text);
        let keys: &[_] = if let Value::Map(keys) = &item.value { keys } else { &[] };
        let word = |key: &str| value(keys, key).map(|node| plain(node, text));
        let named = word("roleARN").or_else(|| word("userARN")).filter(|arn| !arn.is_empty());
        let who = named.or_else(|| read.as_ref().map(|(who, _)| who.clone())).unwrap_or_default();
        let groups = read.as_ref().map(|(_, rule)| rule.groups.iter().map(ToString::to_string).collect());
        let end = read.as_ref().and_then(|(_, rule)| rule.not_after());
        Listed {
            list: list.key(),
            index,
            line: item.at.line,
            principal: who,
            username: read
                .as_ref()
                .map_or_else(|| word("username"), |(_, rule)| Some(rule.username.to_string()))
                .unwrap_or_default(),
            groups: groups.unwrap_or_default(),
            not_after: end.map(|end| humantime::format_rfc3339_seconds(end).to_string()),
            left_out,
        }
    }

    fn accounts(&self, listed: &mut Vec<Listed>, unread: &mut Vec<Finding>) {
        let text = self.data.get(config_map::ACCOUNTS).map(String::as_str).unwrap_or_default();
        let list = config_map::account_list(text, &[config_map::ACCOUNTS]);
        let mut findings = Findings::default();
        let items = config_map::items(text).unwrap_or_else(|problem| {
            findings.whole_list(list.placed(problem, super::Position::default()));
            Vec::new()
        });
        unread.extend(findings.finish());
        for (index, item) in items.iter().enumerate() {
            let mut findings = Findings::default();
            let account = list.read(std::slice::from_ref(item), &mut findings).into_iter().next();
            let errors = findings.finish().into_iter().find(|finding| finding.severity == Severity::Error);
            listed.push(Listed {
                list: config_map::ACCOUNTS,
                index,
                line: item.at.line,
                principal: account.map_or_else(|| plain(item, text), |account| account.to_string()),
                username: OWN_ARN.to_owned(),
                groups: Vec::new(),
                not_after: None,
                left_out: errors.map(|finding| why(&finding)),
            });
        }
    }
}

fn plain(node: &Node, text: &str) -> String {
    node.plain().unwrap_or_else(|| node.written(text)).to_owned()
}

fn why(finding: &Finding) -> String {
    finding.text().trim_start_matches(LEFT_OUT).to_owned()
}
