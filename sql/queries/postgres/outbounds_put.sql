INSERT INTO node_outbounds (id, node_id, tag, protocol, config, position, enabled, deleted_at)
SELECT put.*
FROM unnest(
    $1::bigint[],
    $2::bigint[],
    $3::text[],
    $4::text[],
    $5::jsonb[],
    $6::bigint[],
    $7::boolean[],
    $8::timestamptz[]
) AS put
ON CONFLICT (id) DO UPDATE SET
    node_id = excluded.node_id,
    tag = excluded.tag,
    protocol = excluded.protocol,
    config = excluded.config,
    position = excluded.position,
    enabled = excluded.enabled,
    deleted_at = excluded.deleted_at
