//! A node's config out of the catalogue. Pure: the same catalogue always gives the same bytes. A row that fails the checks is left
//! out alone.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::model::{
    LsId, OutboundId, Time,
    catalog::{NodeProtocol, NodeRoutingRule, VpnProtocol},
    node::NodeRecord,
    node_config::{ConfigHash, ConfigProblem, Rendered},
};

use super::{
    check::{self, Taken, routing},
    render_mtproto,
    render_xray::{self, Root},
    snapshot::{Client, Snapshot},
};

/// Renders a node's config as it should be now. A disabled node gets one without clients.
pub fn render(node: &NodeRecord, snapshot: &Snapshot, now: Time) -> Rendered {
    let mut rendering = Rendering {
        node,
        snapshot,
        now,
        taken: Taken::default(),
        clients: BTreeMap::new(),
        tags: HashMap::new(),
        problems: Vec::new(),
    };
    let mut root = Root {
        outbounds: rendering.outbounds(),
        ..Root::default()
    };
    let Inbounds { xray, mtproto, users } = rendering.inbounds();
    rendering.balancers(&mut root);
    root.rules = rendering.rules(&root.balancers);
    root.inbounds = xray;
    let mut services = Map::new();
    services.insert("xray".to_owned(), render_xray::root(root));
    if !mtproto.is_empty() {
        services.insert("mtproto".to_owned(), json!({"inbounds": mtproto}));
    }
    let mut services = Value::Object(services);
    let structure = ConfigHash::of([services.to_string().as_str()]);
    let users_hash = put_users(&mut services, users);
    Rendered {
        client_map: map(&rendering.clients, |client| client.ls.to_string()),
        mtproto_client_map: map(&rendering.clients, |client| client.uuid.to_string()),
        services: services.to_string(),
        structure,
        users: users_hash,
        problems: rendering.problems,
    }
}

/// The inbounds without their users, and the users beside them.
#[derive(Default)]
struct Inbounds {
    xray: Vec<Value>,
    mtproto: Vec<Value>,
    users: Vec<Users>,
}

/// The users of one inbound, and where they belong.
struct Users {
    pointer: String,
    list: Value,
}

/// Puts the users into their places; gives the hash of all of them, inbound by inbound.
fn put_users(services: &mut Value, users: Vec<Users>) -> ConfigHash {
    let texts: Vec<[String; 2]> = users
        .iter()
        .map(|users| [users.pointer.clone(), users.list.to_string()])
        .collect();
    for Users { pointer, list } in users {
        if let Some(place) = services.pointer_mut(&pointer) {
            *place = list;
        }
    }
    ConfigHash::of(texts.iter().flatten().map(String::as_str))
}

struct Rendering<'a> {
    node: &'a NodeRecord,
    snapshot: &'a Snapshot,
    now: Time,
    taken: Taken,
    /// Everybody on any inbound of the node.
    clients: BTreeMap<LsId, Client>,
    /// The outbounds that serve.
    tags: HashMap<OutboundId, String>,
    problems: Vec<ConfigProblem>,
}

impl Rendering<'_> {
    fn outbounds(&mut self) -> Vec<Value> {
        let mut outbounds = Vec::new();
        for row in self.snapshot.outbounds(self.node.id) {
            if !row.enabled || row.deleted_at.is_some() {
                continue;
            }
            match routing::outbound(row, &mut self.taken) {
                Ok(()) => {
                    self.tags.insert(row.id, row.tag.clone());
                    outbounds.push(render_xray::outbound(row));
                }
                Err(wrong) => self.leave_out("node_outbounds", row.id.0, wrong),
            }
        }
        outbounds
    }

    fn inbounds(&mut self) -> Inbounds {
        let mut inbounds = Inbounds::default();
        for row in self.snapshot.protocols(self.node.id) {
            if !row.enabled || row.deleted_at.is_some() {
                continue;
            }
            if let Err(wrong) = check::inbound(row, &mut self.taken) {
                self.leave_out("node_protocols", row.id.0, wrong);
                continue;
            }
            let clients = self.clients_of(row);
            if row.protocol == VpnProtocol::Mtproto {
                self.mtproto(row, &clients, &mut inbounds);
            } else if !clients.is_empty() || !render_xray::needs_users(row) {
                Self::xray(row, &clients, &mut inbounds);
            }
        }
        inbounds
    }

    fn xray(row: &NodeProtocol, clients: &[Client], inbounds: &mut Inbounds) {
        let key = render_xray::users_key(row.protocol);
        let mut inbound = render_xray::inbound(row);
        inbound["settings"][key] = json!([]);
        let pointer = format!("/xray/inbounds/{}/settings/{key}", inbounds.xray.len());
        inbounds.xray.push(inbound);
        inbounds.users.push(Users {
            pointer,
            list: render_xray::users(row, clients),
        });
    }

    fn mtproto(&self, row: &NodeProtocol, clients: &[Client], inbounds: &mut Inbounds) {
        if clients.is_empty() {
            return;
        }
        let mut inbound = render_mtproto::inbound(self.node, row);
        inbound["users"] = json!([]);
        let pointer = format!("/mtproto/inbounds/{}/users", inbounds.mtproto.len());
        inbounds.mtproto.push(inbound);
        inbounds.users.push(Users {
            pointer,
            list: render_mtproto::users(row, clients),
        });
    }

    fn clients_of(&mut self, row: &NodeProtocol) -> Vec<Client> {
        if !self.node.enabled {
            return Vec::new();
        }
        let (good, bad) = check::clients(self.snapshot.clients(row.id, self.now), row);
        for (client, wrong) in bad {
            self.leave_out("subscription_links", client.ls.0, wrong);
        }
        self.clients.extend(good.iter().map(|client| (client.ls, *client)));
        good
    }

    fn balancers(&mut self, root: &mut Root) {
        let mut tags: Vec<String> = self.tags.values().cloned().collect();
        tags.sort_unstable();
        for row in self.snapshot.balancers(self.node.id) {
            match routing::balancer(row, &tags, &mut self.taken) {
                Ok(observing) => {
                    root.balancers.push(render_xray::balancer(row));
                    let prefixes = routing::selector(&row.config)
                        .into_iter()
                        .flatten()
                        .filter(|_| observing);
                    root.observed.extend(prefixes.map(str::to_owned));
                }
                Err(wrong) => self.leave_out("node_balancers", row.id, wrong),
            }
        }
        root.observed.sort_unstable();
        root.observed.dedup();
    }

    fn rules(&mut self, balancers: &[Value]) -> Vec<Value> {
        let mut rules = Vec::new();
        for row in self.snapshot.rules(self.node.id).iter().filter(|row| row.enabled) {
            match self
                .target(row, balancers)
                .and_then(|target| routing::rule(row).map(|()| target))
            {
                Ok((kind, tag)) => rules.push(render_xray::rule(&row.rule, kind, &tag)),
                Err(wrong) => self.leave_out("node_routing_rules", row.id, wrong),
            }
        }
        rules
    }

    fn target(&self, row: &NodeRoutingRule, balancers: &[Value]) -> Result<(&'static str, String), String> {
        match (row.outbound_id, &row.balancer_tag) {
            (Some(id), None) => {
                let tag = self
                    .tags
                    .get(&id)
                    .ok_or_else(|| format!("outboundId {id} is not an outbound that serves on the node"))?;
                Ok(("outboundTag", tag.clone()))
            }
            (None, Some(tag)) if balancers.iter().any(|balancer| balancer["tag"] == **tag) => {
                Ok(("balancerTag", tag.clone()))
            }
            (None, Some(tag)) => Err(format!("balancerTag {tag} is not a balancer that serves on the node")),
            _ => Err("outboundId or balancerTag must be given, and not both".to_owned()),
        }
    }

    fn leave_out(&mut self, table: &'static str, id: i64, message: String) {
        self.problems.push(ConfigProblem { table, id, message });
    }
}

/// A client map: whom the bytes of these credentials belong to. Keys in order, as everything.
fn map(clients: &BTreeMap<LsId, Client>, key: impl Fn(&Client) -> String) -> String {
    let entries: BTreeMap<String, Value> = clients
        .values()
        .map(|client| {
            (
                key(client),
                json!({"userId": client.user, "subscriptionId": client.subscription}),
            )
        })
        .collect();
    json!(entries).to_string()
}

#[cfg(test)]
mod engines_tests;
#[cfg(test)]
mod tests;
