//! Registration codes.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    clock::Clock,
    model::{
        CodeId, NodeId,
        node::{NewCode, RegistrationCode},
        secrets::{SecretHash, new_registration_code},
    },
    store::{Change, Page, Store},
};

use super::{AdminError, Desk, readable};

/// How long a code lives if nobody says otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_hours(1);

/// The longest life of a code.
const TTL_MAX: Duration = Duration::from_hours(24 * 365);

/// The most uses of a code.
const USES_MAX: i64 = 100_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct CodeOrder {
    /// What the admin calls it.
    pub name: Option<String>,
    /// The node that shall get a new key with it; none = it makes a new node.
    pub node_id: Option<NodeId>,
    /// How long it lives.
    pub ttl: Duration,
    /// How often it can be used.
    pub uses: i64,
}

/// Makes a code; its secret is shown this once.
pub async fn create(
    store: &dyn Store,
    clock: &Clock,
    order: CodeOrder,
    by: &Change,
) -> Result<(SecretString, RegistrationCode), AdminError> {
    if order.ttl.is_zero() || order.ttl > TTL_MAX {
        return Err(AdminError::Invalid(
            "ttlSeconds must be between 1 and 31536000".to_owned(),
        ));
    }
    if !(1..=USES_MAX).contains(&order.uses) {
        return Err(AdminError::Invalid(format!("uses must be between 1 and {USES_MAX}")));
    }
    if order.node_id.is_some() && order.uses != 1 {
        return Err(AdminError::Invalid(
            "uses must be 1 for a code with a nodeId".to_owned(),
        ));
    }
    let name = order.name.map(|name| readable("name", &name, 255)).transpose()?;
    let secret = new_registration_code();
    let created_at = clock.now();
    let code = NewCode {
        hash: SecretHash::of(secret.expose_secret()),
        name,
        node_id: order.node_id,
        created_at,
        expires_at: created_at.plus(order.ttl),
        uses: order.uses,
    };
    let code = store.create_code(code, by).await?;
    let code = code.ok_or_else(|| AdminError::Invalid("nodeId is not a node".to_owned()))?;
    Ok((secret, code))
}

impl Desk {
    /// The codes, newest first.
    pub async fn codes(&self, page: Page) -> Result<Vec<RegistrationCode>, AdminError> {
        Ok(self.store.codes(page).await?)
    }

    /// One code.
    pub async fn code(&self, id: CodeId) -> Result<RegistrationCode, AdminError> {
        self.store
            .code(id)
            .await?
            .ok_or(AdminError::Missing("registration code"))
    }

    /// Takes a code back.
    pub async fn delete_code(&self, id: CodeId, by: &Change) -> Result<(), AdminError> {
        if self.store.delete_code(id, by).await? {
            Ok(())
        } else {
            Err(AdminError::Missing("registration code"))
        }
    }
}
