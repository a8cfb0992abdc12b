DELETE FROM node_errors
WHERE
    node_id = ?1
    AND id <= (SELECT id FROM node_errors WHERE node_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
