SELECT
    hour,
    node_id,
    subscription_id,
    node_protocol_id,
    bytes_up,
    bytes_down
FROM usage_hours
WHERE user_id = $1 AND hour >= $2 AND hour < $3
ORDER BY hour, node_id, subscription_id NULLS FIRST, node_protocol_id
LIMIT $4
