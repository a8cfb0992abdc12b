INSERT INTO usage_minutes (node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
