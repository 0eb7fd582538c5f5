-- +goose Up

-- Why no record of a job is sent though it could be, since when (0: it is not paused), and when that ends by itself (0: when somebody
-- resumes the job). They count only while the job is not terminal and not about to end.
ALTER TABLE jobs ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_reason TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX jobs_paused ON jobs (submitted) WHERE paused > 0;

-- Other processes are told of a pause and of its end.
CREATE TRIGGER paused_changed AFTER UPDATE OF paused ON jobs FOR EACH STATEMENT EXECUTE FUNCTION batholith_changed();

-- A worker of an older version goes on with a paused job.
UPDATE compatibility SET oldest = 20;

-- +goose Down
DROP TRIGGER paused_changed ON jobs;
DROP INDEX jobs_paused;
ALTER TABLE jobs DROP COLUMN pause_reason;
ALTER TABLE jobs DROP COLUMN pause_until;
ALTER TABLE jobs DROP COLUMN paused;
