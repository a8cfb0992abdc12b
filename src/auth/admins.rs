//! Who may use the admin API.

use std::{net::IpAddr, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::{
    clock::Clock,
    model::secrets::{NewToken, Role, SecretHash, new_admin_token},
    store::{Change, Page, Store, StoreError},
};

use super::{guard::Guard, limits::TooMany, whole_seconds};

/// The name of the token that Core begins with.
const BOOTSTRAP: &str = "bootstrap";

/// Knows admins by their tokens.
pub struct Admins {
    store: Arc<dyn Store>,
    clock: Clock,
    guard: Arc<Guard>,
    /// The token of the settings: good even while the store is away.
    bootstrap: Option<SecretHash>,
}

/// An admin who has shown a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum AdminAuthError {
    /// No token, an unknown one, one that has ended: never said which.
    #[error("the bearer token is missing or not valid")]
    Unknown,
    /// The token may not do that.
    #[error("the token's role may only read")]
    ReadOnly,
    /// This address has shown too many tokens that are none.
    #[error("too many calls: come back in {} s", whole_seconds(*.0))]
    TooMany(Duration),
    /// The store did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Admins {
    /// Knows the tokens of the store, and that of the settings if there is one.
    pub fn new(store: Arc<dyn Store>, clock: Clock, guard: Arc<Guard>, bootstrap: Option<&SecretString>) -> Self {
        let bootstrap = bootstrap.map(|token| SecretHash::of(token.expose_secret()));
        Self {
            store,
            clock,
            guard,
            bootstrap,
        }
    }

    /// Who looks at addresses and rates.
    pub const fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Lets an admin in who calls from there. A good token is never refused for what its address did before.
    pub async fn admit(&self, token: Option<&str>, needs: Role, from: IpAddr) -> Result<Admin, AdminAuthError> {
        match self.known(token, needs).await {
            Err(AdminAuthError::Unknown) => {
                let TooMany(wait) = match self.guard.auth_failure(from) {
                    Ok(()) => return Err(AdminAuthError::Unknown),
                    Err(too_many) => too_many,
                };
                Err(AdminAuthError::TooMany(wait))
            }
            admitted => admitted,
        }
    }

    /// Whose token it is, if it may do that.
    pub async fn known(&self, token: Option<&str>, needs: Role) -> Result<Admin, AdminAuthError> {
        let hash = SecretHash::of(token.ok_or(AdminAuthError::Unknown)?);
        let admin = if self.bootstrap.is_some_and(|known| known.0.ct_eq(&hash.0).into()) {
            Admin {
                name: BOOTSTRAP.to_owned(),
                role: Role::Admin,
            }
        } else {
            let known = self
                .store
                .use_token(hash, self.clock.now())
                .await?
                .ok_or(AdminAuthError::Unknown)?;
            Admin {
                name: known.name,
                role: known.role,
            }
        };
        if needs == Role::Admin && admin.role != Role::Admin {
            Err(AdminAuthError::ReadOnly)
        } else {
            Ok(admin)
        }
    }

    /// On the first start, where nobody could get in: makes a token and gives its text, which is kept nowhere else.
    pub async fn first_token(&self) -> Result<Option<SecretString>, StoreError> {
        if self.bootstrap.is_some() || !self.store.tokens(Page { before: None, limit: 1 }).await?.is_empty() {
            return Ok(None);
        }
        let secret = new_admin_token();
        let at = self.clock.now();
        let token = NewToken {
            hash: SecretHash::of(secret.expose_secret()),
            name: BOOTSTRAP.to_owned(),
            role: Role::Admin,
            created_at: at,
            expires_at: None,
        };
        let by = Change {
            actor: "core".to_owned(),
            address: None,
            request_id: None,
            at,
        };
        self.store.create_token(token, &by).await?;
        Ok(Some(secret))
    }
}
