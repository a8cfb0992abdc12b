DELETE FROM node_errors
USING unnest($1::bigint[]) AS node (id)
WHERE
    node_errors.node_id = node.id
    AND node_errors.id <= (
        SELECT older.id
        FROM node_errors AS older
        WHERE older.node_id = node.id
        ORDER BY older.id DESC
        LIMIT 1 OFFSET $2
    )
