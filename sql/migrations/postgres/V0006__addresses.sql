-- Where users were seen, and which instance does what only one may do.

-- One row a user and address. last_seen_at moves all the time and is in no index, so that a row is changed within its page.
CREATE TABLE user_ips (
    user_id bigint NOT NULL,
    ip inet NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    -- What a provider said of the address, and when it was asked.
    info jsonb,
    info_fetched_at timestamptz,
    PRIMARY KEY (user_id, ip)
)
WITH (fillfactor = 50);

CREATE INDEX user_ips_by_ip ON user_ips (ip, info_fetched_at);
CREATE INDEX user_ips_unknown ON user_ips (ip) WHERE info IS NULL;
CREATE INDEX user_ips_by_first_seen ON user_ips (first_seen_at);

CREATE TABLE job_leases (
    job text PRIMARY KEY,
    owner text NOT NULL,
    until timestamptz NOT NULL
);
