-- What changed of what Core holds in memory. Only columns that Core holds: never counters, states, revisions, last uses.

CREATE TABLE catalog_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    table_name TEXT NOT NULL,
    row_id INTEGER NOT NULL
) STRICT;

CREATE TRIGGER nodes_insert AFTER INSERT ON nodes
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('nodes', new.id);
END;

CREATE TRIGGER nodes_update AFTER UPDATE OF name, ip, port, region, domain, enabled, traffic_multiplier ON nodes
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('nodes', new.id);
END;

CREATE TRIGGER nodes_delete AFTER DELETE ON nodes
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('nodes', old.id);
END;

CREATE TRIGGER node_keys_insert AFTER INSERT ON node_keys
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_keys', new.id);
END;

CREATE TRIGGER node_keys_update AFTER UPDATE OF revoked_at ON node_keys
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_keys', new.id);
END;

CREATE TRIGGER node_keys_delete AFTER DELETE ON node_keys
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_keys', old.id);
END;

CREATE TRIGGER users_insert AFTER INSERT ON users
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('users', new.id);
END;

CREATE TRIGGER users_update AFTER UPDATE OF id, uuid, name, status ON users
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('users', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'users', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER users_delete AFTER DELETE ON users
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('users', old.id);
END;

CREATE TRIGGER subscriptions_insert AFTER INSERT ON subscriptions
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('subscriptions', new.id);
END;

CREATE TRIGGER subscriptions_update AFTER UPDATE OF
    id, user_id, status, starts_at, expires_at, traffic_limit_bytes, reset_strategy, max_ips, rate_up_bps, rate_down_bps
ON subscriptions
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('subscriptions', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'subscriptions', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER subscriptions_delete AFTER DELETE ON subscriptions
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('subscriptions', old.id);
END;

CREATE TRIGGER links_insert AFTER INSERT ON links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('links', new.id);
END;

CREATE TRIGGER links_update AFTER UPDATE OF id, user_id, name, enabled, revoked_at ON links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('links', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'links', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER links_delete AFTER DELETE ON links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('links', old.id);
END;

CREATE TRIGGER subscription_links_insert AFTER INSERT ON subscription_links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('subscription_links', new.id);
END;

CREATE TRIGGER subscription_links_update AFTER UPDATE OF
    id, uuid, link_id, subscription_id, enabled
ON subscription_links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('subscription_links', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'subscription_links', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER subscription_links_delete AFTER DELETE ON subscription_links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('subscription_links', old.id);
END;

CREATE TRIGGER node_protocols_insert AFTER INSERT ON node_protocols
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocols', new.id);
END;

CREATE TRIGGER node_protocols_update AFTER UPDATE OF
    id, node_id, protocol, tag, enabled, listen, port, network, security, flow, settings, stream_settings,
    sniffing, public_host, public_port, position, deleted_at
ON node_protocols
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocols', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'node_protocols', old.id WHERE old.id <> new.id;
END;

-- Its members have places in its network now, or no longer.
CREATE TRIGGER node_protocols_network AFTER UPDATE OF protocol ON node_protocols
WHEN (old.protocol = 'wireguard') <> (new.protocol = 'wireguard')
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocol_links', new.id);
END;

CREATE TRIGGER node_protocols_delete AFTER DELETE ON node_protocols
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocols', old.id);
END;

-- Of members the row that changed is their inbound: a reader takes all of its members again.
CREATE TRIGGER node_protocol_links_insert AFTER INSERT ON node_protocol_links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocol_links', new.proto_id);
END;

CREATE TRIGGER node_protocol_links_update AFTER UPDATE OF proto_id, ls_id ON node_protocol_links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocol_links', new.proto_id);
    INSERT INTO catalog_changes (table_name, row_id)
    SELECT 'node_protocol_links', old.proto_id WHERE old.proto_id <> new.proto_id;
END;

CREATE TRIGGER node_protocol_links_delete AFTER DELETE ON node_protocol_links
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_protocol_links', old.proto_id);
END;

CREATE TRIGGER node_outbounds_insert AFTER INSERT ON node_outbounds
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_outbounds', new.id);
END;

CREATE TRIGGER node_outbounds_update AFTER UPDATE OF
    id, node_id, tag, protocol, config, position, enabled, deleted_at
ON node_outbounds
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_outbounds', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'node_outbounds', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER node_outbounds_delete AFTER DELETE ON node_outbounds
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_outbounds', old.id);
END;

CREATE TRIGGER node_routing_rules_insert AFTER INSERT ON node_routing_rules
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_routing_rules', new.id);
END;

CREATE TRIGGER node_routing_rules_update AFTER UPDATE OF
    id, node_id, position, rule, outbound_id, balancer_tag, enabled
ON node_routing_rules
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_routing_rules', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'node_routing_rules', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER node_routing_rules_delete AFTER DELETE ON node_routing_rules
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_routing_rules', old.id);
END;

CREATE TRIGGER node_balancers_insert AFTER INSERT ON node_balancers
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_balancers', new.id);
END;

CREATE TRIGGER node_balancers_update AFTER UPDATE OF id, node_id, tag, config ON node_balancers
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_balancers', new.id);
    INSERT INTO catalog_changes (table_name, row_id) SELECT 'node_balancers', old.id WHERE old.id <> new.id;
END;

CREATE TRIGGER node_balancers_delete AFTER DELETE ON node_balancers
BEGIN
    INSERT INTO catalog_changes (table_name, row_id) VALUES ('node_balancers', old.id);
END;
