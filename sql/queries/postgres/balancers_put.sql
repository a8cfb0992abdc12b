INSERT INTO node_balancers (id, node_id, tag, config)
SELECT put.*
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::jsonb[]) AS put
ON CONFLICT (id) DO UPDATE SET
    node_id = excluded.node_id,
    tag = excluded.tag,
    config = excluded.config
