-- +goose Up

-- The account of each event. An event gets its row before the events of an account are read (see placeEvents): nothing is rewritten here.
CREATE TABLE account_events (
    n       BIGINT NOT NULL PRIMARY KEY, -- events.number
    account TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_of_accounts ON account_events (account, n);

-- The highest number that an event ever had. Without it, the numbers of erased events would be given again, and who has read them would miss
-- the new ones.
ALTER TABLE outbox ADD COLUMN last BIGINT NOT NULL DEFAULT 0;
UPDATE outbox SET last = GREATEST((SELECT COALESCE(max(number), 0) FROM events), (SELECT COALESCE(max(seq), 0) FROM receivers));

-- What a job had at a moment, for plots: one row in a minute at most, and fewer for a long job.
CREATE TABLE points (
    job       TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    slot      BIGINT NOT NULL, -- minute since 1970
    at        BIGINT NOT NULL,
    records   BIGINT NOT NULL, -- with an outcome
    tokens    BIGINT NOT NULL, -- in and out
    in_flight BIGINT NOT NULL, -- requests to the servers of the job's model, of all jobs
    PRIMARY KEY (job, slot)
);

UPDATE compatibility SET oldest = 20; -- programs that do not know the tables write no points

-- +goose Down
DROP TABLE points;
ALTER TABLE outbox DROP COLUMN last;
DROP TABLE account_events;
