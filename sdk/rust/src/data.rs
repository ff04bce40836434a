//! Read-only tables that the operator attaches to a policy under names. One login sees one version of each.
//!
//! A policy that uses them imports `herald:policy/data`, and loads only where its entry has `tables`. They are there
//! for [`decide`](crate::Policy::decide), not for [`configure`](crate::Policy::configure). In a native build they are
//! those of [`testing::set_table`](crate::testing::set_table) and [`testing::set_not_ready`](crate::testing::set_not_ready).

use crate::Fault;

/// Why a table could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DataError {
    /// No table of that name is attached to this policy.
    NotGranted,
    /// Attached, but never loaded yet.
    NotReady,
}

/// The value of one key, text or JSON; `None` if the key is not there.
///
/// # Errors
///
/// [`DataError`]; `?` makes it the fault that it is.
pub fn get(table: &str, key: &str) -> Result<Option<String>, DataError> {
    host::get(table, key)
}

/// The keys that start with `prefix`, sorted, at most `limit` of them. One call gives 4096 at most: a larger `limit` where
/// there are more keys than that ends the decision as a fault, so that nobody takes a part of a list for all of it.
///
/// # Errors
///
/// As [`get`].
pub fn keys(table: &str, prefix: &str, limit: u32) -> Result<Vec<String>, DataError> {
    host::keys(table, prefix, limit)
}

/// Digest of the table's content, for the log.
///
/// # Errors
///
/// As [`get`].
pub fn version(table: &str) -> Result<String, DataError> {
    host::version(table)
}

// === impl DataError ===

impl From<DataError> for Fault {
    fn from(error: DataError) -> Self {
        match error {
            DataError::NotGranted => Self::broken("a table that this policy needs is not attached: see `tables`"),
            DataError::NotReady => Self::unavailable("a table is not loaded yet"),
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::DataError;
    use crate::bindings::host_data;

    pub(super) fn get(table: &str, key: &str) -> Result<Option<String>, DataError> {
        host_data::get(table, key).map_err(error)
    }

    pub(super) fn keys(table: &str, prefix: &str, limit: u32) -> Result<Vec<String>, DataError> {
        host_data::keys(table, prefix, limit).map_err(error)
    }

    pub(super) fn version(table: &str) -> Result<String, DataError> {
        host_data::version(table).map_err(error)
    }

    fn error(error: host_data::DataError) -> DataError {
        match error {
            host_data::DataError::NotGranted => DataError::NotGranted,
            host_data::DataError::NotReady => DataError::NotReady,
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use super::DataError;
    use crate::testing::with_table;

    /// Most keys that one call returns.
    const MAX_KEYS: usize = 4096;

    pub(super) fn get(table: &str, key: &str) -> Result<Option<String>, DataError> {
        with_table(table, |entries| entries.get(key).cloned())
    }

    pub(super) fn keys(table: &str, prefix: &str, limit: u32) -> Result<Vec<String>, DataError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let keys: Vec<String> = with_table(table, |entries| {
            entries.keys().filter(|key| key.starts_with(prefix)).take(most).cloned().collect()
        })?;
        assert!(keys.len() <= MAX_KEYS, "more than {MAX_KEYS} keys of {table} are asked for: a host ends the decision");
        Ok(keys)
    }

    pub(super) fn version(table: &str) -> Result<String, DataError> {
        with_table(table, |entries| format!("{} entries", entries.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{set_not_ready, set_table};

    #[test]
    fn tables_of_a_test() {
        assert_eq!(get("rota", "a"), Err(DataError::NotGranted));
        set_table("rota", [("b", "bob"), ("a", "alice"), ("c", "carol")]);
        assert_eq!((get("rota", "a"), get("rota", "x")), (Ok(Some("alice".to_owned())), Ok(None)));
        assert_eq!(keys("rota", "", 2), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(version("rota"), Ok("3 entries".to_owned()));
        set_not_ready("later");
        assert_eq!((get("later", "a"), keys("later", "", 2)), (Err(DataError::NotReady), Err(DataError::NotReady)));
        assert!(matches!(Fault::from(DataError::NotReady), Fault::Unavailable(_)));
        assert!(matches!(Fault::from(DataError::NotGranted), Fault::Broken(_)));
    }

    fn set_large(count: usize) {
        let names: Vec<String> = (0..count).map(|key| format!("k{key:05}")).collect();
        set_table("large", names.iter().map(|name| (name.as_str(), "")));
    }

    #[test]
    fn a_list_of_keys_is_whole_or_as_long_as_asked_for() {
        let count = |limit| keys("large", "k", limit).map(|keys| keys.len());
        set_large(4096);
        assert_eq!((count(u32::MAX), count(4096), count(7)), (Ok(4096), Ok(4096), Ok(7)));
        set_large(4097);
        assert_eq!(count(4096), Ok(4096));
    }

    #[test]
    #[should_panic(expected = "more than 4096 keys of large are asked for")]
    fn a_longer_list_of_keys_ends_the_decision() {
        set_large(4097);
        let _ = keys("large", "", 4097);
    }
}
