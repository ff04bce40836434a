//! Kubeconfigs of people and of Alibaba Cloud: to a second reader of YAML, what is put in is there and everything else is as it
//! was; once is enough; and an answer that does not say 200 gives none.
//!
//! The first two bytes are the status of an answer, the rest is its body, and a kubeconfig by itself.
#![no_main]

use herald::{
    kubernetes::kubeconfig::client::{Entry, MergeError, with_plugin},
    provider::alibaba::kubeconfig::{KubeconfigError, read},
};
use herald_fuzz::ALIBABA_HOST;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const NAME: &str = "fuzz";
/// What Kubernetes does not take beside an authority of ours.
const GONE: [&str; 2] = ["certificate-authority", "insecure-skip-tls-verify"];
const LISTS: [(&str, &str); 3] = [("clusters", "cluster"), ("users", "user"), ("contexts", "context")];

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(2) else { return };
    let status = 100 + u16::from_be_bytes([head[0], head[1]]) % 500;
    match read(&ALIBABA_HOST.parse().expect("a host"), status, body) {
        Ok(config) => {
            assert_eq!(status, 200);
            // What the reader passes over, this one may not take; and a list of its fields reads as an object.
            if let Ok(answer @ Value::Object(_)) = serde_json::from_slice(body) {
                assert_eq!(answer["config"], config.as_str());
            }
            put_in(&config);
        }
        Err(KubeconfigError::Refused { code, .. }) => {
            let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
            assert!(status != 200 && (plain && code.len() <= 64 || code == format!("HTTP {status}")));
        }
        Err(error) => assert!(status == 200 && !error.to_string().is_empty()),
    }
    if let Ok(text) = std::str::from_utf8(body) {
        put_in(text);
    }
});

fn put_in(text: &str) {
    merge(text);
    let exec = json!({"command": "herald", "args": ["token"]});
    let Ok(after) = with_plugin(text, &exec) else { return };
    let (mut before, mut after) = (value(text), value(&after));
    let users = after["users"].as_array().expect("a list").iter();
    assert!(users.clone().count() > 0 && users.clone().all(|user| user["user"] == json!({"exec": exec})));
    // Nothing but credentials and preferences is another.
    for file in [&mut before, &mut after] {
        file["preferences"] = json!({});
        let users = file["users"].as_array_mut().expect("a list").iter_mut();
        users.for_each(|user| drop(user.as_object_mut().expect("a map").remove("user")));
    }
    assert_eq!(after, before);
}

fn merge(text: &str) {
    let entry = Entry {
        name: NAME.to_owned(),
        server: Some("https://fuzz.example.com".to_owned()),
        certificate_authority: Some("PEM".to_owned()),
        command: "herald".to_owned(),
        args: vec!["token".to_owned()],
        ..Entry::default()
    };
    let merged = match entry.merge(text) {
        Ok(merged) => merged,
        Err(error) => return assert!(!matches!(error, MergeError::NoServer(_))),
    };
    assert_eq!(entry.merge(&merged).as_ref().ok(), Some(&merged), "once is enough");
    let (before, after) = (if text.trim().is_empty() { json!({}) } else { value(text) }, value(&merged));
    assert_eq!(after["current-context"], NAME);
    for (list, key) in LISTS {
        let (ours, others) = split(&after[list]);
        let (old, before) = split(&before[list]);
        assert_eq!(others, before, "{list}");
        let [ours] = ours[..] else { panic!("{list}: one is ours") };
        let old = old.first().map_or(&Value::Null, |old| &old[key]);
        let expected = match list {
            "clusters" => json!({"server": "https://fuzz.example.com", "certificate-authority-data": "UEVN"}),
            "contexts" => json!({"cluster": NAME, "user": NAME}),
            _ => {
                json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "herald", "args": ["token"],
                "installHint": "Install herald and put it on your PATH.", "interactiveMode": "IfAvailable"}})
            }
        };
        let ours = ours[key].as_object().expect("a map");
        if list == "users" {
            assert_eq!(ours.len(), 1, "another credential would win over the plugin");
        }
        for (name, value) in ours {
            assert_eq!(value, expected.get(name).unwrap_or_else(|| &old[name]), "{list} {name}");
            assert!(list != "clusters" || !GONE.contains(&name.as_str()));
        }
        assert!(expected.as_object().is_some_and(|keys| keys.keys().all(|name| ours.contains_key(name))));
    }
}

/// The entries of our name, but for all but the first of them, and the others.
fn split(list: &Value) -> (Vec<&Value>, Vec<&Value>) {
    let entries: Vec<&Value> = list.as_array().into_iter().flatten().collect();
    let first = entries.iter().position(|entry| entry["name"] == NAME);
    let (ours, others): (Vec<_>, Vec<_>) = entries.into_iter().enumerate().partition(|(at, _)| Some(*at) == first);
    (ours.into_iter().map(|(_, entry)| entry).collect(), others.into_iter().map(|(_, entry)| entry).collect())
}

fn value(yaml: &str) -> Value {
    match serde_saphyr::from_str(yaml).expect("what was read is YAML") {
        Value::Null => json!({}),
        value => value,
    }
}
