INSERT INTO audit_log (at, actor, address, request_id, action, subject_id, details)
SELECT
    $1::timestamptz,
    $2::text,
    $3::text,
    $4::text,
    line.action,
    line.subject_id,
    line.details
FROM unnest($5::text[], $6::bigint[], $7::jsonb[]) WITH ORDINALITY AS line (action, subject_id, details, place)
ORDER BY line.place
