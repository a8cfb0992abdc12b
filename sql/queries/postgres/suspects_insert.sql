INSERT INTO usage_suspect
(node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down, reason, received_at)
SELECT *
FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[],
    $9::timestamptz[]
)
