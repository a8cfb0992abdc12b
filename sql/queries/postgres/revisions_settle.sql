WITH held AS (
    SELECT
        wanted.*,
        nodes.revision,
        nodes.config_hash
    FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) WITH ORDINALITY AS wanted (id, hash, above, place)
    INNER JOIN nodes ON wanted.id = nodes.id
    ORDER BY nodes.id
    FOR NO KEY UPDATE OF nodes
),
settled AS (
    SELECT
        id,
        hash,
        place,
        config_hash,
        revision AS was,
        CASE
            WHEN config_hash IS DISTINCT FROM hash AND config_hash IS NOT NULL OR revision <= above
                THEN least(greatest(revision, above), 9223372036854775806) + 1
            ELSE revision
        END AS revision
    FROM held
),
written AS (
    UPDATE nodes
    SET revision = settled.revision, config_hash = settled.hash
    FROM settled
    WHERE nodes.id = settled.id AND (settled.revision <> settled.was OR settled.config_hash IS DISTINCT FROM settled.hash)
)
SELECT
    place,
    revision
FROM settled
