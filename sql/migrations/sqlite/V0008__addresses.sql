-- Where users were seen, and which instance does what only one may do.

-- One row a user and address.
CREATE TABLE user_ips (
    user_id INTEGER NOT NULL,
    ip TEXT NOT NULL,
    -- 4 or 6, then the bytes of the address: it sorts as addresses do, where text does not.
    ip_key BLOB NOT NULL CHECK (length(ip_key) IN (5, 17)),
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    -- What a provider said of the address, and when it was asked.
    info TEXT,
    info_fetched_at INTEGER,
    PRIMARY KEY (user_id, ip_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_ips_by_ip ON user_ips (ip_key, info_fetched_at);
CREATE INDEX user_ips_unknown ON user_ips (ip_key) WHERE info IS NULL;
CREATE INDEX user_ips_by_first_seen ON user_ips (first_seen_at);

CREATE TABLE job_leases (
    job TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
