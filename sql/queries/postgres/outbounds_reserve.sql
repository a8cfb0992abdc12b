INSERT INTO node_outbounds (node_id, tag, protocol, position)
SELECT
    node.id,
    reserved.tag,
    reserved.protocol,
    reserved.position
FROM unnest($1::bigint[]) WITH ORDINALITY AS node (id, place)
CROSS JOIN unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS reserved (tag, protocol, position, place)
ORDER BY node.place, reserved.place
ON CONFLICT (node_id, tag) DO NOTHING
