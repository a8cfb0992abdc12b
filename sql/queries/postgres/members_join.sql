INSERT INTO node_protocol_links (proto_id, ls_id)
SELECT
    member.proto_id,
    member.ls_id
FROM unnest($1::bigint[], $2::bigint[]) AS member (proto_id, ls_id)
ON CONFLICT DO NOTHING
