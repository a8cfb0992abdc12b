SELECT
    hour,
    node_id,
    subscription_id,
    node_protocol_id,
    least(sum(bytes_up), 9223372036854775807)::bigint,
    least(sum(bytes_down), 9223372036854775807)::bigint
FROM usage_hours
WHERE user_id = $1 AND hour >= $2 AND hour < $3
GROUP BY hour, node_id, subscription_id, node_protocol_id
ORDER BY hour, node_id, subscription_id NULLS FIRST, node_protocol_id
LIMIT $4
