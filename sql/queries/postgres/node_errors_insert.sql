INSERT INTO node_errors (node_id, revision, message, code, details, at)
SELECT
    failure.node_id,
    failure.revision,
    failure.message,
    failure.code,
    failure.details,
    failure.at
FROM
    unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[])
    WITH ORDINALITY AS failure (node_id, revision, message, code, details, at, place)
ORDER BY failure.place
