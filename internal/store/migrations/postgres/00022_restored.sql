-- +goose Up

-- 1: the database was restored, and may be older than the bucket of this job. Nobody claims its chunks before its rows are compared with the
-- bucket.
ALTER TABLE jobs ADD COLUMN restored BIGINT NOT NULL DEFAULT 0;

-- The jobs that have ended, by time: those that are kept for too long are forgotten.
CREATE INDEX jobs_ended ON jobs (ended) WHERE active = 0;

UPDATE compatibility SET oldest = 20;

-- +goose Down
DROP INDEX jobs_ended;
ALTER TABLE jobs DROP COLUMN restored;
