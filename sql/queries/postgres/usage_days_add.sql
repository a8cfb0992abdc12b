-- In the order of the key, so that two who add never wait for each other. Each sum is held at 2^63-1.
INSERT INTO usage_days AS there (node_id, user_id, subscription_id, node_protocol_id, day, bytes_up, bytes_down)
SELECT
    node_id,
    user_id,
    subscription_id,
    node_protocol_id,
    date_trunc('day', minute, 'UTC') AS day,
    least(sum(bytes_up), 9223372036854775807)::bigint,
    least(sum(bytes_down), 9223372036854775807)::bigint
FROM usage_minutes
WHERE batch = ANY($1::bigint[]) AND minute >= $2::timestamptz AND minute <= $3::timestamptz
GROUP BY user_id, date_trunc('day', minute, 'UTC'), node_id, node_protocol_id, subscription_id
ORDER BY user_id, day, node_id, node_protocol_id, subscription_id
ON CONFLICT (user_id, day, node_id, node_protocol_id, subscription_id) DO UPDATE SET
    bytes_up = least(there.bytes_up, 9223372036854775807 - excluded.bytes_up) + excluded.bytes_up,
    bytes_down = least(there.bytes_down, 9223372036854775807 - excluded.bytes_down) + excluded.bytes_down
