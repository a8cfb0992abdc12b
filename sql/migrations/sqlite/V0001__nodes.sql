-- Nodes, and how they sign in.
-- Throughout: times are milliseconds since 1970 (UTC), booleans 0 or 1, hashes BLOBs, UUIDs and JSON TEXT.

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    ip TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 0 AND 65535),
    region TEXT NOT NULL DEFAULT '',
    domain TEXT,
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'online', 'offline', 'unknown', 'error')),
    sync_status TEXT NOT NULL DEFAULT 'pending' CHECK (sync_status IN ('pending', 'synced', 'failed')),
    revision INTEGER NOT NULL DEFAULT 1,
    applied_revision INTEGER NOT NULL DEFAULT 0,
    config_hash BLOB CHECK (length(config_hash) = 32),
    traffic_multiplier REAL NOT NULL DEFAULT 1.0 CHECK (traffic_multiplier >= 0),
    last_seen_at INTEGER,
    -- As of when status, sync_status, applied_revision and last_seen_at are known: the later writer wins.
    state_at INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE node_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL REFERENCES nodes (id),
    key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    created_at INTEGER NOT NULL,
    first_used_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX node_keys_by_node ON node_keys (node_id);

-- No foreign key: what a node reported is kept whether the node is there or not.
CREATE TABLE node_errors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    message TEXT NOT NULL,
    code TEXT,
    details TEXT,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX node_errors_by_node ON node_errors (node_id, id);

-- No foreign key: a code for a node that was deleted must stay a dead code, never become one for a new node.
CREATE TABLE registration_codes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code_hash BLOB NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    name TEXT,
    node_id INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0)
) STRICT;

-- Who used a code, under which name, and the key that was given out for it: a lost answer can be given again.
CREATE TABLE registration_code_uses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code_id INTEGER NOT NULL REFERENCES registration_codes (id) ON DELETE CASCADE,
    node_id INTEGER NOT NULL,
    key_id INTEGER NOT NULL,
    sent_name TEXT NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;

CREATE INDEX registration_code_uses_by_code ON registration_code_uses (code_id, sent_name);
