-- Holds each sum at 2^63-1: past that SQLite goes on in floating point.
INSERT INTO usage_days (node_id, user_id, subscription_id, node_protocol_id, day, bytes_up, bytes_down)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (user_id, day, node_id, node_protocol_id, coalesce(subscription_id, -1)) DO UPDATE SET
    bytes_up = min(bytes_up, 9223372036854775807 - excluded.bytes_up) + excluded.bytes_up,
    bytes_down = min(bytes_down, 9223372036854775807 - excluded.bytes_down) + excluded.bytes_down
