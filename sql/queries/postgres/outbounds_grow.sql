-- Locked in the order of their ids first, so that two who count never wait for each other. Each sum is held at 2^63-1.
WITH grown AS (
    SELECT *
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS grown (node_id, tag, up, down)
),
held AS (
    SELECT
        node_outbounds.id,
        grown.up,
        grown.down
    FROM node_outbounds
    INNER JOIN grown ON node_outbounds.node_id = grown.node_id AND node_outbounds.tag = grown.tag
    ORDER BY node_outbounds.id
    FOR NO KEY UPDATE OF node_outbounds
),
done AS (
    UPDATE node_outbounds
    SET
        traffic_bytes_up = least(node_outbounds.traffic_bytes_up, 9223372036854775807 - held.up) + held.up,
        traffic_bytes_down = least(node_outbounds.traffic_bytes_down, 9223372036854775807 - held.down) + held.down
    FROM held
    WHERE node_outbounds.id = held.id
    RETURNING
        (node_outbounds.traffic_bytes_up = 9223372036854775807 AND held.up > 0)::int
        + (node_outbounds.traffic_bytes_down = 9223372036854775807 AND held.down > 0)::int AS held
)
SELECT coalesce(sum(held), 0)::bigint FROM done
