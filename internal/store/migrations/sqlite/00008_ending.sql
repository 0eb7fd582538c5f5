-- +goose Up

-- The terminal status that a job is about to have, when its output is there and what lies beside it is being cleaned up; otherwise empty.
ALTER TABLE jobs ADD COLUMN ending TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN ending;
