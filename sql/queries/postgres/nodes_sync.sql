-- Without a revision: the node could not. Locked in the order of their ids first, so that two writers of many nodes never wait for each other.
WITH held AS (
    SELECT id FROM nodes WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE nodes
SET
    state_at = said.at,
    applied_revision = coalesce(said.revision, nodes.applied_revision),
    sync_status = CASE
        WHEN said.revision IS NULL THEN 'failed'
        WHEN said.revision = nodes.revision THEN 'synced'
        ELSE 'pending'
    END,
    status = CASE
        WHEN said.revision IS NULL THEN 'error'
        WHEN nodes.status = 'error' THEN 'online'
        ELSE nodes.status
    END
FROM held, unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS said (id, at, revision)
WHERE nodes.id = held.id AND said.id = held.id AND nodes.state_at <= said.at
