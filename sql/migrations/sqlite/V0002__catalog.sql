-- What configs are made of. A panel may own these tables; the checks here keep out only what could not be read back. Everything
-- else that is wrong with a row is for the renderer, which leaves that row out alone.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

-- No index on the counters: every flush changes them.
CREATE TABLE subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id),
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'expired', 'limited')),
    starts_at INTEGER,
    expires_at INTEGER,
    traffic_limit_bytes INTEGER,
    traffic_bytes_up INTEGER NOT NULL DEFAULT 0 CHECK (traffic_bytes_up >= 0),
    traffic_bytes_down INTEGER NOT NULL DEFAULT 0 CHECK (traffic_bytes_down >= 0),
    -- Up and down together, times the node's traffic_multiplier, since period_started_at: what the limit is held against.
    period_bytes INTEGER NOT NULL DEFAULT 0,
    period_started_at INTEGER,
    reset_strategy TEXT NOT NULL DEFAULT 'none',
    last_reset_at INTEGER,
    max_ips INTEGER,
    rate_up_bps INTEGER,
    rate_down_bps INTEGER,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

CREATE INDEX subscriptions_by_user ON subscriptions (user_id);

CREATE TABLE links (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id),
    token TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))),
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    revoked_at INTEGER,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

CREATE INDEX links_by_user ON links (user_id);

CREATE TABLE subscription_links (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    link_id INTEGER NOT NULL REFERENCES links (id),
    subscription_id INTEGER REFERENCES subscriptions (id),
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    UNIQUE (link_id, subscription_id)
) STRICT;

CREATE INDEX subscription_links_by_subscription ON subscription_links (subscription_id);

CREATE TABLE node_protocols (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL REFERENCES nodes (id),
    protocol TEXT NOT NULL CHECK (
        protocol IN ('vless', 'vmess', 'trojan', 'shadowsocks', 'hysteria', 'wireguard', 'socks', 'http', 'mtproto')
    ),
    -- NULL: the renderer makes one.
    tag TEXT,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    listen TEXT NOT NULL DEFAULT '0.0.0.0',
    port INTEGER NOT NULL,
    network TEXT NOT NULL DEFAULT 'raw',
    security TEXT NOT NULL DEFAULT 'none',
    flow TEXT NOT NULL DEFAULT '',
    settings TEXT NOT NULL DEFAULT '{}',
    stream_settings TEXT NOT NULL DEFAULT '{}',
    sniffing TEXT NOT NULL DEFAULT 'null',
    public_host TEXT,
    public_port INTEGER,
    position INTEGER NOT NULL DEFAULT 0,
    traffic_bytes_up INTEGER NOT NULL DEFAULT 0 CHECK (traffic_bytes_up >= 0),
    traffic_bytes_down INTEGER NOT NULL DEFAULT 0 CHECK (traffic_bytes_down >= 0),
    deleted_at INTEGER
) STRICT;

CREATE UNIQUE INDEX node_protocols_by_tag ON node_protocols (node_id, tag) WHERE deleted_at IS NULL;

CREATE TABLE node_protocol_links (
    proto_id INTEGER NOT NULL REFERENCES node_protocols (id),
    ls_id INTEGER NOT NULL REFERENCES subscription_links (id),
    PRIMARY KEY (proto_id, ls_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX node_protocol_links_by_ls ON node_protocol_links (ls_id);

-- The places of clients in the networks of WireGuard inbounds. 0 is the network's name, 1 the server.
CREATE TABLE wireguard_slots (
    proto_id INTEGER NOT NULL,
    ls_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    PRIMARY KEY (proto_id, ls_id),
    UNIQUE (proto_id, slot)
) STRICT, WITHOUT ROWID;

-- Places below the highest that nobody has: so that the first of them is found at once, however many clients there are.
CREATE TABLE wireguard_free_slots (
    proto_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    PRIMARY KEY (proto_id, slot)
) STRICT, WITHOUT ROWID;

-- Whoever adds a client to a WireGuard inbound: it gets the first free place, and gives it back when it goes.
CREATE TRIGGER wireguard_slots_take AFTER INSERT ON node_protocol_links
WHEN (SELECT protocol FROM node_protocols WHERE id = new.proto_id) = 'wireguard'
BEGIN
    INSERT INTO wireguard_slots (proto_id, ls_id, slot)
    SELECT
        new.proto_id,
        new.ls_id,
        coalesce(
            (SELECT min(slot) FROM wireguard_free_slots WHERE proto_id = new.proto_id),
            (SELECT max(slot) + 1 FROM wireguard_slots WHERE proto_id = new.proto_id),
            2
        );
    DELETE FROM wireguard_free_slots
    WHERE
        proto_id = new.proto_id
        AND slot = (SELECT slot FROM wireguard_slots WHERE proto_id = new.proto_id AND ls_id = new.ls_id);
END;

CREATE TRIGGER wireguard_slots_give_back AFTER DELETE ON node_protocol_links
BEGIN
    INSERT INTO wireguard_free_slots (proto_id, slot)
    SELECT proto_id, slot FROM wireguard_slots WHERE proto_id = old.proto_id AND ls_id = old.ls_id;
    DELETE FROM wireguard_slots WHERE proto_id = old.proto_id AND ls_id = old.ls_id;
END;

-- An inbound that becomes WireGuard, or stops being it: its members get places, or give them back.
CREATE TRIGGER wireguard_slots_follow AFTER UPDATE OF protocol ON node_protocols
WHEN (old.protocol = 'wireguard') <> (new.protocol = 'wireguard')
BEGIN
    DELETE FROM wireguard_slots WHERE proto_id = new.id;
    DELETE FROM wireguard_free_slots WHERE proto_id = new.id;
    INSERT INTO wireguard_slots (proto_id, ls_id, slot)
    SELECT proto_id, ls_id, 1 + row_number() OVER (ORDER BY ls_id)
    FROM node_protocol_links
    WHERE proto_id = new.id AND new.protocol = 'wireguard';
END;

CREATE TRIGGER wireguard_slots_end AFTER DELETE ON node_protocols
BEGIN
    DELETE FROM wireguard_free_slots WHERE proto_id = old.id;
END;

CREATE TABLE node_outbounds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL REFERENCES nodes (id),
    tag TEXT NOT NULL,
    protocol TEXT NOT NULL,
    config TEXT NOT NULL DEFAULT '{}',
    -- `direct` has -2, so that an outbound without a position never becomes the default route; `block` is the last, so that it never does.
    position INTEGER NOT NULL DEFAULT 0,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    traffic_bytes_up INTEGER NOT NULL DEFAULT 0 CHECK (traffic_bytes_up >= 0),
    traffic_bytes_down INTEGER NOT NULL DEFAULT 0 CHECK (traffic_bytes_down >= 0),
    deleted_at INTEGER,
    UNIQUE (node_id, tag)
) STRICT;

CREATE TABLE node_routing_rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL REFERENCES nodes (id),
    position INTEGER NOT NULL DEFAULT 0,
    rule TEXT NOT NULL,
    outbound_id INTEGER REFERENCES node_outbounds (id),
    balancer_tag TEXT,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    CHECK ((outbound_id IS NULL) <> (balancer_tag IS NULL))
) STRICT;

CREATE INDEX node_routing_rules_by_node ON node_routing_rules (node_id);
CREATE INDEX node_routing_rules_by_outbound ON node_routing_rules (outbound_id);

CREATE TABLE node_balancers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL REFERENCES nodes (id),
    tag TEXT NOT NULL,
    config TEXT NOT NULL DEFAULT '{}',
    UNIQUE (node_id, tag)
) STRICT;
