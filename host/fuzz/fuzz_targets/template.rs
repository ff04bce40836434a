//! Templates: what a caller chooses is put in once, and never makes a name under `system:`.
//!
//! The text before the first NUL is the template, the text behind it the session's name.
#![no_main]

use std::time::SystemTime;

use herald::{
    caller::{Caller, PrincipalId, PrincipalKind, SessionName},
    mapping::template::Template,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (template, session) = text.split_once('\0').unwrap_or((text, "alice"));
    let Ok(parsed) = Template::parse(template) else { return };
    let Ok(rendered) = parsed.render(&caller(session), None) else { return };
    let system = |text: &str| text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("system:"));
    assert!(!system(&rendered) || parsed.opens_system_names() || system(template), "{template:?} {session:?}");
    let longest = session.len().max(20);
    assert!(rendered.len() <= template.len() + longest * template.matches("{{").count());
});

fn caller(session: &str) -> Caller {
    Caller {
        provider: "aws",
        partition: "aws".to_owned(),
        account_id: "123456789012".parse().expect("12 digits"),
        kind: PrincipalKind::AssumedRole,
        arn: format!("arn:aws:sts::123456789012:assumed-role/Admin/{session}"),
        canonical_arn: "arn:aws:iam::123456789012:role/Admin".to_owned(),
        name: "Admin".to_owned(),
        principal_id: PrincipalId::new("AROAEXAMPLE"),
        session_name: Some(SessionName::new(session)),
        sso_permission_set: None,
        access_key_id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        sts_region: "us-east-1".to_owned(),
        signed_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        uid: "aws-iam-authenticator:123456789012:AROAEXAMPLE".to_owned(),
        extra: &[],
        attributes: Vec::new(),
    }
}
