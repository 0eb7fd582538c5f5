-- +goose Up

-- What a job took is found by the job, and not among all that its account ever took.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('job_usage', 'job_usage', '100000 1 1 1 1'), ('job_usage', 'job_usage_of_day', '100000 10000 1000');
ANALYZE sqlite_schema;

-- +goose Down
DELETE FROM sqlite_stat1 WHERE tbl = 'job_usage';
ANALYZE sqlite_schema;
