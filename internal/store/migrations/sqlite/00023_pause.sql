-- +goose Up

-- Why no record of a job is sent though it could be, since when (0: it is not paused), and when that ends by itself (0: when somebody
-- resumes the job). They count only while the job is not terminal and not about to end.
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_paused ON jobs (submitted) WHERE paused > 0;

-- +goose Down
DROP INDEX jobs_paused;
ALTER TABLE jobs DROP COLUMN pause_reason;
ALTER TABLE jobs DROP COLUMN pause_until;
ALTER TABLE jobs DROP COLUMN paused;
