//! The catalogue as of one moment, sorted so that one node's part is found at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use crate::model::{
    LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, Time, UserId,
    catalog::{
        Catalog, Link, NodeOutbound, NodeProtocol, NodeRoutingRule, Subscription, SubscriptionLink, SubscriptionStatus,
        User, UserStatus,
    },
};

/// See the module.
#[derive(Debug, Default)]
pub struct Snapshot {
    users: HashMap<UserId, User>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    links: HashMap<LinkId, Link>,
    subscription_links: HashMap<LsId, SubscriptionLink>,
    members: HashMap<ProtocolId, BTreeSet<LsId>>,
    protocols: HashMap<NodeId, Vec<NodeProtocol>>,
    outbounds: HashMap<NodeId, BTreeMap<OutboundId, NodeOutbound>>,
    rules: HashMap<NodeId, Vec<NodeRoutingRule>>,
}

/// Somebody who may connect through an inbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Who.
    pub user: UserId,
    /// The link.
    pub link: LinkId,
    /// The credentials' id.
    pub ls: LsId,
    /// What all credentials come from.
    pub uuid: Uuid,
    /// What pays.
    pub subscription: Option<SubscriptionId>,
}

impl Client {
    /// The name under which both engines count this client on an inbound.
    pub fn email(&self, protocol: ProtocolId) -> String {
        format!("u{}.l{}.s{}.i{}", self.user, self.link, self.ls, protocol)
    }
}

impl Snapshot {
    /// Sorts a catalogue.
    pub fn new(catalog: Catalog) -> Self {
        let mut snapshot = Self {
            users: catalog.users.into_iter().map(|row| (row.id, row)).collect(),
            subscriptions: catalog.subscriptions.into_iter().map(|row| (row.id, row)).collect(),
            links: catalog.links.into_iter().map(|row| (row.id, row)).collect(),
            subscription_links: catalog
                .subscription_links
                .into_iter()
                .map(|row| (row.id, row))
                .collect(),
            ..Self::default()
        };
        for member in catalog.node_protocol_links {
            snapshot
                .members
                .entry(member.proto_id)
                .or_default()
                .insert(member.ls_id);
        }
        for row in catalog.node_protocols {
            snapshot.protocols.entry(row.node_id).or_default().push(row);
        }
        for row in catalog.node_outbounds {
            snapshot.outbounds.entry(row.node_id).or_default().insert(row.id, row);
        }
        for row in catalog.node_routing_rules {
            snapshot.rules.entry(row.node_id).or_default().push(row);
        }
        snapshot
            .protocols
            .values_mut()
            .for_each(|rows| rows.sort_by_key(|row| (row.position, row.id)));
        snapshot
            .rules
            .values_mut()
            .for_each(|rows| rows.sort_by_key(|row| (row.position, row.id)));
        snapshot
    }

    /// The inbounds that are or were a node's, in the order of the config.
    pub fn protocols(&self, node: NodeId) -> &[NodeProtocol] {
        self.protocols.get(&node).map_or(&[], Vec::as_slice)
    }

    /// The outbounds that are or were a node's, in the order of the config.
    pub fn outbounds(&self, node: NodeId) -> Vec<&NodeOutbound> {
        let mut rows: Vec<_> = self
            .outbounds
            .get(&node)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        rows.sort_by_key(|row| (row.position, row.id));
        rows
    }

    /// The routing rules of a node, in order.
    pub fn rules(&self, node: NodeId) -> &[NodeRoutingRule] {
        self.rules.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Everybody who may connect through an inbound now, by `lsId`.
    pub fn clients(&self, protocol: ProtocolId, now: Time) -> Vec<Client> {
        let members = self.members.get(&protocol).into_iter().flatten();
        members
            .filter_map(|ls| self.client(self.subscription_links.get(ls)?, now))
            .collect()
    }

    fn client(&self, credentials: &SubscriptionLink, now: Time) -> Option<Client> {
        let link = self.links.get(&credentials.link_id)?;
        let user = self.users.get(&link.user_id)?;
        let paid = match credentials.subscription_id {
            None => true,
            Some(id) => self.subscriptions.get(&id).is_some_and(|it| serves(it, now)),
        };
        let may = credentials.enabled
            && link.enabled
            && link.revoked_at.is_none()
            && user.status == UserStatus::Active
            && paid;
        may.then_some(Client {
            user: user.id,
            link: link.id,
            ls: credentials.id,
            uuid: credentials.uuid,
            subscription: credentials.subscription_id,
        })
    }
}

fn serves(subscription: &Subscription, now: Time) -> bool {
    subscription.status == SubscriptionStatus::Active
        && subscription.starts_at.is_none_or(|at| at <= now)
        && subscription.expires_at.is_none_or(|at| now < at)
}
