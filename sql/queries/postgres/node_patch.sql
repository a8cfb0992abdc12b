UPDATE nodes
SET
    name = $2,
    ip = $3,
    port = $4,
    region = $5,
    domain = $6,
    enabled = $7,
    traffic_multiplier = $8,
    version = $9
WHERE id = $1
