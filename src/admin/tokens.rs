//! Admin tokens.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    clock::Clock,
    model::{
        TokenId,
        secrets::{AdminToken, NewToken, Role, SecretHash, new_admin_token},
    },
    store::{Change, Page, Store},
};

use super::{AdminError, Desk, readable};

/// Makes a token; its secret is shown this once.
pub async fn create(
    store: &dyn Store,
    clock: &Clock,
    (name, role, ttl): (&str, Role, Option<Duration>),
    by: &Change,
) -> Result<(SecretString, AdminToken), AdminError> {
    let name = readable("name", name, 255)?;
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(AdminError::Invalid("ttlSeconds must be at least 1".to_owned()));
    }
    let secret = new_admin_token();
    let created_at = clock.now();
    let token = NewToken {
        hash: SecretHash::of(secret.expose_secret()),
        name,
        role,
        created_at,
        expires_at: ttl.map(|ttl| created_at.plus(ttl)),
    };
    Ok((secret, store.create_token(token, by).await?))
}

impl Desk {
    /// The tokens, newest first.
    pub async fn tokens(&self, page: Page) -> Result<Vec<AdminToken>, AdminError> {
        Ok(self.store.tokens(page).await?)
    }

    /// One token.
    pub async fn token(&self, id: TokenId) -> Result<AdminToken, AdminError> {
        let at_most = Page {
            before: id.0.checked_add(1),
            limit: 1,
        };
        let tokens = self.store.tokens(at_most).await?;
        tokens
            .into_iter()
            .find(|token| token.id == id)
            .ok_or(AdminError::Missing("token"))
    }

    /// Deletes a token.
    pub async fn delete_token(&self, id: TokenId, by: &Change) -> Result<(), AdminError> {
        if self.store.delete_token(id, by).await? {
            Ok(())
        } else {
            Err(AdminError::Missing("token"))
        }
    }
}
