-- Locked in the order of their ids first, so that two writers of many nodes never wait for each other.
WITH held AS (
    SELECT id FROM nodes WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE nodes
SET
    state_at = $2,
    status = live.status,
    sync_status = live.sync_status,
    applied_revision = live.applied_revision,
    last_seen_at = live.last_seen_at
FROM
    held,
    unnest($1::bigint[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
        AS live (id, status, sync_status, applied_revision, last_seen_at)
WHERE nodes.id = held.id AND live.id = held.id AND nodes.state_at <= $2
