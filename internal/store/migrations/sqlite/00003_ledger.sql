-- +goose Up

-- What a job's outcomes cost and what they were. A job that began under an older schema counts from here on.
ALTER TABLE jobs ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0; -- of attempts: those that were not a record's first
ALTER TABLE jobs ADD COLUMN reissued INTEGER NOT NULL DEFAULT 0; -- outcomes of chunks that had been handed out before
ALTER TABLE jobs ADD COLUMN invalid INTEGER NOT NULL DEFAULT 0; -- of errored, as the next two: by kind
ALTER TABLE jobs ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN exhausted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN wasted_input INTEGER NOT NULL DEFAULT 0; -- tokens, as the next three
ALTER TABLE jobs ADD COLUMN wasted_output INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN wasted_cache_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN wasted_cache_write INTEGER NOT NULL DEFAULT 0;

-- CRC-32C of the input object as validation read it, 8 hexadecimal digits; empty: it was planned under an older schema.
ALTER TABLE files ADD COLUMN crc32c TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE files DROP COLUMN crc32c;
ALTER TABLE jobs DROP COLUMN wasted_cache_write;
ALTER TABLE jobs DROP COLUMN wasted_cache_read;
ALTER TABLE jobs DROP COLUMN wasted_output;
ALTER TABLE jobs DROP COLUMN wasted_input;
ALTER TABLE jobs DROP COLUMN exhausted;
ALTER TABLE jobs DROP COLUMN refused;
ALTER TABLE jobs DROP COLUMN invalid;
ALTER TABLE jobs DROP COLUMN reissued;
ALTER TABLE jobs DROP COLUMN repeats;
