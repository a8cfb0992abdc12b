-- Bytes that count nowhere until an admin accepts them. No foreign keys, as with all bytes.
CREATE TABLE usage_suspect (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    subscription_id INTEGER,
    node_protocol_id INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL,
    reason TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    decided_at INTEGER,
    decision TEXT CHECK (decision IN ('accepted', 'voided')),
    decided_by TEXT,
    CHECK ((decided_at IS NULL) = (decision IS NULL))
) STRICT;

CREATE INDEX usage_suspect_undecided ON usage_suspect (id) WHERE decided_at IS NULL;
