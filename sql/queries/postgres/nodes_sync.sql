-- Without a revision: the node could not. Locked in the order of their ids first, so that two writers of many nodes never wait for each other.
WITH held AS (
    SELECT said.*
    FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS said (id, at, revision)
    INNER JOIN nodes ON said.id = nodes.id
    ORDER BY nodes.id
    FOR NO KEY UPDATE OF nodes
)
UPDATE nodes
SET
    state_at = held.at,
    applied_revision = coalesce(held.revision, nodes.applied_revision),
    sync_status = CASE
        WHEN held.revision IS NULL THEN 'failed'
        WHEN held.revision = nodes.revision THEN 'synced'
        ELSE 'pending'
    END,
    status = CASE
        WHEN held.revision IS NULL THEN 'error'
        WHEN nodes.status = 'error' THEN 'online'
        ELSE nodes.status
    END
FROM held
WHERE nodes.id = held.id AND nodes.state_at <= held.at
