//! What is most likely meant by a text that is no principal's ARN.

use super::error::did_you_mean;
use crate::caller::{
    Arn,
    arn::{ACS_PARTITION, AWS_PARTITIONS},
};

/// What to write instead of a wildcard.
pub(super) fn for_wildcard(text: &str) -> String {
    let role = text.rsplit('/').next().unwrap_or_default();
    let set = role.strip_prefix("AWSReservedSSO_").and_then(|rest| rest.strip_suffix("_*"));
    let account = text.split(':').nth(4).filter(|account| account.len() == 12);
    match (set.filter(|set| !set.contains(['*', '?'])), account) {
        (Some(set), Some(account)) => format!("write `sso: {{permissionSetName: {set}, accountID: '{account}'}}`"),
        _ => "name each role".to_owned(),
    }
}

/// What to write instead of a text that does not parse.
pub(super) fn for_invalid(text: &str) -> Option<String> {
    let mended = mend(text);
    if mended.parse::<Arn>().is_ok() {
        return Some(format!("did you mean `{mended}`?"));
    }
    if let Some(("arn", rest)) = mended.split_once(':') {
        let partition = rest.split(':').next().unwrap_or_default();
        if !AWS_PARTITIONS.contains(&partition) && partition != ACS_PARTITION {
            return did_you_mean(partition, AWS_PARTITIONS);
        }
    }
    let resource = mended.rsplit(':').next().unwrap_or_default();
    let (word, name) = resource.split_once('/').unwrap_or((resource, ""));
    match word {
        "instance-profile" => Some("name the role of the instance profile".to_owned()),
        "group" => {
            Some("IAM does not tell a caller's groups: name a role that the group's users may assume".to_owned())
        }
        "assumed-role" if !name.is_empty() => Some("name the role: `role/…`".to_owned()),
        _ => None,
    }
}

/// The text without blanks around it, with the letters of its fixed words in lower case and without dashes in
/// its account id.
fn mend(text: &str) -> String {
    let mut sections: Vec<String> = text.trim().splitn(6, ':').map(str::to_owned).collect();
    let [prefix, partition, service, _, account, resource] = sections.as_mut_slice() else {
        return text.trim().to_owned();
    };
    for word in [prefix, partition, service] {
        word.make_ascii_lowercase();
    }
    account.retain(|letter| letter != '-');
    if let Some((word, rest)) = resource.split_once('/') {
        *resource = format!("{}/{}", word.to_ascii_lowercase(), rest.trim_end_matches('/'));
    }
    sections.join(":")
}
