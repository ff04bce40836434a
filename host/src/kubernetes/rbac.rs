//! RBAC: which bindings name a user or its groups (Kubernetes documentation, "Using RBAC Authorization").
//!
//! Not which requests are allowed: only the API server knows that, which may have other authorizers too.

use serde::Serialize;
use serde_json::Value;

use super::{Client, UserInfo, client::Place, watch::ApiError};

/// A binding that names somebody.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// `ClusterRoleBinding` or `RoleBinding`.
    pub kind: &'static str,
    /// The namespace that it is about; without one, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// `ClusterRole` or `Role`.
    pub role_kind: String,
    /// Name of the role.
    pub role: String,
    /// Whom it names: `user NAME` or `group NAME`.
    pub subject: String,
}

/// The group whose members the API server lets do everything, whatever bindings say (Kubernetes documentation,
/// "Role Based Access Control Good Practices").
pub const MASTERS: &str = "system:masters";
/// The group whose members the Node authorizer judges.
pub const NODES: &str = "system:nodes";
const GROUP: &str = "rbac.authorization.k8s.io";
/// How the usernames of service accounts start.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The bindings that name `user` or one of its groups, those of all namespaces first. Those that name everybody who
/// has logged in are left out.
///
/// # Errors
///
/// When the API server does not let bindings be listed.
pub async fn bindings(client: &Client, user: &UserInfo) -> Result<Vec<Binding>, ApiError> {
    let mut found = Vec::new();
    for (kind, plural) in [("ClusterRoleBinding", "clusterrolebindings"), ("RoleBinding", "rolebindings")] {
        let place = Place { group: GROUP, version: "v1", plural, ..Place::default() };
        let objects = client.list(&place).await?.unwrap_or_default();
        found.extend(objects.iter().flat_map(|object| naming(kind, object, user)));
    }
    Ok(found)
}

/// One binding for each subject of `object` that is `user`.
fn naming(kind: &'static str, object: &Value, user: &UserInfo) -> Vec<Binding> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subjects = object["subjects"].as_array().into_iter().flatten();
    let named = subjects.filter_map(|subject| who(subject, user));
    let bind = |subject| Binding {
        kind,
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        name: word(&object["metadata"]["name"]),
        role_kind: word(&object["roleRef"]["kind"]),
        role: word(&object["roleRef"]["name"]),
        subject,
    };
    named.map(bind).collect()
}

fn who(subject: &Value, user: &UserInfo) -> Option<String> {
    let name = subject["name"].as_str()?;
    let is = match subject["kind"].as_str()? {
        "User" => user.username == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let namespace = subject["namespace"].as_str()?;
            user.username.strip_prefix(SERVICE_ACCOUNT) == Some(format!("{namespace}:{name}").as_str())
        }
        _ => false,
    };
    let kind = if subject["kind"] == "Group" { "group" } else { "user" };
    let name = if subject["kind"] == "ServiceAccount" { &user.username } else { name };
    is.then(|| format!("{kind} {name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_exact_and_of_their_kind() {
        #[track_caller]
        fn check(subject: &Value, expected: Option<&str>) {
            let groups = vec!["ops".to_owned(), "dev".to_owned()];
            let user = UserInfo { username: "system:serviceaccount:a:b".to_owned(), groups, ..UserInfo::default() };
            let object = json!({ "metadata": { "name": "x" }, "roleRef": {}, "subjects": [subject] });
            let found = naming("RoleBinding", &object, &user);
            assert_eq!(found.first().map(|binding| binding.subject.as_str()), expected, "{object}");
        }
        check(&json!({"kind": "Group", "name": "Ops"}), None);
        check(&json!({"kind": "User", "name": "ops"}), None);
        check(&json!({"kind": "Group", "name": "system:serviceaccount:a:b"}), None);
        check(&json!({"kind": "ServiceAccount", "name": "b", "namespace": "c"}), None);
        check(&json!({"kind": "ServiceAccount", "name": "b"}), None);
        check(&json!({"kind": "Group", "name": "dev"}), Some("group dev"));
        let user = Some("user system:serviceaccount:a:b");
        check(&json!({"kind": "User", "name": "system:serviceaccount:a:b"}), user);
        check(&json!({"kind": "ServiceAccount", "name": "b", "namespace": "a"}), user);
        assert!(naming("RoleBinding", &json!({}), &UserInfo::default()).is_empty());
    }
}
