//! Documents of IAM, with as much around what matters as the real ones have.

use super::Principal;

const SPACE: &str = r#"xmlns="https://iam.amazonaws.com/doc/2010-05-08/""#;
const REQUEST: &str = "<ResponseMetadata><RequestId>df37e965-9967-11e1-a4c3-example</RequestId></ResponseMetadata>";

/// `GetRoleResponse` or `GetUserResponse`. Whoever has no tags has no element for them.
pub(super) fn principal(kind: &str, name: &str, principal: &Principal) -> String {
    let Principal { arn, id, tags } = principal;
    let (word, more) = match kind {
        "role" => (
            "Role",
            "<AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22%7D</AssumeRolePolicyDocument>\
             <MaxSessionDuration>3600</MaxSessionDuration><RoleLastUsed><Region>us-east-1</Region></RoleLastUsed>",
        ),
        _ => ("User", "<PasswordLastUsed>2026-01-01T00:00:00Z</PasswordLastUsed>"),
    };
    let members: String = tags
        .iter()
        .map(|(key, value)| format!("<member><Key>{}</Key><Value>{}</Value></member>", escaped(key), escaped(value)))
        .collect();
    let tags = if tags.is_empty() { String::new() } else { format!("<Tags>{members}</Tags>") };
    let (name, arn) = (escaped(name), escaped(arn));
    format!(
        "<Get{word}Response {SPACE}>\n  <Get{word}Result>\n    <{word}><Path>/</Path><Arn>{arn}</Arn><{word}Name>{name}</{word}Name>\
         <CreateDate>2026-01-01T00:00:00Z</CreateDate>{more}<{word}Id>{id}</{word}Id>{tags}</{word}>\n  </Get{word}Result>\n  \
         {REQUEST}\n</Get{word}Response>\n"
    )
}

/// `ErrorResponse`.
pub(super) fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse {SPACE}>\n  <Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error>\n  \
         <RequestId>df37e965-9967-11e1-a4c3-example</RequestId>\n</ErrorResponse>\n",
        escaped(message)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
