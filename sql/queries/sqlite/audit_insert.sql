INSERT INTO audit_log (at, actor, action, subject_id, details, address, request_id)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
