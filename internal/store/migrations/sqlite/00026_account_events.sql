-- +goose Up

-- The account of each event. An event gets its row before the events of an account are read (see placeEvents): nothing is rewritten here.
CREATE TABLE account_events (
    n       INTEGER NOT NULL PRIMARY KEY, -- events.seq
    account TEXT    NOT NULL
) STRICT;
CREATE INDEX events_of_accounts ON account_events (account, n);

-- What a job had at a moment, for plots: one row in a minute at most, and fewer for a long job.
CREATE TABLE points (
    job       TEXT    NOT NULL REFERENCES jobs (id),
    slot      INTEGER NOT NULL, -- minute since 1970
    at        INTEGER NOT NULL,
    records   INTEGER NOT NULL, -- with an outcome
    tokens    INTEGER NOT NULL, -- in and out
    in_flight INTEGER NOT NULL, -- requests to the servers of the job's model, of all jobs
    PRIMARY KEY (job, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('account_events', 'events_of_accounts', '500000 50000 1'), ('points', 'points', '100000 100 1');
ANALYZE sqlite_schema;

-- +goose Down
DELETE FROM sqlite_stat1 WHERE idx IN ('events_of_accounts', 'points');
DROP TABLE points;
DROP TABLE account_events;
ANALYZE sqlite_schema;
