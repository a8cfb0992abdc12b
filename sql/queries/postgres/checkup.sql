-- How the database is that Core found. The values of synchronous_commit and of the limits are those before Core's own session settings.
-- $1 = the schema.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::bigint AS version_number,
    (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint AS millis,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS synchronous_commit,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS is_read_only,
    current_setting('max_connections')::bigint
    - current_setting('superuser_reserved_connections')::bigint
    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections_free,
    (SELECT rolconnlimit::bigint FROM pg_roles WHERE rolname = current_user) AS role_limit,
    (SELECT datconnlimit::bigint FROM pg_database WHERE datname = current_database()) AS database_limit,
    CASE
        WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1::text)
            THEN
                has_schema_privilege(current_user, $1::text, 'USAGE')
                AND has_schema_privilege(current_user, $1::text, 'CREATE')
        ELSE has_database_privilege(current_user, current_database(), 'CREATE')
    END AS may_make,
    (
        SELECT count(*)
        FROM pg_class
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1::text)
        AND relkind IN ('r', 'p', 'v', 'S')
        AND NOT pg_has_role(relowner, 'USAGE')
    ) AS strange_tables
