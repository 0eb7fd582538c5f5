-- +goose Up

-- Whether results of a Failed job wait to be published: empty (nothing waits), Kept, or Publishing (somebody asked for it). While it is not
-- empty, the job's files and segments are its results, and no clean-up takes them.
ALTER TABLE jobs ADD COLUMN kept TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_kept ON jobs (submitted) WHERE kept <> '';

-- +goose Down
DROP INDEX jobs_kept;
ALTER TABLE jobs DROP COLUMN kept;
