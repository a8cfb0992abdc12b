INSERT INTO usage_suspect
(node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down, reason, received_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
