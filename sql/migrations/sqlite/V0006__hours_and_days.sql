-- What was counted, by hour and by day.

-- One row a key. Grows in the transaction that adds the minutes.
CREATE TABLE usage_hours (
    node_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    subscription_id INTEGER,
    node_protocol_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL
) STRICT;

-- The key begins with what a reader asks for.
CREATE UNIQUE INDEX usage_hours_key
ON usage_hours (user_id, hour, node_id, node_protocol_id, coalesce(subscription_id, -1));

CREATE TABLE usage_days (
    node_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    subscription_id INTEGER,
    node_protocol_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX usage_days_key
ON usage_days (user_id, day, node_id, node_protocol_id, coalesce(subscription_id, -1));

-- Summed in halves of 32 bits, as in usage_per_minute.
INSERT INTO usage_hours
SELECT
    node_id,
    user_id,
    subscription_id,
    node_protocol_id,
    hour,
    CASE
        WHEN up_high + (up_low >> 32) > 2147483647 THEN 9223372036854775807
        ELSE ((up_high + (up_low >> 32)) << 32) | (up_low & 4294967295)
    END,
    CASE
        WHEN down_high + (down_low >> 32) > 2147483647 THEN 9223372036854775807
        ELSE ((down_high + (down_low >> 32)) << 32) | (down_low & 4294967295)
    END
FROM (
    SELECT
        node_id,
        user_id,
        subscription_id,
        node_protocol_id,
        minute - minute % 3600000 AS hour,
        sum(bytes_up >> 32) AS up_high,
        sum(bytes_up & 4294967295) AS up_low,
        sum(bytes_down >> 32) AS down_high,
        sum(bytes_down & 4294967295) AS down_low
    FROM usage_minutes
    GROUP BY node_id, user_id, subscription_id, node_protocol_id, minute - minute % 3600000
);

INSERT INTO usage_days
SELECT
    node_id,
    user_id,
    subscription_id,
    node_protocol_id,
    day,
    CASE
        WHEN up_high + (up_low >> 32) > 2147483647 THEN 9223372036854775807
        ELSE ((up_high + (up_low >> 32)) << 32) | (up_low & 4294967295)
    END,
    CASE
        WHEN down_high + (down_low >> 32) > 2147483647 THEN 9223372036854775807
        ELSE ((down_high + (down_low >> 32)) << 32) | (down_low & 4294967295)
    END
FROM (
    SELECT
        node_id,
        user_id,
        subscription_id,
        node_protocol_id,
        hour - hour % 86400000 AS day,
        sum(bytes_up >> 32) AS up_high,
        sum(bytes_up & 4294967295) AS up_low,
        sum(bytes_down >> 32) AS down_high,
        sum(bytes_down & 4294967295) AS down_low
    FROM usage_hours
    GROUP BY node_id, user_id, subscription_id, node_protocol_id, hour - hour % 86400000
);
