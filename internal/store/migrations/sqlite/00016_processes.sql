-- +goose Up

-- Values that all processes of a database share. The first process that needs one stores it.
CREATE TABLE shared (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What a process is, and what it reaches: an object of JSON. Empty: it has not said so.
ALTER TABLE workers ADD COLUMN reach TEXT NOT NULL DEFAULT '';

-- Work that one worker at a time does. It is free again when the worker's lease is lost.
CREATE TABLE duties (
    name   TEXT NOT NULL PRIMARY KEY,
    worker TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- When jobs are expected to begin and end. One worker keeps the row of a job up to date; another takes over when it is old.
CREATE TABLE forecasts (
    job      TEXT    NOT NULL PRIMARY KEY,
    worker   TEXT    NOT NULL,
    position INTEGER NOT NULL, -- in the queue of the model, from 1; 0: the job has begun
    begins   INTEGER NOT NULL, -- 0: unknown
    ends     INTEGER NOT NULL, -- 0: unknown
    late     INTEGER NOT NULL, -- 1: ends is after the job's timeout
    at       INTEGER NOT NULL  -- by the database's clock
) STRICT, WITHOUT ROWID;

-- The first error line of a job, for its message.
ALTER TABLE jobs ADD COLUMN first_code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN first_error TEXT NOT NULL DEFAULT '';

-- Every worker looks for stops each second.
CREATE INDEX jobs_stopping ON jobs (id) WHERE status = 'Stopping';

-- +goose Down
DROP INDEX jobs_stopping;
ALTER TABLE jobs DROP COLUMN first_error;
ALTER TABLE jobs DROP COLUMN first_code;
DROP TABLE forecasts;
DROP TABLE duties;
ALTER TABLE workers DROP COLUMN reach;
DROP TABLE shared;
