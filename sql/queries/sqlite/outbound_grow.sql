-- Holds each sum at 2^63-1: past that SQLite goes on in floating point.
UPDATE node_outbounds
SET
    traffic_bytes_up = min(traffic_bytes_up, 9223372036854775807 - ?3) + ?3,
    traffic_bytes_down = min(traffic_bytes_down, 9223372036854775807 - ?4) + ?4
WHERE node_id = ?1 AND tag = ?2
RETURNING
    (traffic_bytes_up = 9223372036854775807 AND ?3 > 0)
    + (traffic_bytes_down = 9223372036854775807 AND ?4 > 0)
