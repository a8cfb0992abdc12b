-- Nothing is changed where somebody else has it.
INSERT INTO job_leases AS there (job, owner, until)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (job) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE there.owner = excluded.owner OR there.until <= clock_timestamp()
