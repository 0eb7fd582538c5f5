-- +goose Up

-- 1: the database was restored, and may be older than the bucket of this job. Nobody claims its chunks before its rows are compared with the
-- bucket.
ALTER TABLE jobs ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;

-- The jobs that have ended, by time: those that are kept for too long are forgotten.
CREATE INDEX jobs_ended ON jobs (ended) WHERE active = 0;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('jobs', 'jobs_ended', '100000 1');
ANALYZE sqlite_schema;

-- +goose Down
DELETE FROM sqlite_stat1 WHERE idx = 'jobs_ended';
DROP INDEX jobs_ended;
ALTER TABLE jobs DROP COLUMN restored;
ANALYZE sqlite_schema;
