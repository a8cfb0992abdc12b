INSERT INTO node_errors (node_id, revision, message, code, details, at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
