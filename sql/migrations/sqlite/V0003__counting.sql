-- What is counted. No foreign keys: bytes are kept whoever they belong to.

-- Append-only. What one flush holds for a key is one row; a later report for that minute adds another.
CREATE TABLE usage_minutes (
    node_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    subscription_id INTEGER,
    node_protocol_id INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL
) STRICT;

CREATE INDEX usage_minutes_by_user ON usage_minutes (user_id, minute);

-- Summed in halves of 32 bits: sum() fails where a sum leaves 64 bits, and this holds it at 2^63-1.
CREATE VIEW usage_per_minute AS
SELECT
    node_id,
    user_id,
    subscription_id,
    node_protocol_id,
    minute,
    CASE
        WHEN up_high + (up_low >> 32) > 2147483647 THEN 9223372036854775807
        ELSE ((up_high + (up_low >> 32)) << 32) | (up_low & 4294967295)
    END AS bytes_up,
    CASE
        WHEN down_high + (down_low >> 32) > 2147483647 THEN 9223372036854775807
        ELSE ((down_high + (down_low >> 32)) << 32) | (down_low & 4294967295)
    END AS bytes_down
FROM (
    SELECT
        node_id,
        user_id,
        subscription_id,
        node_protocol_id,
        minute,
        sum(bytes_up >> 32) AS up_high,
        sum(bytes_up & 4294967295) AS up_low,
        sum(bytes_down >> 32) AS down_high,
        sum(bytes_down & 4294967295) AS down_low
    FROM usage_minutes
    GROUP BY node_id, user_id, subscription_id, node_protocol_id, minute
);

CREATE TABLE session_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    ip_address TEXT
) STRICT;

CREATE INDEX session_events_by_user ON session_events (user_id, occurred_at);

CREATE TABLE usage_rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    item TEXT NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

CREATE TABLE events_rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    item TEXT NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

-- Requests that were counted, so that a repeat is known.
CREATE TABLE report_ids (
    node_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    hash BLOB NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (node_id, kind, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX report_ids_by_age ON report_ids (seen_at);

-- How far each journal has been taken over; moves in the transaction that takes it over.
CREATE TABLE flush_watermarks (
    journal_id BLOB PRIMARY KEY CHECK (length(journal_id) = 16),
    instance_id TEXT NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 0),
    updated_at INTEGER
) STRICT, WITHOUT ROWID;
