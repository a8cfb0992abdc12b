//! What the provider sells and where it runs: users, subscriptions, links, inbounds, outbounds, rules. The rows are those of
//! the tables of the same names; in JSON their fields are the columns in camelCase.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, Time, UserId, named};

named! {
    /// What an inbound speaks.
    VpnProtocol {
        #[allow(missing_docs)] Vless = "vless",
        #[allow(missing_docs)] Vmess = "vmess",
        #[allow(missing_docs)] Trojan = "trojan",
        #[allow(missing_docs)] Shadowsocks = "shadowsocks",
        #[allow(missing_docs)] Hysteria = "hysteria",
        #[allow(missing_docs)] Wireguard = "wireguard",
        #[allow(missing_docs)] Socks = "socks",
        #[allow(missing_docs)] Http = "http",
        /// Served by telemt, the others by Xray.
        Mtproto = "mtproto",
    }
}

named! {
    /// Whether a user may connect.
    UserStatus {
        /// Yes.
        Active = "active",
        /// No.
        Disabled = "disabled",
    }
}

named! {
    /// Whether a subscription serves.
    SubscriptionStatus {
        /// Yes.
        Active = "active",
        /// An admin stopped it.
        Paused = "paused",
        /// Its time is over.
        Expired = "expired",
        /// Its bytes are used up.
        Limited = "limited",
    }
}

named! {
    /// When a new period of a subscription begins by itself: at 00:00 UTC.
    ResetStrategy {
        /// Never.
        None = "none",
        /// Every day.
        Daily = "daily",
        /// On Mondays.
        Weekly = "weekly",
        /// On the 1st.
        Monthly = "monthly",
    }
}

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Unique.
    #[serde(default = "Uuid::new_v4")]
    pub uuid: Uuid,
    /// For people.
    pub name: String,
    /// May he connect?
    #[serde(default = "active_user")]
    pub status: UserStatus,
}

/// A row of `subscriptions`, without its counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscription {
    /// Identity.
    pub id: SubscriptionId,
    /// Whose.
    pub user_id: UserId,
    /// Does it serve?
    #[serde(default = "active_subscription")]
    pub status: SubscriptionStatus,
    /// From when on; none = always.
    #[serde(default)]
    pub starts_at: Option<Time>,
    /// Until when; none = for ever.
    #[serde(default)]
    pub expires_at: Option<Time>,
    /// Bytes a period; none = unlimited.
    #[serde(default)]
    pub traffic_limit_bytes: Option<i64>,
    /// When a new period begins by itself.
    #[serde(default = "never")]
    pub reset_strategy: ResetStrategy,
    /// How many addresses may be connected at a time; none = any. For telemt.
    #[serde(default)]
    pub max_ips: Option<i64>,
    /// Bits a second from the user; none = any. For telemt.
    #[serde(default)]
    pub rate_up_bps: Option<i64>,
    /// Bits a second to the user; none = any. For telemt.
    #[serde(default)]
    pub rate_down_bps: Option<i64>,
}

/// A row of `links`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// Identity.
    pub id: LinkId,
    /// Whose.
    pub user_id: UserId,
    /// For people.
    pub name: String,
    /// Does it serve?
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it was taken back.
    #[serde(default)]
    pub revoked_at: Option<Time>,
}

/// A row of `subscription_links`: the credentials of a subscription on a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionLink {
    /// Identity, `lsId`.
    pub id: LsId,
    /// `lsUuid`: every credential comes from it.
    pub uuid: Uuid,
    /// The link.
    pub link_id: LinkId,
    /// What pays for it; none = nothing does.
    #[serde(default)]
    pub subscription_id: Option<SubscriptionId>,
    /// Does it serve?
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// A row of `node_protocols`: an inbound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeProtocol {
    /// Identity.
    pub id: ProtocolId,
    /// Whose.
    pub node_id: NodeId,
    /// What it speaks.
    pub protocol: VpnProtocol,
    /// Unique on the node; none = `{protocol}-{security or network}-{id}`.
    #[serde(default)]
    pub tag: Option<String>,
    /// Does it serve?
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The address that it listens on.
    #[serde(default = "anywhere")]
    pub listen: IpAddr,
    /// The port that it listens on, 1 to 65535.
    pub port: i64,
    /// Xray's `network`: `raw`, `ws`, …
    #[serde(default = "raw")]
    pub network: String,
    /// Xray's `security`: `none`, `tls`, `reality`.
    #[serde(default = "none")]
    pub security: String,
    /// Xray's `flow`; "" = none.
    #[serde(default)]
    pub flow: String,
    /// Xray's `settings` without users; for `mtproto` the inbound's own fields.
    #[serde(default = "object")]
    pub settings: Value,
    /// Xray's `streamSettings` without `network` and `security`.
    #[serde(default = "object")]
    pub stream_settings: Value,
    /// Xray's `sniffing`; null = off.
    #[serde(default)]
    pub sniffing: Value,
    /// What users connect to, where it is not the node's own address.
    #[serde(default)]
    pub public_host: Option<String>,
    /// What users connect to, where it is not `port`.
    #[serde(default)]
    pub public_port: Option<i64>,
    /// Its place in the config.
    #[serde(default)]
    pub position: i64,
    /// When it was deleted: it counts for ever, but serves no more.
    #[serde(default)]
    pub deleted_at: Option<Time>,
}

/// A row of `node_protocol_links`: who is on which inbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeProtocolLink {
    /// The inbound.
    pub proto_id: ProtocolId,
    /// The credentials.
    pub ls_id: LsId,
    /// The client's place in the inbound's network, given by the store: WireGuard only.
    #[serde(default, skip_deserializing)]
    pub slot: Option<i64>,
}

/// A row of `node_outbounds`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeOutbound {
    /// Identity.
    pub id: OutboundId,
    /// Whose.
    pub node_id: NodeId,
    /// Unique on the node.
    pub tag: String,
    /// Xray's `protocol`: `freedom`, `blackhole`, …
    pub protocol: String,
    /// The outbound's other fields, as Xray reads them.
    #[serde(default = "object")]
    pub config: Value,
    /// Its place in the config: the first is the default route.
    #[serde(default)]
    pub position: i64,
    /// Does it serve?
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it was deleted: it counts for ever, but serves no more.
    #[serde(default)]
    pub deleted_at: Option<Time>,
}

/// A row of `node_routing_rules`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeRoutingRule {
    /// Identity.
    pub id: i64,
    /// Whose.
    pub node_id: NodeId,
    /// Its place: the first that fits wins.
    #[serde(default)]
    pub position: i64,
    /// Xray's rule, without its target.
    pub rule: Value,
    /// The outbound that it leads to; either this or a balancer.
    #[serde(default)]
    pub outbound_id: Option<OutboundId>,
    /// The balancer that it leads to.
    #[serde(default)]
    pub balancer_tag: Option<String>,
    /// Does it serve?
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// A row of `node_balancers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeBalancer {
    /// Identity.
    pub id: i64,
    /// Whose.
    pub node_id: NodeId,
    /// Unique on the node.
    pub tag: String,
    /// Xray's balancer, without its tag.
    #[serde(default = "object")]
    pub config: Value,
}

/// Everything that configs are made of. As JSON it is the file of `catalog import`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "each is the table of its name")]
pub struct Catalog {
    pub users: Vec<User>,
    pub subscriptions: Vec<Subscription>,
    pub links: Vec<Link>,
    pub subscription_links: Vec<SubscriptionLink>,
    pub node_protocols: Vec<NodeProtocol>,
    pub node_protocol_links: Vec<NodeProtocolLink>,
    pub node_outbounds: Vec<NodeOutbound>,
    pub node_balancers: Vec<NodeBalancer>,
    pub node_routing_rules: Vec<NodeRoutingRule>,
}

/// A node that `catalog import` makes before its agent registers (with a code made for it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "as in `nodes`")]
pub struct ImportedNode {
    pub id: NodeId,
    pub name: String,
    pub ip: IpAddr,
    pub port: u16,
    #[serde(default)]
    pub region: String,
    #[serde(default)]
    pub domain: Option<String>,
}

/// The file of `catalog import`: nodes to make, and the rows of the catalogue. A row whose id is there already is replaced, so an
/// import can be repeated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CatalogImport {
    /// Nodes.
    pub nodes: Vec<ImportedNode>,
    /// Everything else.
    #[serde(flatten)]
    pub catalog: Catalog,
}

fn active_user() -> UserStatus {
    UserStatus::Active
}

fn active_subscription() -> SubscriptionStatus {
    SubscriptionStatus::Active
}

fn never() -> ResetStrategy {
    ResetStrategy::None
}

fn yes() -> bool {
    true
}

fn anywhere() -> IpAddr {
    std::net::Ipv4Addr::UNSPECIFIED.into()
}

fn raw() -> String {
    "raw".to_owned()
}

fn none() -> String {
    "none".to_owned()
}

fn object() -> Value {
    Value::Object(serde_json::Map::new())
}
