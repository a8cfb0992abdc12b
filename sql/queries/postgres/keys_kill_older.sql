UPDATE node_keys
SET revoked_at = newest.at
FROM (
    SELECT
        node_keys.node_id,
        max(node_keys.id) AS id,
        max(used.at) AS at
    FROM unnest($1::bytea[], $2::timestamptz[]) AS used (key_hash, at)
    INNER JOIN node_keys ON used.key_hash = node_keys.key_hash
    GROUP BY node_keys.node_id
) AS newest
WHERE
    node_keys.node_id = newest.node_id
    AND node_keys.id < newest.id
    AND node_keys.revoked_at IS NULL
