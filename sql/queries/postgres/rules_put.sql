INSERT INTO node_routing_rules (id, node_id, position, rule, outbound_id, balancer_tag, enabled)
SELECT put.*
FROM unnest(
    $1::bigint[],
    $2::bigint[],
    $3::bigint[],
    $4::jsonb[],
    $5::bigint[],
    $6::text[],
    $7::boolean[]
) AS put
ON CONFLICT (id) DO UPDATE SET
    node_id = excluded.node_id,
    position = excluded.position,
    rule = excluded.rule,
    outbound_id = excluded.outbound_id,
    balancer_tag = excluded.balancer_tag,
    enabled = excluded.enabled
