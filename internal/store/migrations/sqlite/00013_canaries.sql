-- +goose Up

-- Requests of our own that told bad records from a bad server. They are in no other count.
ALTER TABLE jobs ADD COLUMN canaries INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE jobs DROP COLUMN canaries;
