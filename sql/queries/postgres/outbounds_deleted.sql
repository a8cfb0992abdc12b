SELECT
    outbound.node_id,
    outbound.tag,
    outbound.id
FROM unnest($1::bigint[], $2::text[]) AS asked (node_id, tag)
INNER JOIN node_outbounds AS outbound ON outbound.node_id = asked.node_id AND outbound.tag = asked.tag
WHERE outbound.deleted_at IS NOT NULL
FOR NO KEY UPDATE OF outbound
