DELETE FROM catalog_changes
WHERE
    seq <= (SELECT max(seq) FROM catalog_changes) - $1
    AND seq < (SELECT min(seq) FROM catalog_changes) + $2
