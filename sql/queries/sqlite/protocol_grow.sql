-- Holds each sum at 2^63-1: past that SQLite goes on in floating point.
UPDATE node_protocols
SET
    traffic_bytes_up = min(traffic_bytes_up, 9223372036854775807 - ?2) + ?2,
    traffic_bytes_down = min(traffic_bytes_down, 9223372036854775807 - ?3) + ?3
WHERE id = ?1
RETURNING
    (traffic_bytes_up = 9223372036854775807 AND ?2 > 0)
    + (traffic_bytes_down = 9223372036854775807 AND ?3 > 0)
