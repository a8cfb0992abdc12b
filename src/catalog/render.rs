//! A node's config out of the catalogue. Pure: the same catalogue always gives the same bytes. A row that fails the checks is left
//! out alone.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::model::{
    LsId, OutboundId, Time,
    catalog::{NodeProtocol, VpnProtocol},
    node::NodeRecord,
    node_config::{ConfigProblem, Rendered},
};

use super::{
    check::{self, Taken},
    render_mtproto, render_xray,
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
        problems: Vec::new(),
    };
    let (outbounds, tags) = rendering.outbounds();
    let (inbounds, mtproto) = rendering.inbounds();
    let rules = rendering.rules(&tags);
    let mut services = Map::new();
    services.insert("xray".to_owned(), render_xray::root(&inbounds, &outbounds, &rules));
    if !mtproto.is_empty() {
        services.insert("mtproto".to_owned(), json!({"inbounds": mtproto}));
    }
    Rendered {
        client_map: map(&rendering.clients, |client| client.ls.to_string()),
        mtproto_client_map: map(&rendering.clients, |client| client.uuid.to_string()),
        services: Value::Object(services).to_string(),
        problems: rendering.problems,
    }
}

struct Rendering<'a> {
    node: &'a NodeRecord,
    snapshot: &'a Snapshot,
    now: Time,
    taken: Taken,
    /// Everybody on any inbound of the node.
    clients: BTreeMap<LsId, Client>,
    problems: Vec<ConfigProblem>,
}

impl Rendering<'_> {
    fn outbounds(&mut self) -> (Vec<Value>, HashMap<OutboundId, String>) {
        let (mut outbounds, mut tags) = (Vec::new(), HashMap::new());
        for row in self.snapshot.outbounds(self.node.id) {
            if !row.enabled || row.deleted_at.is_some() {
                continue;
            }
            match check::outbound(row, &mut self.taken) {
                Ok(()) => {
                    tags.insert(row.id, row.tag.clone());
                    outbounds.push(render_xray::outbound(row));
                }
                Err(wrong) => self.leave_out("node_outbounds", row.id.0, wrong),
            }
        }
        (outbounds, tags)
    }

    fn inbounds(&mut self) -> (Vec<Value>, Vec<Value>) {
        let (mut xray, mut mtproto) = (Vec::new(), Vec::new());
        for row in self.snapshot.protocols(self.node.id) {
            if !row.enabled || row.deleted_at.is_some() {
                continue;
            }
            if let Err(wrong) = check::inbound(row, &mut self.taken) {
                self.leave_out("node_protocols", row.id.0, wrong);
                continue;
            }
            let clients = self.clients_of(row);
            if row.protocol != VpnProtocol::Mtproto {
                xray.push(render_xray::inbound(row, &clients));
            } else if !clients.is_empty() {
                mtproto.push(render_mtproto::inbound(self.node, row, &clients));
            }
        }
        (xray, mtproto)
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

    fn rules(&mut self, tags: &HashMap<OutboundId, String>) -> Vec<Value> {
        let mut rules = Vec::new();
        for row in self.snapshot.rules(self.node.id) {
            if !row.enabled {
                continue;
            }
            let target = tags.get(&row.outbound_id).ok_or_else(|| {
                format!(
                    "outboundId {} is not an outbound that serves on the node",
                    row.outbound_id
                )
            });
            match target.and_then(|tag| check::rule(row).map(|()| tag)) {
                Ok(tag) => rules.push(render_xray::rule(&row.rule, tag)),
                Err(wrong) => self.leave_out("node_routing_rules", row.id, wrong),
            }
        }
        rules
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
mod tests;
