//! The catalogue as of one moment, sorted so that one node's part is found at once.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::model::{
    LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, Time, UserId,
    catalog::{
        Catalog, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeRoutingRule, Subscription, SubscriptionLink,
        SubscriptionStatus, User, UserStatus,
    },
};

/// See the module.
#[derive(Debug, Default)]
pub struct Snapshot {
    users: HashMap<UserId, User>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    links: HashMap<LinkId, Link>,
    subscription_links: HashMap<LsId, SubscriptionLink>,
    members: HashMap<ProtocolId, BTreeMap<LsId, Option<i64>>>,
    protocols: HashMap<NodeId, Vec<NodeProtocol>>,
    outbounds: HashMap<NodeId, BTreeMap<OutboundId, NodeOutbound>>,
    rules: HashMap<NodeId, Vec<NodeRoutingRule>>,
    balancers: HashMap<NodeId, Vec<NodeBalancer>>,
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
    /// Its place in a WireGuard inbound's network.
    pub slot: Option<i64>,
    /// What the subscription allows.
    pub limits: Limits,
}

/// What a subscription allows a client; none = anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the columns of their names")]
pub struct Limits {
    pub max_ips: Option<i64>,
    pub rate_up_bps: Option<i64>,
    pub rate_down_bps: Option<i64>,
    pub expires_at: Option<Time>,
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
                .insert(member.ls_id, member.slot);
        }
        for row in catalog.node_protocols {
            snapshot.protocols.entry(row.node_id).or_default().push(row);
        }
        for row in catalog.node_outbounds {
            snapshot.outbounds.entry(row.node_id).or_default().insert(row.id, row);
        }
        for row in catalog.node_balancers {
            snapshot.balancers.entry(row.node_id).or_default().push(row);
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

    /// The balancers of a node, in order.
    pub fn balancers(&self, node: NodeId) -> &[NodeBalancer] {
        self.balancers.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Everybody who may connect through an inbound now, by `lsId`.
    pub fn clients(&self, protocol: ProtocolId, now: Time) -> Vec<Client> {
        let members = self.members.get(&protocol).into_iter().flatten();
        members
            .filter_map(|(ls, slot)| self.client(self.subscription_links.get(ls)?, *slot, now))
            .collect()
    }

    fn client(&self, credentials: &SubscriptionLink, slot: Option<i64>, now: Time) -> Option<Client> {
        let link = self.links.get(&credentials.link_id)?;
        let user = self.users.get(&link.user_id)?;
        let payer = match credentials.subscription_id {
            None => None,
            Some(id) => Some(self.subscriptions.get(&id).filter(|it| serves(it, now))?),
        };
        let open = credentials.enabled && link.enabled && link.revoked_at.is_none();
        (open && user.status == UserStatus::Active).then_some(Client {
            user: user.id,
            link: link.id,
            ls: credentials.id,
            uuid: credentials.uuid,
            subscription: credentials.subscription_id,
            slot,
            limits: payer.map_or_else(Limits::default, |it| Limits {
                max_ips: it.max_ips,
                rate_up_bps: it.rate_up_bps,
                rate_down_bps: it.rate_down_bps,
                expires_at: it.expires_at,
            }),
        })
    }
}

fn serves(subscription: &Subscription, now: Time) -> bool {
    subscription.status == SubscriptionStatus::Active
        && subscription.starts_at.is_none_or(|at| at <= now)
        && subscription.expires_at.is_none_or(|at| now < at)
}
