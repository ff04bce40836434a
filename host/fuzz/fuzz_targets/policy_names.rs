//! Names that policies make of what callers choose: no value becomes more than a part of a name, and a template means to a policy
//! what it means to a mapping.
//!
//! The text before the first NUL is the template, the text behind it the session's name.
#![no_main]

use std::time::{Duration, SystemTime};

use herald::{
    caller::{Arn, SessionName, made_up},
    mapping::template::Template as OfMappings,
};
use herald_policy::{Template, testing};
use libfuzzer_sys::fuzz_target;
use pattern::Name;

/// Of the ready-made policy `arn-globs`.
#[path = "../../../policies/arn-globs/src/pattern.rs"]
#[allow(dead_code, reason = "patterns are another target's")]
mod pattern;

const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/Dev/session";

fn is_system(text: &str) -> bool {
    text.to_ascii_lowercase().starts_with("system:")
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+=,.@_-".contains(letter))
}

fuzz_target!(|text: &str| {
    let (template, session) = text.split_once('\0').unwrap_or((text, "alice"));
    of_arn_globs(template, session);
    let Ok(parsed) = template.parse::<Template>() else { return };
    let request = testing::session("123456789012", "Dev", session);
    let rendered = parsed.render(&request.caller);
    let of_mappings = OfMappings::parse(template).ok().and_then(|template| {
        let arn: Arn = ROLE.parse().expect("an ARN");
        let mut caller = made_up::caller(&arn, SystemTime::UNIX_EPOCH + Duration::from_secs(60));
        caller.session_name = Some(SessionName::new(session));
        template.render(&caller, None).ok()
    });
    let Ok(name) = rendered else {
        let chosen = template.contains("{{SessionName");
        // A mapping leaves the characters to the guards.
        return assert!(of_mappings.is_none() || (chosen && (session.is_empty() || !is_plain(session))));
    };
    assert!(!is_system(&name) || (!parsed.has_placeholders() && name == template));
    if parsed.has_placeholders() {
        assert_eq!(name.matches([':', '/']).count(), template.matches([':', '/']).count());
        assert!(!template.contains("{{SessionName") || is_plain(session));
    }
    assert!(of_mappings.is_none_or(|other| other == name), "{template:?} {session:?}");
});

fn of_arn_globs(template: &str, value: &str) {
    let Ok(name) = Name::try_from(template.to_owned()) else { return };
    if name.check(&["name"]).is_err() {
        return;
    }
    match name.render(&vec![("name", value.to_owned())]) {
        Ok(rendered) => {
            assert_eq!(rendered, template.replace("{name}", value));
            assert!(is_plain(value) || rendered == template);
            assert!(!is_system(&rendered) || rendered == template);
        }
        Err(_) => assert!(template.contains("{name}")),
    }
}
