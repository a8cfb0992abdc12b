DELETE FROM node_protocol_links AS member
USING unnest($1::bigint[], $2::bigint[]) AS gone (proto_id, ls_id)
WHERE member.proto_id = gone.proto_id AND member.ls_id = gone.ls_id
