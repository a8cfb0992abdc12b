SELECT
    minute,
    node_id,
    subscription_id,
    node_protocol_id,
    least(sum(bytes_up), 9223372036854775807)::bigint,
    least(sum(bytes_down), 9223372036854775807)::bigint
FROM usage_minutes
WHERE user_id = $1 AND minute >= $2 AND minute < $3
GROUP BY minute, node_id, subscription_id, node_protocol_id
ORDER BY minute, node_id, subscription_id NULLS FIRST, node_protocol_id
LIMIT $4
