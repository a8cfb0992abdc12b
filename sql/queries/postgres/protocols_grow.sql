-- Locked in the order of their ids first, so that two who count never wait for each other. Each sum is held at 2^63-1.
WITH held AS (
    SELECT id FROM node_protocols WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
),
done AS (
    UPDATE node_protocols
    SET
        traffic_bytes_up = least(node_protocols.traffic_bytes_up, 9223372036854775807 - grown.up) + grown.up,
        traffic_bytes_down = least(node_protocols.traffic_bytes_down, 9223372036854775807 - grown.down) + grown.down
    FROM held, unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS grown (id, up, down)
    WHERE node_protocols.id = held.id AND grown.id = held.id
    RETURNING
        (node_protocols.traffic_bytes_up = 9223372036854775807 AND grown.up > 0)::int
        + (node_protocols.traffic_bytes_down = 9223372036854775807 AND grown.down > 0)::int AS held
)
SELECT coalesce(sum(held), 0)::bigint FROM done
