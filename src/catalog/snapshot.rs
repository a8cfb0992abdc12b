//! The catalogue in memory, sorted so that one node's part is found at once, and so that a changed row leads to the nodes that it touches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{
    LinkId, LsId, NodeId, ProtocolId, SubscriptionId, Time, UserId,
    catalog::{
        Catalog, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeProtocolLink, NodeRoutingRule, Subscription,
        SubscriptionLink, SubscriptionStatus, User, UserStatus,
    },
    catalog_change::{CatalogRow, RowRef},
};

pub use super::client::{Client, Limits};
use super::placed::{Placed, Places};

/// See the module.
#[derive(Debug, Default)]
pub struct Snapshot {
    users: HashMap<UserId, User>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    links: HashMap<LinkId, Link>,
    credentials: HashMap<LsId, SubscriptionLink>,
    members: HashMap<ProtocolId, Members>,
    protocols: Places<NodeProtocol>,
    outbounds: Places<NodeOutbound>,
    rules: Places<NodeRoutingRule>,
    balancers: Places<NodeBalancer>,
    ways: Ways,
}

/// From a row to what hangs on it.
#[derive(Debug, Default)]
struct Ways {
    links_of_user: HashMap<UserId, BTreeSet<LinkId>>,
    credentials_of_link: HashMap<LinkId, BTreeSet<LsId>>,
    credentials_of_subscription: HashMap<SubscriptionId, BTreeSet<LsId>>,
    protocols_of_credentials: HashMap<LsId, BTreeSet<ProtocolId>>,
}

/// Who is on an inbound, by `lsId`, and his place there.
type Members = Box<[(LsId, Option<i64>)]>;

impl Snapshot {
    /// Sorts a whole catalogue.
    pub fn new(catalog: Catalog) -> Self {
        let mut snapshot = Self::default();
        let protocols: BTreeSet<ProtocolId> = catalog.node_protocol_links.iter().map(|row| row.proto_id).collect();
        snapshot.apply(catalog, &[], &protocols.into_iter().collect::<Vec<_>>());
        snapshot
    }

    /// Takes changed rows, rows that are gone, and the whole membership of these inbounds; gives the nodes that any of it touches.
    pub fn apply(&mut self, rows: Catalog, gone: &[RowRef], memberships: &[ProtocolId]) -> BTreeSet<NodeId> {
        let mut touched = BTreeSet::new();
        for row in gone {
            touched.extend(self.touched_by(*row));
            self.remove(*row);
        }
        for row in rows.users {
            touched.extend(self.touched_by(RowRef::User(row.id)));
            self.users.insert(row.id, row);
        }
        for row in rows.subscriptions {
            touched.extend(self.touched_by(RowRef::Subscription(row.id)));
            self.subscriptions.insert(row.id, row);
        }
        for row in rows.links {
            touched.extend(self.touched_by(RowRef::Link(row.id)));
            self.put_link(row);
        }
        for row in rows.subscription_links {
            touched.extend(self.touched_by(RowRef::SubscriptionLink(row.id)));
            self.put_credentials(row);
        }
        self.put_node_rows(
            rows.node_protocols,
            rows.node_outbounds,
            rows.node_routing_rules,
            rows.node_balancers,
            &mut touched,
        );
        self.put_members(
            memberships,
            rows.node_protocol_links
                .iter()
                .map(|row| (row.proto_id, row.ls_id, row.slot)),
            &mut touched,
        );
        touched
    }

    /// The nodes that a row is on.
    pub fn touched_by(&self, row: RowRef) -> BTreeSet<NodeId> {
        let ways = &self.ways;
        match row {
            RowRef::User(id) => {
                let links = ways.links_of_user.get(&id).into_iter().flatten();
                links.flat_map(|link| self.touched_by(RowRef::Link(*link))).collect()
            }
            RowRef::Subscription(id) => self.nodes_of(ways.credentials_of_subscription.get(&id)),
            RowRef::Link(id) => self.nodes_of(ways.credentials_of_link.get(&id)),
            RowRef::SubscriptionLink(id) => self.nodes_of(Some(&BTreeSet::from([id]))),
            RowRef::Protocol(id) => self.protocols.node_of(id).into_iter().collect(),
            RowRef::Outbound(id) => self.outbounds.node_of(id).into_iter().collect(),
            RowRef::Rule(id) => self.rules.node_of(id).into_iter().collect(),
            RowRef::Balancer(id) => self.balancers.node_of(id).into_iter().collect(),
        }
    }

    /// A row as it is here.
    pub fn row(&self, row: RowRef) -> Option<CatalogRow> {
        Some(match row {
            RowRef::User(id) => CatalogRow::User(self.users.get(&id)?.clone()),
            RowRef::Subscription(id) => CatalogRow::Subscription(self.subscriptions.get(&id)?.clone()),
            RowRef::Link(id) => CatalogRow::Link(self.links.get(&id)?.clone()),
            RowRef::SubscriptionLink(id) => CatalogRow::SubscriptionLink(self.credentials.get(&id)?.clone()),
            RowRef::Protocol(id) => CatalogRow::Protocol(self.protocols.get(id)?.clone()),
            RowRef::Outbound(id) => CatalogRow::Outbound(self.outbounds.get(id)?.clone()),
            RowRef::Rule(id) => CatalogRow::Rule(self.rules.get(id)?.clone()),
            RowRef::Balancer(id) => CatalogRow::Balancer(self.balancers.get(id)?.clone()),
        })
    }

    /// Everybody who is on an inbound, whether he may connect or not.
    pub fn members_of(&self, protocol: ProtocolId) -> Vec<NodeProtocolLink> {
        let members = self.members.get(&protocol).into_iter().flatten();
        members
            .map(|(ls, slot)| NodeProtocolLink {
                proto_id: protocol,
                ls_id: *ls,
                slot: *slot,
            })
            .collect()
    }

    /// What pays on a node's inbounds, deleted ones too, and for whom, whether he may connect or not: who connects, and whose subscription it is.
    pub fn members_on(&self, node: NodeId) -> impl Iterator<Item = (SubscriptionId, UserId)> {
        let members = self.protocols(node).iter().filter_map(|row| self.members.get(&row.id));
        let paying = members.flatten().filter_map(|(ls, _)| {
            let credentials = self.credentials.get(ls)?;
            Some((credentials.subscription_id?, credentials.link_id))
        });
        paying.flat_map(|(subscription, link)| {
            let user = self.links.get(&link).map(|row| row.user_id);
            let owner = self.subscription(subscription).map(|row| row.user_id);
            [user, owner]
                .into_iter()
                .flatten()
                .map(move |user| (subscription, user))
        })
    }

    /// A subscription.
    pub fn subscription(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.get(&id)
    }

    /// All subscriptions.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }

    /// Says that a subscription has this status, whatever its row says; gives the nodes that it touches.
    pub fn set_status(&mut self, id: SubscriptionId, status: SubscriptionStatus) -> BTreeSet<NodeId> {
        match self.subscriptions.get_mut(&id).filter(|row| row.status != status) {
            Some(row) => row.status = status,
            None => return BTreeSet::new(),
        }
        self.touched_by(RowRef::Subscription(id))
    }

    /// The inbounds that are or were a node's, in the order of the config.
    pub fn protocols(&self, node: NodeId) -> &[NodeProtocol] {
        self.protocols.on(node)
    }

    /// The outbounds that are or were a node's, in the order of the config.
    pub fn outbounds(&self, node: NodeId) -> &[NodeOutbound] {
        self.outbounds.on(node)
    }

    /// The routing rules of a node, in order.
    pub fn rules(&self, node: NodeId) -> &[NodeRoutingRule] {
        self.rules.on(node)
    }

    /// The balancers of a node, in order.
    pub fn balancers(&self, node: NodeId) -> &[NodeBalancer] {
        self.balancers.on(node)
    }

    /// Everybody who may connect through an inbound now, by `lsId`.
    pub fn clients(&self, protocol: ProtocolId, now: Time) -> Vec<Client> {
        let members = self.members.get(&protocol).into_iter().flatten();
        members
            .filter_map(|(ls, slot)| self.client(self.credentials.get(ls)?, *slot, now))
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
            limits: payer.map_or_else(Limits::default, Limits::of),
        })
    }

    fn nodes_of(&self, credentials: Option<&BTreeSet<LsId>>) -> BTreeSet<NodeId> {
        let ways = &self.ways;
        let protocols = credentials
            .into_iter()
            .flatten()
            .filter_map(|ls| ways.protocols_of_credentials.get(ls))
            .flatten();
        protocols
            .filter_map(|protocol| self.protocols.node_of(*protocol))
            .collect()
    }

    fn put_link(&mut self, row: Link) {
        self.ways.links_of_user.entry(row.user_id).or_default().insert(row.id);
        self.links.insert(row.id, row);
    }

    fn put_credentials(&mut self, row: SubscriptionLink) {
        if let Some(before) = self.credentials.get(&row.id).and_then(|row| row.subscription_id) {
            self.ways
                .credentials_of_subscription
                .entry(before)
                .or_default()
                .remove(&row.id);
        }
        if let Some(subscription) = row.subscription_id {
            self.ways
                .credentials_of_subscription
                .entry(subscription)
                .or_default()
                .insert(row.id);
        }
        self.ways
            .credentials_of_link
            .entry(row.link_id)
            .or_default()
            .insert(row.id);
        self.credentials.insert(row.id, row);
    }

    fn put_node_rows(
        &mut self,
        protocols: Vec<NodeProtocol>,
        outbounds: Vec<NodeOutbound>,
        rules: Vec<NodeRoutingRule>,
        balancers: Vec<NodeBalancer>,
        touched: &mut BTreeSet<NodeId>,
    ) {
        put(&mut self.protocols, protocols, touched);
        put(&mut self.outbounds, outbounds, touched);
        put(&mut self.rules, rules, touched);
        put(&mut self.balancers, balancers, touched);
    }

    fn put_members(
        &mut self,
        protocols: &[ProtocolId],
        members: impl Iterator<Item = (ProtocolId, LsId, Option<i64>)>,
        touched: &mut BTreeSet<NodeId>,
    ) {
        let mut given: HashMap<ProtocolId, BTreeMap<LsId, Option<i64>>> = HashMap::new();
        for (protocol, ls, slot) in members {
            given.entry(protocol).or_default().insert(ls, slot);
        }
        for protocol in protocols.iter().collect::<BTreeSet<_>>() {
            touched.extend(self.protocols.node_of(*protocol));
            self.set_members(*protocol, given.remove(protocol).unwrap_or_default());
        }
        // Inbounds of which not all members were given only gain.
        for (protocol, joined) in given {
            let mut all: BTreeMap<_, _> = self.members.remove(&protocol).unwrap_or_default().into_iter().collect();
            all.extend(joined);
            self.set_members(protocol, all);
        }
    }

    fn set_members(&mut self, protocol: ProtocolId, now: BTreeMap<LsId, Option<i64>>) {
        let before = self.members.remove(&protocol).unwrap_or_default();
        // Nearly all are there already: only who came or left costs a way.
        let ways = &mut self.ways.protocols_of_credentials;
        for (ls, _) in before.iter().filter(|(ls, _)| !now.contains_key(ls)) {
            ways.entry(*ls).or_default().remove(&protocol);
        }
        let was_there = |ls: &LsId| before.binary_search_by_key(ls, |(ls, _)| *ls).is_ok();
        for ls in now.keys().filter(|ls| !was_there(ls)) {
            ways.entry(*ls).or_default().insert(protocol);
        }
        if !now.is_empty() {
            self.members.insert(protocol, now.into_iter().collect());
        }
    }

    fn remove(&mut self, row: RowRef) {
        match row {
            RowRef::User(id) => drop(self.users.remove(&id)),
            RowRef::Subscription(id) => drop(self.subscriptions.remove(&id)),
            RowRef::Link(id) => {
                if let Some(row) = self.links.remove(&id) {
                    self.ways.links_of_user.entry(row.user_id).or_default().remove(&id);
                }
            }
            RowRef::SubscriptionLink(id) => {
                if let Some(row) = self.credentials.remove(&id) {
                    self.ways
                        .credentials_of_link
                        .entry(row.link_id)
                        .or_default()
                        .remove(&id);
                    let payer = row
                        .subscription_id
                        .and_then(|id| self.ways.credentials_of_subscription.get_mut(&id));
                    payer.map(|credentials| credentials.remove(&id));
                }
            }
            RowRef::Protocol(id) => {
                self.protocols.remove(id);
                self.set_members(id, BTreeMap::new());
            }
            RowRef::Outbound(id) => self.outbounds.remove(id),
            RowRef::Rule(id) => self.rules.remove(id),
            RowRef::Balancer(id) => self.balancers.remove(id),
        }
    }
}

/// Takes rows; the nodes that they were on and are on are touched.
fn put<Row: Placed>(places: &mut Places<Row>, rows: Vec<Row>, touched: &mut BTreeSet<NodeId>) {
    for row in rows {
        touched.extend(places.node_of(row.id()));
        touched.insert(row.node());
        places.put(row);
    }
}

fn serves(subscription: &Subscription, now: Time) -> bool {
    subscription.status == SubscriptionStatus::Active
        && subscription.starts_at.is_none_or(|at| at <= now)
        && subscription.expires_at.is_none_or(|at| now < at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(pairs: &[(i64, i64)]) -> Catalog {
        let member = |(protocol, ls): &(i64, i64)| NodeProtocolLink {
            proto_id: ProtocolId(*protocol),
            ls_id: LsId(*ls),
            slot: None,
        };
        Catalog {
            node_protocol_links: pairs.iter().map(member).collect(),
            ..Catalog::default()
        }
    }

    #[test]
    fn a_whole_membership_says_who_came_and_who_left() {
        let sample = include_str!("../../examples/catalog.json");
        let import: crate::model::catalog::CatalogImport = serde_json::from_str(sample).unwrap();
        let mut snapshot = Snapshot::new(import.catalog);
        let inbounds = [ProtocolId(11), ProtocolId(12), ProtocolId(13), ProtocolId(11)];
        let mut follow = |pairs: &[(i64, i64)]| {
            let touched = snapshot.apply(members(pairs), &[], &inbounds);
            assert_eq!(touched, BTreeSet::from([NodeId(1)]));
            let on_node = |ls| {
                snapshot
                    .touched_by(RowRef::SubscriptionLink(LsId(ls)))
                    .contains(&NodeId(1))
            };
            let of = |protocol| snapshot.members_of(ProtocolId(protocol)).len();
            ([of(11), of(12), of(13)], [on_node(1), on_node(2)])
        };
        assert_eq!(follow(&[(11, 1), (11, 2), (12, 1)]), ([2, 1, 0], [true, true]));
        assert_eq!(follow(&[(11, 1), (13, 1)]), ([1, 0, 1], [true, false]));
        assert_eq!(follow(&[(13, 2)]), ([0, 0, 1], [false, true]));
        assert_eq!(follow(&[]), ([0, 0, 0], [false, false]));
    }
}
