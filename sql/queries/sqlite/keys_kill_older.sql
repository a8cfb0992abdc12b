UPDATE node_keys
SET revoked_at = ?2
FROM node_keys AS used
WHERE
    used.key_hash = ?1
    AND node_keys.node_id = used.node_id
    AND node_keys.id < used.id
    AND node_keys.revoked_at IS NULL
