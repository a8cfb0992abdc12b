INSERT INTO report_ids (node_id, kind, hash, seen_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (node_id, kind, hash) DO UPDATE SET seen_at = excluded.seen_at
WHERE excluded.seen_at - report_ids.seen_at >= ?5
