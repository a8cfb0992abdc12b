-- Holds each sum at 2^63-1: past that SQLite goes on in floating point.
UPDATE subscriptions
SET
    traffic_bytes_up = min(traffic_bytes_up, 9223372036854775807 - ?2) + ?2,
    traffic_bytes_down = min(traffic_bytes_down, 9223372036854775807 - ?3) + ?3,
    period_bytes = min(period_bytes, 9223372036854775807 - ?4) + ?4
WHERE id = ?1
RETURNING
    (traffic_bytes_up = 9223372036854775807 AND ?2 > 0)
    + (traffic_bytes_down = 9223372036854775807 AND ?3 > 0),
    period_bytes,
    period_started_at
