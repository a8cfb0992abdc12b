INSERT INTO node_routing_rules (id, node_id, position, rule, outbound_id, balancer_tag, enabled)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO UPDATE SET
    node_id = excluded.node_id,
    position = excluded.position,
    rule = excluded.rule,
    outbound_id = excluded.outbound_id,
    balancer_tag = excluded.balancer_tag,
    enabled = excluded.enabled
