INSERT INTO registration_codes (code_hash, name, node_id, created_at, expires_at, uses_left)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
