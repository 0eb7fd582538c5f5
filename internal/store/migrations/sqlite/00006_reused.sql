-- +goose Up

-- Answers that were another record's with the same modelInput.
ALTER TABLE jobs ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE jobs DROP COLUMN reused;
