-- One after the other on the same row: the second sees what the first made of it only in another statement, and does nothing.
WITH wanted AS (
    SELECT *
    FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS wanted (id, was, becomes, place)
)
UPDATE subscriptions
SET status = wanted.becomes
FROM wanted
WHERE subscriptions.id = wanted.id AND subscriptions.status = wanted.was
RETURNING wanted.place
