-- Summed in halves of 32 bits: sum() fails where a sum leaves 64 bits.
SELECT
    minute,
    node_id,
    subscription_id,
    node_protocol_id,
    sum(bytes_up >> 32),
    sum(bytes_up & 4294967295),
    sum(bytes_down >> 32),
    sum(bytes_down & 4294967295)
FROM usage_minutes
WHERE user_id = ?1 AND minute >= ?2 AND minute < ?3
GROUP BY minute, node_id, subscription_id, node_protocol_id
ORDER BY minute, node_id, subscription_id, node_protocol_id
LIMIT ?4
