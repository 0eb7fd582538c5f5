-- +goose Up

-- The terminal status that a job is about to have, and its message then, when its output is there and what lies beside it is being cleaned
-- up; otherwise empty.
ALTER TABLE jobs ADD COLUMN ending TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN last_message TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN last_message;
ALTER TABLE jobs DROP COLUMN ending;
