SELECT
    uses.id,
    uses.node_id,
    uses.key_id,
    node_keys.key_hash
FROM registration_code_uses AS uses
INNER JOIN node_keys ON uses.key_id = node_keys.id
INNER JOIN nodes ON uses.node_id = nodes.id
WHERE
    uses.code_id = $1
    AND uses.sent_name = $2
    AND uses.used_at >= $3
    AND node_keys.first_used_at IS NULL
    AND node_keys.revoked_at IS NULL
ORDER BY uses.id DESC
LIMIT 1
FOR UPDATE OF node_keys
