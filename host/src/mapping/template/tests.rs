//! Templates as tables, and the properties that no table can show.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::mapping::rule::tests::caller;

/// Renders `text` for account 123456789012, key `ASIAEXAMPLE` and the session given.
fn render(text: &str, session: Option<&str>) -> Result<String, String> {
    let mut caller = caller("arn:aws:sts::123456789012:assumed-role/Admin/session");
    caller.session_name = session.map(crate::caller::SessionName::new);
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    template.render(&caller, None).map_err(|error| error.to_string())
}

#[track_caller]
fn check(text: &str, session: Option<&str>, expected: &str) {
    assert_eq!(render(text, session).as_deref(), Ok(expected), "{text}");
}

#[track_caller]
fn refused(text: &str, session: Option<&str>, expected: &Expect) {
    expected.assert_eq(&render(text, session).expect_err("refused"));
}

#[test]
fn variables_are_filled_in() {
    check("", None, "");
    check("alice", None, "alice");
    check(
        "role:{{AccountID}}:{{SessionName}}:{{SessionNameRaw}}",
        Some("a@b.com"),
        "role:123456789012:a-b.com:a@b.com",
    );
    check("{{SessionName}}", Some("alice@example.com"), "alice-example.com");
    check("{{SessionName}}", Some("alice-example.com"), "alice-example.com");
    check("{{AccessKeyID}}{{AccountID}}", None, "ASIAEXAMPLE123456789012");
    check("a{b}c", None, "a{b}c");
}

#[test]
fn what_was_filled_in_is_not_looked_at_again() {
    check("{{SessionNameRaw}}", Some("{{AccountID}}"), "{{AccountID}}");
    check("{{SessionName}}:{{AccountID}}", Some("{{AccessKeyID}}"), "{{AccessKeyID}}:123456789012");
}

#[test]
fn what_is_not_understood_is_refused_at_load() {
    refused(
        "{{Nope}}",
        None,
        &expect![
            "unknown template variable {{Nope}}; known are {{AccessKeyID}}, {{AccountID}}, {{EC2PrivateDNSName}}, {{SessionName}}, {{SessionNameRaw}}"
        ],
    );
    refused(
        "{{ AccountID }}",
        None,
        &expect!["unknown template variable {{ AccountID }}; did you mean {{AccountID}}?"],
    );
    refused(
        "{{sessionname}}",
        None,
        &expect!["unknown template variable {{sessionname}}; did you mean {{SessionName}}?"],
    );
    refused("a:{{AccountID", None, &expect!["template braces do not pair up: write {{Variable}}"]);
    refused("a:{{AccountID}", None, &expect!["template braces do not pair up: write {{Variable}}"]);
    refused("a:{AccountID}}", None, &expect!["template braces do not pair up: write {{Variable}}"]);
}

#[test]
fn the_name_of_a_node_is_filled_in_once_it_is_found() {
    #[track_caller]
    fn check(text: &str, node: Option<&str>, session: &str, expected: Result<&str, RenderError>) {
        let mut caller = caller("arn:aws:sts::123456789012:assumed-role/Node/i-0");
        caller.session_name = Some(crate::caller::SessionName::new(session));
        let node = node.map(|name| NodeName::parse(name).expect("a name"));
        let template = Template::parse(text).expect("a template");
        assert!(template.needs_node());
        assert_eq!(template.to_string(), text);
        assert_eq!(template.render(&caller, node.as_ref()).as_deref(), expected.as_ref().copied());
    }
    let node = "system:node:{{EC2PrivateDNSName}}";
    check(node, Some("ip-10-0-0-1.ec2.internal"), "i-0", Ok("system:node:ip-10-0-0-1.ec2.internal"));
    check(node, None, "i-0", Err(RenderError::NoNode));
    check(
        "{{SessionNameRaw}}/{{EC2PrivateDNSName}}",
        Some("a"),
        "{{EC2PrivateDNSName}}",
        Ok("{{EC2PrivateDNSName}}/a"),
    );
    assert!(!Template::parse("{{SessionName}}").expect("a template").needs_node());
}

#[test]
fn a_caller_without_session_has_no_session_name() {
    refused(
        "u:{{SessionName}}",
        None,
        &expect!["{{SessionName}} asks for a session name, and this caller has no session"],
    );
    refused(
        "u:{{SessionNameRaw}}",
        None,
        &expect!["{{SessionNameRaw}} asks for a session name, and this caller has no session"],
    );
}

#[test]
fn only_the_operator_writes_system_names() {
    let system = expect!["the rendered name would start with `system:`, which the template itself does not"];
    refused("{{SessionNameRaw}}", Some("system:masters"), &system);
    refused("{{SessionName}}", Some("SYSTEM:masters"), &system);
    refused("sys{{SessionName}}", Some("tem:masters"), &system);
    refused("system{{SessionName}}", Some(":masters"), &system);
    check("team:{{SessionName}}", Some("system:masters"), "team:system:masters");
    check("system:node:{{SessionName}}", Some("a"), "system:node:a");
    check("system:masters", None, "system:masters");
}

#[test]
fn templates_that_let_callers_choose_a_system_name_are_known() {
    let opens = |text| Template::parse(text).expect("good").opens_system_names();
    assert!(opens("system:node:{{SessionName}}"));
    assert!(opens("system:{{SessionNameRaw}}"));
    assert!(!opens("system:{{AccountID}}"));
    assert!(!opens("system:masters"));
    assert!(!opens("{{SessionName}}"));
}

proptest! {
    /// Rendering is concatenation: whatever a session is called, its text stands where the variable stood.
    #[test]
    fn rendering_is_one_pass(before in "[a-z:]{0,8}", session in ".{1,40}", after in "[a-z:]{0,8}") {
        let expected = format!("{before}{session}{after}");
        match render(&format!("{before}{{{{SessionNameRaw}}}}{after}"), Some(&session)) {
            Ok(name) => prop_assert_eq!(name, expected),
            Err(_) => prop_assert!(is_system(&expected) && !is_system(&before)),
        }
    }

    /// No session name makes a name under `system:` from a template that does not start with it.
    #[test]
    fn no_session_reaches_system(head in "[a-z]{0,6}", session in "(s|sy|sys|system|:|m){0,6}") {
        if let Ok(name) = render(&format!("{head}{{{{SessionNameRaw}}}}"), Some(&session)) {
            prop_assert!(!is_system(&name));
        }
    }

    /// Any text is read or refused without a panic, and text without double braces is itself.
    #[test]
    fn any_text_is_read_or_refused(text in "[{}a-zA-Z]{0,24}") {
        let rendered = render(&text, Some("s"));
        if !text.contains("{{") && !text.contains("}}") {
            prop_assert_eq!(rendered, Ok(text));
        }
    }
}
