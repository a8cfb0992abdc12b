-- Locked in the order of their ids first, so that two who count never wait for each other. Each sum is held at 2^63-1.
WITH held AS (
    SELECT grown.*
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS grown (id, up, down)
    INNER JOIN node_protocols ON grown.id = node_protocols.id
    ORDER BY node_protocols.id
    FOR NO KEY UPDATE OF node_protocols
),
done AS (
    UPDATE node_protocols
    SET
        traffic_bytes_up = least(node_protocols.traffic_bytes_up, 9223372036854775807 - held.up) + held.up,
        traffic_bytes_down = least(node_protocols.traffic_bytes_down, 9223372036854775807 - held.down) + held.down
    FROM held
    WHERE node_protocols.id = held.id
    RETURNING
        (node_protocols.traffic_bytes_up = 9223372036854775807 AND held.up > 0)::int
        + (node_protocols.traffic_bytes_down = 9223372036854775807 AND held.down > 0)::int AS held
)
SELECT coalesce(sum(held), 0)::bigint FROM done
