-- +goose Up

-- 1: the database was restored, and may be older than the bucket of this job. Nobody claims its chunks before its rows are compared with the
-- bucket.
ALTER TABLE jobs ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;

-- What a user or the retention wants of a job that has ended: 1: it is to be forgotten; 2: its output too.
ALTER TABLE jobs ADD COLUMN forgetting INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_forgetting ON jobs (id) WHERE forgetting > 0;

-- With it, a job can be deleted without a look at every token.
CREATE INDEX tokens_by_job ON tokens (job);

-- The jobs that have ended, by time: those that are kept for too long are forgotten.
CREATE INDEX jobs_ended ON jobs (ended) WHERE active = 0;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('jobs', 'jobs_ended', '100000 1'), ('jobs', 'jobs_forgetting', '10 1'), ('tokens', 'tokens_by_job', '100000 1');
ANALYZE sqlite_schema;

-- +goose Down
DELETE FROM sqlite_stat1 WHERE idx IN ('jobs_ended', 'jobs_forgetting', 'tokens_by_job');
DROP INDEX jobs_ended;
DROP INDEX tokens_by_job;
DROP INDEX jobs_forgetting;
ALTER TABLE jobs DROP COLUMN forgetting;
ALTER TABLE jobs DROP COLUMN restored;
ANALYZE sqlite_schema;
