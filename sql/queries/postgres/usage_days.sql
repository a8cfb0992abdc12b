SELECT
    day,
    node_id,
    subscription_id,
    node_protocol_id,
    least(sum(bytes_up), 9223372036854775807)::bigint,
    least(sum(bytes_down), 9223372036854775807)::bigint
FROM usage_days
WHERE user_id = $1 AND day >= $2 AND day < $3
GROUP BY day, node_id, subscription_id, node_protocol_id
ORDER BY day, node_id, subscription_id NULLS FIRST, node_protocol_id
LIMIT $4
