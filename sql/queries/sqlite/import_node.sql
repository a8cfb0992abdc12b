INSERT INTO nodes (id, name, ip, port, region, domain, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    ip = excluded.ip,
    port = excluded.port,
    region = excluded.region,
    domain = excluded.domain
