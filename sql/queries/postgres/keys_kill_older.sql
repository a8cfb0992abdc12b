UPDATE node_keys
SET revoked_at = dead.at
FROM (
    SELECT
        older.id,
        min(used.at) AS at
    FROM unnest($1::bytea[], $2::timestamptz[]) AS used (key_hash, at)
    INNER JOIN node_keys AS newer ON used.key_hash = newer.key_hash
    INNER JOIN node_keys AS older ON newer.node_id = older.node_id AND newer.id > older.id
    WHERE older.revoked_at IS NULL
    GROUP BY older.id
) AS dead
WHERE node_keys.id = dead.id
