//! A person's kubeconfig: one cluster, its user and its context put into a file that may hold others.
//!
//! What else the file holds is kept, keys that are unknown here too; comments and the order of keys are
//! not. Keys come out sorted, as `kubectl config` writes them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// What to put in.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Name of the cluster's entry, and of the user's and the context's unless they have their own.
    pub name: String,
    /// Name of the user's entry. Default: `name`.
    pub user: Option<String>,
    /// Name of the context's entry. Default: `name`.
    pub context: Option<String>,
    /// URL of the API server. Default: what the file says.
    pub server: Option<String>,
    /// Certificates that the API server is known by, PEM. Default: what the file says, else the system's.
    pub certificate_authority: Option<String>,
    /// The exec plugin.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Why nothing was put in. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The API server's place is told neither by the file nor by its owner.
    #[error("the file has no cluster {0:?} yet: where is its API server?")]
    NoServer(String),
    /// No YAML, or more than one document of it.
    #[error("not a kubeconfig")]
    Syntax(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something is not of the type that kubeconfigs have there.
    #[error("not a kubeconfig: {0}")]
    Shape(&'static str),
}

/// A version that every kubectl since 1.22 speaks; it has to be told whether the plugin may use the terminal.
const EXEC_VERSION: &str = "client.authentication.k8s.io/v1";

// === impl Entry ===

impl Entry {
    /// The text of a kubeconfig that holds what `existing` does and this entry, which is in use from now on.
    ///
    /// Entries of the same names keep what this says nothing about: a context its namespace, a cluster its
    /// proxy. A user is replaced whole, since another credential beside the plugin would win over it.
    ///
    /// # Errors
    ///
    /// [`MergeError`].
    pub fn merge(&self, existing: &str) -> Result<String, MergeError> {
        let mut root = match existing {
            text if text.trim().is_empty() => Map::new(),
            text => match serde_saphyr::from_str(text).map_err(|error| syntax(&error))? {
                Value::Null => Map::new(),
                Value::Object(root) => root,
                _ => return Err(MergeError::Shape("the whole file must be a map")),
            },
        };
        root.entry("apiVersion").or_insert_with(|| "v1".into());
        root.entry("kind").or_insert_with(|| "Config".into());
        self.put_cluster(&mut root)?;
        let (user, context) = (self.user.as_ref().unwrap_or(&self.name), self.context.as_ref().unwrap_or(&self.name));
        *inner(&mut root, "users", user, "user")? = self.exec();
        let entry = inner(&mut root, "contexts", context, "context")?;
        entry.insert("cluster".to_owned(), self.name.as_str().into());
        entry.insert("user".to_owned(), user.as_str().into());
        root.insert("current-context".to_owned(), context.as_str().into());
        serde_saphyr::to_string(&Value::Object(root)).map_err(|error| MergeError::Syntax(Box::new(error)))
    }

    fn put_cluster(&self, root: &mut Map<String, Value>) -> Result<(), MergeError> {
        let cluster = inner(root, "clusters", &self.name, "cluster")?;
        if let Some(server) = &self.server {
            cluster.insert("server".to_owned(), server.as_str().into());
        }
        if !cluster.contains_key("server") {
            return Err(MergeError::NoServer(self.name.clone()));
        }
        if let Some(pem) = &self.certificate_authority {
            cluster.insert("certificate-authority-data".to_owned(), STANDARD.encode(pem).into());
            // Kubernetes takes neither both, nor a certificate that is not to be looked at.
            cluster.remove("certificate-authority");
            cluster.remove("insecure-skip-tls-verify");
        }
        Ok(())
    }

    fn exec(&self) -> Map<String, Value> {
        let exec = json!({
            "apiVersion": EXEC_VERSION,
            "command": self.command,
            "args": self.args,
            "installHint": "Install herald and put it on your PATH.",
            "interactiveMode": "IfAvailable",
        });
        Map::from_iter([("exec".to_owned(), exec)])
    }
}

/// The text of a kubeconfig that is `existing` with `exec` in place of every user's credentials.
///
/// # Errors
///
/// [`MergeError`].
pub fn with_plugin(existing: &str, exec: &Value) -> Result<String, MergeError> {
    let read = serde_saphyr::from_str(existing).map_err(|error| syntax(&error))?;
    let Value::Object(mut root) = read else { return Err(MergeError::Shape("the whole file must be a map")) };
    let users = root.get_mut("users").and_then(Value::as_array_mut);
    let users = users.filter(|users| !users.is_empty()).ok_or(MergeError::Shape("there are no users"))?;
    for user in users {
        let user = user.as_object_mut().ok_or(MergeError::Shape("an entry must be a map"))?;
        user.insert("user".to_owned(), json!({ "exec": exec }));
    }
    root.insert("preferences".to_owned(), json!({}));
    serde_saphyr::to_string(&Value::Object(root)).map_err(|error| MergeError::Syntax(Box::new(error)))
}

/// The parser's words without the lines around the place, which may hold credentials.
fn syntax(error: &serde_saphyr::Error) -> MergeError {
    MergeError::Syntax(error.without_snippet().to_string().into())
}

/// What stands under `key` in the entry `name` of `list`, which is made if there is none.
fn inner<'a>(
    root: &'a mut Map<String, Value>,
    list: &'static str,
    name: &str,
    key: &'static str,
) -> Result<&'a mut Map<String, Value>, MergeError> {
    let entries = root.entry(list).or_insert_with(|| json!([]));
    if entries.is_null() {
        *entries = json!([]);
    }
    let entries = entries.as_array_mut().ok_or(MergeError::Shape("clusters, users and contexts must be lists"))?;
    let at = entries.iter().position(|entry| entry["name"] == name).unwrap_or_else(|| {
        entries.push(json!({ "name": name }));
        entries.len() - 1
    });
    let entry = entries[at].as_object_mut().ok_or(MergeError::Shape("an entry must be a map"))?;
    let value = entry.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or(MergeError::Shape("a cluster, user or context must be a map"))
}

#[cfg(test)]
mod tests;
