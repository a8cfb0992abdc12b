//! Who may use the admin API.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::{
    clock::Clock,
    model::secrets::{NewToken, Role, SecretHash, new_admin_token},
    store::{Change, Page, Store, StoreError},
};

/// The name of the token that Core begins with.
const BOOTSTRAP: &str = "bootstrap";

/// Knows admins by their tokens.
pub struct Admins {
    store: Arc<dyn Store>,
    clock: Clock,
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
    /// The store did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Admins {
    /// Knows the tokens of the store, and that of the settings if there is one.
    pub fn new(store: Arc<dyn Store>, clock: Clock, bootstrap: Option<&SecretString>) -> Self {
        let bootstrap = bootstrap.map(|token| SecretHash::of(token.expose_secret()));
        Self {
            store,
            clock,
            bootstrap,
        }
    }

    /// Lets an admin in.
    pub async fn admit(&self, token: Option<&str>, needs: Role) -> Result<Admin, AdminAuthError> {
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
