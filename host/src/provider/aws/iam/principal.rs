//! Who is asked for: a role or a user of one account, by name and by unique id (IAM User Guide, "IAM identifiers").

use super::IamError;
use crate::caller::{AccountId, Caller, PrincipalKind};

/// A role or user of AWS whom a cloud vouched for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Principal {
    kind: Kind,
    account: AccountId,
    name: String,
    id: String,
}

/// What kind it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    /// `AROA…`.
    Role,
    /// `AIDA…`.
    User,
}

// === impl Principal ===

impl Principal {
    /// The role behind a session, or the user that `caller` is.
    ///
    /// # Errors
    ///
    /// [`IamError::NoPrincipal`] for roots, federated users, instances by their own identity and callers of other clouds.
    pub fn of(caller: &Caller) -> Result<Self, IamError> {
        let kind = match caller.kind {
            PrincipalKind::AssumedRole => Kind::Role,
            PrincipalKind::User => Kind::User,
            _ => return Err(IamError::NoPrincipal),
        };
        // No name in IAM has a colon; that of the role which every instance has does.
        let is_of_iam = !caller.name.is_empty() && !caller.name.contains(':');
        if caller.provider != crate::provider::aws::NAME || !is_of_iam {
            return Err(IamError::NoPrincipal);
        }
        let (account, name) = (caller.account_id.clone(), caller.name.clone());
        Ok(Self { kind, account, name, id: caller.principal_id.as_str().to_owned() })
    }

    /// His unique id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn account(&self) -> &AccountId {
        &self.account
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
