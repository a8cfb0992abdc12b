-- What the nodes' machines looked like, and what keeping house needs.

-- One row a node and minute: the last snapshot in it.
CREATE TABLE node_stats (
    node_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    uptime_seconds INTEGER NOT NULL,
    cpu_percent REAL NOT NULL,
    cpu_cores INTEGER NOT NULL,
    ram_used INTEGER NOT NULL,
    ram_total INTEGER NOT NULL,
    disk_used INTEGER NOT NULL,
    disk_total INTEGER NOT NULL,
    net_rx_per_sec INTEGER NOT NULL,
    net_tx_per_sec INTEGER NOT NULL,
    net_rx_total INTEGER NOT NULL,
    net_tx_total INTEGER NOT NULL,
    PRIMARY KEY (node_id, at)
) STRICT;

-- For letting go of what is old. Days are kept for ever.
CREATE INDEX usage_minutes_by_minute ON usage_minutes (minute);
CREATE INDEX usage_hours_by_hour ON usage_hours (hour);
CREATE INDEX session_events_by_time ON session_events (occurred_at);
CREATE INDEX node_stats_by_time ON node_stats (at);
