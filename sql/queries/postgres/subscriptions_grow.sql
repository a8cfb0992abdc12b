-- The rows come in the order of their ids, and so do the locks: two who count seldom meet crosswise, and when they do, one tries again. To lock
-- them all first would cost as much again as to write them. Each sum is held at 2^63-1.
UPDATE subscriptions
SET
    traffic_bytes_up = least(subscriptions.traffic_bytes_up, 9223372036854775807 - grown.up) + grown.up,
    traffic_bytes_down = least(subscriptions.traffic_bytes_down, 9223372036854775807 - grown.down) + grown.down,
    period_bytes = least(subscriptions.period_bytes, 9223372036854775807 - grown.period) + grown.period
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS grown (id, up, down, period)
WHERE subscriptions.id = grown.id
RETURNING
    subscriptions.id,
    subscriptions.period_bytes,
    subscriptions.period_started_at,
    (subscriptions.traffic_bytes_up = 9223372036854775807 AND grown.up > 0)::int::bigint
    + (subscriptions.traffic_bytes_down = 9223372036854775807 AND grown.down > 0)::int AS held
