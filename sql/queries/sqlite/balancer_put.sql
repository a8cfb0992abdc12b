INSERT INTO node_balancers (id, node_id, tag, config)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET
    node_id = excluded.node_id,
    tag = excluded.tag,
    config = excluded.config
