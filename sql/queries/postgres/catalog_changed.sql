SELECT DISTINCT
    table_name,
    row_id
FROM catalog_changes
WHERE seq > $1
LIMIT $2
