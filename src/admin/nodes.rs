//! Nodes, as admins see and change them.

use std::sync::Arc;

use secrecy::SecretString;

use crate::{
    model::{
        KeyId, NodeId,
        node::{NodeErrorRow, NodeKey, NodePatch},
        node_config::NodeConfig,
        presence::OnlineUser,
        secrets::KeyIssuer,
    },
    node::{NodeError, slot::NodeView},
    presence::{Wanted, actor::WhoIsOnline},
    store::{Change, Page, PatchOutcome, StoreError},
};

use super::{AdminError, Desk, VISIBLE_WAIT, readable};

impl Desk {
    /// A page of nodes, newest first.
    pub fn nodes(&self, page: Page) -> Vec<NodeView> {
        self.nodes.list(page.before.map(NodeId), page.limit as usize)
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> Result<NodeView, AdminError> {
        self.nodes.view(id).ok_or(AdminError::Missing("node"))
    }

    /// Changes a node; the change is visible when this returns.
    pub async fn patch_node(
        &self,
        id: NodeId,
        mut patch: NodePatch,
        if_version: Option<i64>,
        by: &Change,
    ) -> Result<NodeView, AdminError> {
        patch.name = patch.name.map(|name| readable("name", &name, 255)).transpose()?;
        patch.region = match patch.region {
            Some(region) if !region.is_empty() => Some(readable("region", &region, 255)?),
            region => region,
        };
        patch.domain = match patch.domain {
            Some(Some(domain)) if !domain.is_empty() => Some(Some(readable("domain", &domain, 253)?)),
            Some(_) => Some(None),
            None => None,
        };
        if patch.traffic_multiplier.is_some_and(|it| !(0.0..=1000.0).contains(&it)) {
            return Err(AdminError::Invalid(
                "trafficMultiplier must be between 0 and 1000".to_owned(),
            ));
        }
        match self.store.patch_node(id, patch, if_version, by).await? {
            PatchOutcome::Done(_) => self.make_visible().await,
            PatchOutcome::Missing => return Err(AdminError::Missing("node")),
            PatchOutcome::Stale => return Err(AdminError::Stale),
            PatchOutcome::NameTaken => return Err(AdminError::NameTaken),
        }
        self.node(id)
    }

    /// Deletes a node and its keys; what it counted stays.
    pub async fn delete_node(&self, id: NodeId, if_version: Option<i64>, by: &Change) -> Result<(), AdminError> {
        if if_version.is_some_and(|version| self.nodes.view(id).is_some_and(|it| it.seed.record.version != version)) {
            return Err(AdminError::Stale);
        }
        if !self.store.delete_node(id, by).await? {
            return Err(AdminError::Missing("node"));
        }
        self.make_visible().await;
        Ok(())
    }

    /// The errors of a node, newest first.
    pub async fn node_errors(&self, id: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, AdminError> {
        self.node(id)?;
        Ok(self.store.node_errors(id, page).await?)
    }

    /// The config that a node should run.
    pub fn node_config(&self, id: NodeId) -> Result<Arc<NodeConfig>, AdminError> {
        self.nodes.current_config(id).ok_or(AdminError::Missing("node"))
    }

    /// Has a node try its config again now.
    pub async fn retry_config(&self, id: NodeId) -> Result<NodeView, AdminError> {
        self.nodes.retry_config(id).await?;
        self.node(id)
    }

    /// Who is connected, in the order of their places.
    pub async fn online(&self, wanted: Wanted) -> Result<Vec<(NodeId, OnlineUser)>, AdminError> {
        if let Some(node) = wanted.node {
            self.node(node)?;
        }
        let online = self.presence.send(WhoIsOnline(wanted)).timeout(VISIBLE_WAIT).await;
        Ok(online.map_err(|_| NodeError::Busy)?)
    }

    /// The keys of a node, newest first.
    pub async fn node_keys(&self, id: NodeId) -> Result<Vec<NodeKey>, AdminError> {
        self.node(id)?;
        Ok(self.store.node_keys(id).await?)
    }

    /// One key of a node.
    pub async fn node_key(&self, id: NodeId, key: KeyId) -> Result<NodeKey, AdminError> {
        let keys = self.node_keys(id).await?;
        keys.into_iter()
            .find(|it| it.id == key)
            .ok_or(AdminError::Missing("key"))
    }

    /// Gives a node one more key; the older ones die at its first use. Its text is shown this once.
    pub async fn add_key(&self, id: NodeId, by: &Change) -> Result<(SecretString, NodeKey), AdminError> {
        self.keys.save_first_uses(self.store.as_ref()).await?;
        let issuer = KeyIssuer::default();
        let key = self
            .store
            .add_key(id, &|node| issuer.issue(node), by)
            .await?
            .ok_or(AdminError::Missing("node"))?;
        let secret = issuer
            .into_secret()
            .ok_or_else(|| StoreError::Broken("it made no key".to_owned()))?;
        self.keys.insert(&key);
        Ok((secret, key))
    }

    /// Kills a key: the next call with it is refused.
    pub async fn revoke_key(&self, id: NodeId, key: KeyId, by: &Change) -> Result<(), AdminError> {
        let dead = self
            .store
            .revoke_key(id, key, by)
            .await?
            .ok_or(AdminError::Missing("key"))?;
        self.keys.remove(dead.hash);
        Ok(())
    }
}
