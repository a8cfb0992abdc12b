INSERT INTO nodes (id, name, ip, port, region, domain, created_at)
SELECT
    put.id,
    put.name,
    put.ip,
    put.port,
    put.region,
    put.domain,
    $7::timestamptz
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[])
AS put (id, name, ip, port, region, domain)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    ip = excluded.ip,
    port = excluded.port,
    region = excluded.region,
    domain = excluded.domain
