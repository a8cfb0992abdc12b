WITH wanted AS (
    SELECT *
    FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) WITH ORDINALITY AS wanted (id, hash, above, place)
),
held AS (
    SELECT
        nodes.id,
        nodes.revision,
        nodes.config_hash
    FROM nodes
    WHERE nodes.id = ANY($1::bigint[])
    ORDER BY nodes.id
    FOR NO KEY UPDATE
),
settled AS (
    SELECT
        wanted.id,
        wanted.hash,
        wanted.place,
        held.config_hash,
        held.revision AS was,
        CASE
            WHEN held.config_hash IS DISTINCT FROM wanted.hash AND held.config_hash IS NOT NULL
                OR held.revision <= wanted.above
                THEN least(greatest(held.revision, wanted.above), 9223372036854775806) + 1
            ELSE held.revision
        END AS revision
    FROM wanted
    INNER JOIN held ON wanted.id = held.id
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
