SELECT
    day,
    node_id,
    subscription_id,
    node_protocol_id,
    bytes_up,
    bytes_down
FROM usage_days
WHERE user_id = $1 AND day >= $2 AND day < $3
ORDER BY day, node_id, subscription_id NULLS FIRST, node_protocol_id
LIMIT $4
