INSERT INTO node_outbounds (id, node_id, tag, protocol, config, position, enabled, deleted_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (id) DO UPDATE SET
    node_id = excluded.node_id,
    tag = excluded.tag,
    protocol = excluded.protocol,
    config = excluded.config,
    position = excluded.position,
    enabled = excluded.enabled,
    deleted_at = excluded.deleted_at
