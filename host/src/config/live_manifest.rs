//! Live manifest: objects of a cluster as the manifest that `kubectl get -o yaml` prints, so that they are checked
//! as files are and what is said of them names a line of something people can look at.
//!
//! Failure rule: what is not there is not checked, and what cannot be read is a finding: an error of `aws-auth`, a
//! warning of the others, which many clusters have not.

use std::path::Path;

use serde_json::Value;

use super::{
    CheckedFile, Severity, build,
    edit::AuthMap,
    manifest::MAX_DOCUMENTS,
    sources::{NAMESPACE, config_map, identity_mapping},
};
use crate::kubernetes::{Client, client::Place, watch::Target};

/// Everything of a cluster that maps callers, each by the name that it has in messages.
pub async fn checked(client: &Client) -> Vec<(String, CheckedFile)> {
    let mut found = Vec::new();
    for (object, severity) in
        [(config_map::AWS_AUTH, Severity::Error), (config_map::ALIBABACLOUD_AUTH, Severity::Warning)]
    {
        let (version, plural, namespace) = ("v1", "configmaps", Some(NAMESPACE));
        let place = Place { version, plural, namespace, name: Some(object), ..Place::default() };
        let file = match client.get(&place).await {
            Ok(None) => continue,
            Ok(Some(map)) => AuthMap::of(&map).checked_as(object),
            Err(error) => CheckedFile::unread(format!("cannot be read: {}", build::line(&error)), severity),
        };
        found.push((format!("{NAMESPACE}/configmaps/{object}"), file));
    }
    for target in [&identity_mapping::TARGET, &identity_mapping::RAM_TARGET] {
        let place = Place { group: target.group, version: target.version, plural: target.plural, ..Place::default() };
        let name = format!("{}.{}", target.plural, target.group);
        let file = match client.list(&place).await {
            Ok(None) => continue,
            Ok(Some(objects)) if objects.is_empty() => continue,
            Ok(Some(objects)) => identity_mappings(target, Path::new(&name), &objects),
            Err(error) => CheckedFile::unread(format!("cannot be read: {}", build::line(&error)), Severity::Warning),
        };
        found.push((name, file));
    }
    found
}

// === impl AuthMap ===

impl AuthMap {
    /// It as `kube-system/aws-auth`, checked.
    #[must_use]
    pub fn checked(&self) -> CheckedFile {
        self.checked_as(config_map::AWS_AUTH)
    }

    /// It as the ConfigMap `name`, checked.
    fn checked_as(&self, name: &str) -> CheckedFile {
        CheckedFile::parse(Path::new(name), self.manifest(name))
    }

    /// The keys in their order, `data` first, as kubectl prints them.
    fn manifest(&self, name: &str) -> String {
        let mut text = "apiVersion: v1\ndata:".to_owned();
        if self.data.is_empty() {
            text.push_str(" {}");
        }
        text.push('\n');
        for (key, value) in &self.data {
            text.push_str(&format!("  {}: {}", quoted(key), block(value)));
        }
        text + &format!("kind: ConfigMap\nmetadata:\n  name: {}\n  namespace: {NAMESPACE}\n", quoted(name))
    }
}

/// The objects of `target`, as the API server lists them, checked as the documents of one file: older ones first, as they
/// count.
#[must_use]
pub fn identity_mappings(target: &Target, file: &Path, objects: &[Value]) -> CheckedFile {
    let mut sorted: Vec<&Value> = objects.iter().collect();
    let word = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    sorted.sort_by_key(|object| (word(object, "creationTimestamp"), word(object, "name")));
    let documents = sorted.iter().map(|object| {
        let spec = serde_saphyr::to_string(&object["spec"]).unwrap_or_else(|_| object["spec"].to_string());
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let head = format!("apiVersion: {}/{}\nkind: {}\n", target.group, target.version, target.kind);
        format!("{head}metadata:\n  name: {}\nspec:\n{spec}", quoted(&word(object, "name")))
    });
    let documents: Vec<String> = documents.collect();
    let text = if documents.len() > MAX_DOCUMENTS { list(&documents) } else { documents.join("---\n") };
    CheckedFile::parse(file, text)
}

/// One document with all of `documents`: a file has fewer than a cluster may have objects.
fn list(documents: &[String]) -> String {
    let lines = documents.iter().flat_map(|document| {
        let marks = std::iter::once("- ").chain(std::iter::repeat("  "));
        std::iter::zip(marks, document.lines()).map(|(mark, line)| format!("{mark}{line}\n"))
    });
    format!("apiVersion: v1\nkind: List\nitems:\n{}", lines.collect::<String>())
}

/// A text as the value of a key on the second level: in lines as they are if YAML allows it, else in quotes.
fn block(text: &str) -> String {
    let plain = |letter: char| letter == '\n' || is_printable(letter);
    let first = text.lines().next().unwrap_or_default();
    if !text.contains('\n') || first.is_empty() || first.starts_with([' ', '\t']) || !text.chars().all(plain) {
        return format!("{}\n", quoted(text));
    }
    let marker = match (text.ends_with("\n\n"), text.ends_with('\n')) {
        (true, _) => "|+",
        (false, true) => "|",
        (false, false) => "|-",
    };
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
    format!("{marker}\n{}", text.lines().map(indented).collect::<String>())
}

/// A text in quotes that YAML and JSON share, or as it is where it is plain to both.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let word =
        !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain && word {
        return text.to_owned();
    }
    json(&text.into())
}

/// A value in JSON that is YAML too. JSON escapes only what stands before the blank.
pub(super) fn json(value: &Value) -> String {
    let escaped = |letter: char| match letter {
        _ if is_printable(letter) => letter.to_string(),
        _ => format!("\\u{:04x}", u32::from(letter)),
    };
    value.to_string().chars().map(escaped).collect()
}

/// Whether a text may hold it as it is (YAML 1.2.2, "Character Set"), and on one line.
fn is_printable(letter: char) -> bool {
    !letter.is_control() && !['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'].contains(&letter)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(data: &[(&str, &str)], expected: &Expect) {
        let data: BTreeMap<String, String> =
            data.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let text = AuthMap { data: data.clone(), ..AuthMap::default() }.manifest("aws-auth");
        let read: Value = serde_saphyr::from_str(&text).expect("YAML");
        let back = AuthMap::of(&read);
        assert_eq!(back.data, data, "{text}");
        expected.assert_eq(&text);
    }

    #[test]
    fn a_list_behind_a_marker_is_read_with_it() {
        let roles = "---\n- rolearn: arn:aws:iam::123456789012:role/A\n  username: a\n";
        let data = BTreeMap::from([("mapRoles".to_owned(), roles.to_owned())]);
        let checked = AuthMap { data, ..AuthMap::default() }.checked();
        assert_eq!(checked.parts[0].config.rules.len(), 1, "{:?}", checked.findings);
    }

    #[test]
    fn all_objects_of_a_cluster_are_checked_however_many_there_are() {
        for count in [MAX_DOCUMENTS, MAX_DOCUMENTS + 1, 3 * MAX_DOCUMENTS] {
            let object = |number: usize| {
                let arn = format!("arn:aws:iam::123456789012:role/R{number}");
                let spec = serde_json::json!({ "arn": arn, "username": "a", "groups": ["g"] });
                serde_json::json!({ "metadata": { "name": format!("r{number}") }, "spec": spec })
            };
            let objects: Vec<Value> = (0..count).map(object).collect();
            let checked = identity_mappings(&identity_mapping::TARGET, Path::new("a"), &objects);
            assert!(checked.findings.is_empty(), "{:?}", checked.findings.first());
            assert_eq!(checked.parts.iter().map(|part| part.config.rules.len()).sum::<usize>(), count);
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[\\PC\\n\\r\\t \\x7f\u{85}\u{feff}\u{2028}:#-]{0,40}") {
            let data = BTreeMap::from([("mapRoles".to_owned(), text)]);
            let written = AuthMap { data: data.clone(), ..AuthMap::default() }.manifest("aws-auth");
            let read: Value = serde_saphyr::from_str(&written).map_err(|error| TestCaseError::fail(format!("{written}{error}")))?;
            prop_assert_eq!(AuthMap::of(&read).data, data, "{}", written);
        }
    }

    #[test]
    fn texts_come_back_as_they_are() {
        check(
            &[],
            &expect![[r#"
            apiVersion: v1
            data: {}
            kind: ConfigMap
            metadata:
              name: aws-auth
              namespace: kube-system
        "#]],
        );
        check(
            &[("mapUsers", ""), ("mapRoles", "- a: b\n\n  # c\n  d: e\n"), ("z", "a\nb")],
            &expect![[r#"
            apiVersion: v1
            data:
              mapRoles: |
                - a: b

                  # c
                  d: e
              mapUsers: ""
              z: |-
                a
                b
            kind: ConfigMap
            metadata:
              name: aws-auth
              namespace: kube-system
        "#]],
        );
        check(
            &[("a", "x\n\n"), ("b", "  x\ny\n"), ("c", "\nx\n"), ("d", "a\r\nb\n"), ("true", "yes")],
            &expect![[r#"
            apiVersion: v1
            data:
              a: |+
                x

              b: "  x\ny\n"
              c: "\nx\n"
              d: "a\r\nb\n"
              "true": "yes"
            kind: ConfigMap
            metadata:
              name: aws-auth
              namespace: kube-system
        "#]],
        );
    }
}
