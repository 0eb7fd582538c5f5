-- +goose Up

-- 1: a publisher reads the job's segments, so the objects of those that are merged meanwhile are kept.
ALTER TABLE jobs ADD COLUMN reading INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE jobs DROP COLUMN reading;
