-- +goose Up

-- The manifest of a job whose end is settled, as long as it may not be in the output yet: whoever concludes the job writes it from here.
-- Empty: it is there, or the job has none.
ALTER TABLE jobs ADD COLUMN last_manifest TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN last_manifest;
