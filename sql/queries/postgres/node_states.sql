-- Locked in the order of their ids first, so that two writers of many nodes never wait for each other.
WITH held AS (
    SELECT live.*
    FROM unnest($1::bigint[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
        AS live (id, status, sync_status, applied_revision, last_seen_at)
    INNER JOIN nodes ON live.id = nodes.id
    ORDER BY nodes.id
    FOR NO KEY UPDATE OF nodes
)
UPDATE nodes
SET
    state_at = $2,
    status = held.status,
    sync_status = held.sync_status,
    applied_revision = held.applied_revision,
    last_seen_at = held.last_seen_at
FROM held
WHERE nodes.id = held.id AND nodes.state_at <= $2
