//! What IAM answers: `GetRoleResponse`, `GetUserResponse`, or `ErrorResponse` (IAM API Reference, "GetRole", "GetUser", "Common
//! errors").

use std::collections::{BTreeMap, btree_map::Entry};

use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError};

use super::{IamError, Principal, Tags, principal::Kind};
use crate::{caller::Arn, provider::aws::service::xml};

/// Codes that mean "later".
const THROTTLING: [&str; 4] = ["LimitExceeded", "RequestLimitExceeded", "Throttling", "ThrottlingException"];
/// There is no such role or user.
const NO_SUCH: &str = "NoSuchEntity";
/// Most tags of a principal: IAM allows 50 (IAM and AWS STS quotas).
const MAX_TAGS: usize = 200;
/// Longest text that is taken, in bytes: a tag's value has at most 256 characters, an ARN 2048.
const MAX_TEXT: usize = 4096;

/// What is read of a role or user.
#[derive(Default)]
struct Read {
    id: Option<String>,
    arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

/// The tags in `body`, if it is about `principal`. Without tags, IAM leaves their element out.
pub(super) fn tags(body: &[u8], principal: &Principal) -> Result<Tags, IamError> {
    let bad = IamError::Unintelligible;
    let text = std::str::from_utf8(body).map_err(|_| bad("it is not UTF-8"))?;
    let read = read(text, principal.kind()).map_err(|_| bad("it is no description of a role or user"))?;
    let Read { id: Some(id), arn: Some(arn), tags } = read else { return Err(bad("it does not say whom it is about")) };
    let arn: Arn = arn.parse().map_err(|_| bad("its ARN is not a principal's"))?;
    if id != principal.id() || arn.account_id() != principal.account() {
        return Err(IamError::OtherPrincipal);
    }
    Ok(Tags(tags.unwrap_or_default()))
}

fn read(text: &str, kind: Kind) -> Result<Read, XmlDecodeError> {
    let [response, result, element, id] = match kind {
        Kind::Role => ["GetRoleResponse", "GetRoleResult", "Role", "RoleId"],
        Kind::User => ["GetUserResponse", "GetUserResult", "User", "UserId"],
    };
    xml::check_whole(text, response)?;
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    if !root.start_el().matches(response) {
        return Err(XmlDecodeError::custom("another document"));
    }
    let mut found = None;
    while let Some(mut tag) = root.next_tag() {
        if !tag.start_el().matches(result) {
            continue;
        }
        while let Some(mut tag) = tag.next_tag() {
            if tag.start_el().matches(element) {
                once(&mut found, described(&mut tag, id)?)?;
            }
        }
    }
    found.ok_or_else(|| XmlDecodeError::custom("nobody"))
}

fn described(element: &mut ScopedDecoder<'_, '_>, id: &str) -> Result<Read, XmlDecodeError> {
    let mut read = Read::default();
    while let Some(mut tag) = element.next_tag() {
        if tag.start_el().matches(id) {
            once(&mut read.id, xml::data(&mut tag, MAX_TEXT)?)?;
        } else if tag.start_el().matches("Arn") {
            once(&mut read.arn, xml::data(&mut tag, MAX_TEXT)?)?;
        } else if tag.start_el().matches("Tags") {
            once(&mut read.tags, members(&mut tag)?)?;
        }
    }
    Ok(read)
}

fn members(list: &mut ScopedDecoder<'_, '_>) -> Result<BTreeMap<String, String>, XmlDecodeError> {
    let mut tags = BTreeMap::new();
    while let Some(mut member) = list.next_tag() {
        if !member.start_el().matches("member") {
            return Err(XmlDecodeError::custom("no member"));
        }
        let (key, value) = pair(&mut member)?;
        match tags.entry(key) {
            Entry::Vacant(place) => drop(place.insert(value)),
            Entry::Occupied(_) => return Err(XmlDecodeError::custom("a key twice")),
        }
        if tags.len() > MAX_TAGS {
            return Err(XmlDecodeError::custom("too many tags"));
        }
    }
    Ok(tags)
}

fn pair(member: &mut ScopedDecoder<'_, '_>) -> Result<(String, String), XmlDecodeError> {
    let (mut key, mut value) = (None, None);
    while let Some(mut tag) = member.next_tag() {
        let place = match tag.start_el().local() {
            "Key" => &mut key,
            "Value" => &mut value,
            _ => return Err(XmlDecodeError::custom("neither key nor value")),
        };
        once(place, xml::data(&mut tag, MAX_TEXT)?)?;
    }
    match (key, value) {
        (Some(key), Some(value)) if !key.is_empty() => Ok((key, value)),
        _ => Err(XmlDecodeError::custom("half a tag")),
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), XmlDecodeError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(XmlDecodeError::custom("twice")),
    }
}

/// What an answer with a status other than 200 means.
pub(super) fn failure(status: u16, body: &[u8]) -> IamError {
    let code = std::str::from_utf8(body).ok().and_then(xml::error_code).unwrap_or_else(|| "Unknown".to_owned());
    match status {
        404 if code == NO_SUCH => IamError::NotFound,
        429 => IamError::Throttled,
        400.. if THROTTLING.contains(&code.as_str()) => IamError::Throttled,
        400..=499 => IamError::Refused { status, code },
        500..=599 => IamError::Unavailable { cause: "server_error" },
        300..=399 => IamError::Unavailable { cause: "redirect" },
        _ => IamError::Unintelligible("the HTTP status is none that IAM gives"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::aws::iam::tests::principal;

    const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/Dev/alice";
    const USER: &str = "arn:aws:iam::123456789012:user/alice";

    /// What IAM says about whoever `arn` is, with `rest` inside.
    fn answer(arn: &str, rest: &str) -> String {
        let asked = principal(arn);
        let (word, own) = match asked.kind() {
            Kind::Role => ("Role", "arn:aws:iam::123456789012:role/path/Dev"),
            Kind::User => ("User", "arn:aws:iam::123456789012:user/path/alice"),
        };
        format!(
            r#"<Get{word}Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Get{word}Result><{word}><Path>/path/</Path><Arn>{own}</Arn><{word}Name>{}</{word}Name><AssumeRolePolicyDocument>%7B%7D</AssumeRolePolicyDocument><{word}Id>{}</{word}Id><PermissionsBoundary><Arn>x</Arn><Tags/></PermissionsBoundary>{rest}</{word}></Get{word}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></Get{word}Response>"#,
            asked.name(),
            asked.id(),
        )
    }

    fn tagged(members: &str) -> String {
        answer(ROLE, &format!("<Tags>{members}</Tags>"))
    }

    #[track_caller]
    fn check(arn: &str, body: &str, expected: Result<&[(&str, &str)], &str>) {
        let found = tags(body.as_bytes(), &principal(arn));
        let pairs = found.as_ref().map(|Tags(tags)| tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let pairs: Result<Vec<_>, _> = pairs.map(Iterator::collect).map_err(|error| error.reason());
        assert_eq!(pairs, expected.map(<[_]>::to_vec), "{body}");
    }

    #[test]
    fn tags_are_found_in_their_place_alone() {
        let one = "<member><Key>team</Key><Value>db &amp; é</Value></member>";
        let void = "<member><Value></Value><Key>a</Key></member>";
        check(ROLE, &tagged(one), Ok(&[("team", "db & é")]));
        check(ROLE, &tagged(&format!("{one}{void}")), Ok(&[("a", ""), ("team", "db & é")]));
        check(USER, &answer(USER, &format!("<Tags>{one}</Tags>")), Ok(&[("team", "db & é")]));
        check(ROLE, &tagged(""), Ok(&[]));
        check(ROLE, &answer(ROLE, "<Tags/>"), Ok(&[]));
        check(ROLE, &answer(ROLE, ""), Ok(&[]));
    }

    #[test]
    fn whoever_has_another_id_or_account_is_another() {
        let (role, id) = (tagged(""), principal(ROLE).id().to_owned());
        check(ROLE, &role.replace(&id, "AROAOTHEROTHEROTHER00"), Err("tags_other_principal"));
        check(ROLE, &role.replace(&id, &id.to_lowercase()), Err("tags_other_principal"));
        check(ROLE, &role.replace(&id, ""), Err("tags_other_principal"));
        check(ROLE, &role.replace("::123456789012:", "::210987654321:"), Err("tags_other_principal"));
        check(ROLE, &answer(USER, ""), Err("iam_unintelligible"));
        check(USER, &answer(ROLE, ""), Err("iam_unintelligible"));
    }

    #[test]
    fn nothing_that_is_not_whole_is_taken() {
        let bad = |body: &str| check(ROLE, body, Err("iam_unintelligible"));
        let one = "<member><Key>team</Key><Value>db</Value></member>";
        let good = tagged(one);
        for end in (0..good.len()).filter(|end| good.is_char_boundary(*end)) {
            bad(&good[..end]);
        }
        bad(&tagged("<member><Key>team</Key></member>"));
        bad(&tagged("<member><Value>db</Value></member>"));
        bad(&tagged("<member><Key></Key><Value>db</Value></member>"));
        bad(&tagged("<member><Key>a</Key><Key>b</Key><Value>db</Value></member>"));
        bad(&tagged("<member><Key>a</Key><Value>b</Value><Other/></member>"));
        bad(&tagged("<member><Key><b/>a</Key><Value>b</Value></member>"));
        bad(&tagged("<item><Key>a</Key><Value>b</Value></item>"));
        bad(&tagged(&format!("{one}{one}")));
        bad(&tagged(&format!("<member><Key>a</Key><Value>{}</Value></member>", "x".repeat(MAX_TEXT + 1))));
        let many = |count: usize| -> String {
            (0..count).map(|number| format!("<member><Key>{number}</Key><Value/></member>")).collect()
        };
        bad(&tagged(&many(MAX_TAGS + 1)));
        assert!(tags(tagged(&many(MAX_TAGS)).as_bytes(), &principal(ROLE)).is_ok_and(|tags| tags.0.len() == MAX_TAGS));
        bad(&answer(ROLE, "<Tags/><Tags/>"));
        bad(&answer(ROLE, "<RoleId>AROAOTHEROTHEROTHER00</RoleId>"));
        bad(&good.replace("RoleId", "RoleUid"));
        bad(&good.replace("<Arn>arn", "<Arn>x"));
        bad(&good.replace("GetRoleResult", "GetRolesResult"));
        bad(&good.replace("GetRoleResponse", "ListRolesResponse"));
        bad("{}");
        bad("");
    }

    #[test]
    fn errors_by_their_code() {
        #[track_caller]
        fn check(status: u16, code: &str, expected: &str) {
            let body = format!(
                r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>{code}</Code><Message>&lt;Code&gt;NoSuchEntity</Message></Error><RequestId>r</RequestId></ErrorResponse>"#
            );
            assert_eq!(failure(status, body.as_bytes()).reason(), expected, "{status} {code}");
        }
        check(404, "NoSuchEntity", "tags_not_found");
        check(404, "NoSuchEntityException", "iam_refused");
        check(400, "NoSuchEntity", "iam_refused");
        check(404, "", "iam_refused");
        check(400, "Throttling", "iam_throttled");
        check(503, "Throttling", "iam_throttled");
        check(429, "x", "iam_throttled");
        check(403, "AccessDenied", "iam_refused");
        check(403, "ExpiredToken", "iam_refused");
        check(500, "ServiceFailure", "iam_unavailable");
        check(503, "ServiceUnavailable", "iam_unavailable");
        check(302, "", "iam_unavailable");
        check(204, "", "iam_unintelligible");
        assert_eq!(failure(403, b"{").to_string(), failure(403, b"<ErrorResponse/>").to_string());
        assert!(failure(404, b"{").is_retryable(), "somebody else's 404 says nothing about a role");
    }
}
