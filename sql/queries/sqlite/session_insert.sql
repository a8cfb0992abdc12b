INSERT INTO session_events (node_id, user_id, protocol, event_type, occurred_at, ip_address)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
