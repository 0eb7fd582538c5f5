-- +goose Up

-- Why no record of a job is sent though it could be, since when (0: it is not paused), and when that ends by itself (0: when somebody
-- resumes the job). They count only while the job is not terminal and not about to end.
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';
-- Whether the sample of records that is sent before the others has passed, or has paused the job: there is no other.
ALTER TABLE jobs ADD COLUMN sampled INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_paused ON jobs (submitted) WHERE paused > 0;

-- What the records of jobs took, by day, worker and price. A row is written in the transaction of each commit, and stays when its job is
-- forgotten. price is what a million tokens cost when the records were committed; empty: no price was set.
CREATE TABLE job_usage (
    job                TEXT NOT NULL,
    day                INTEGER NOT NULL, -- since 1970-01-01 UTC
    worker             TEXT NOT NULL,
    price              TEXT NOT NULL, -- input, output, cached, currency
    account            TEXT NOT NULL,
    principal          TEXT NOT NULL,
    model              TEXT NOT NULL,
    records            INTEGER NOT NULL,
    errored            INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    repeats            INTEGER NOT NULL,
    canaries           INTEGER NOT NULL,
    input              INTEGER NOT NULL, -- tokens
    output             INTEGER NOT NULL,
    cache_read         INTEGER NOT NULL,
    cache_write        INTEGER NOT NULL,
    wasted_input       INTEGER NOT NULL,
    wasted_output      INTEGER NOT NULL,
    wasted_cache_read  INTEGER NOT NULL,
    wasted_cache_write INTEGER NOT NULL,
    PRIMARY KEY (job, day, worker, price)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_usage_of_day ON job_usage (account, day);

-- What workers may still take for records that they send, of jobs with a cap.
CREATE TABLE reservations (
    job       TEXT NOT NULL,
    worker    TEXT NOT NULL,
    account   TEXT NOT NULL,
    principal TEXT NOT NULL,
    tokens    INTEGER NOT NULL,
    micros    INTEGER NOT NULL, -- 10^-6 of the currency
    PRIMARY KEY (job, worker)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE reservations;
DROP TABLE job_usage;
DROP INDEX jobs_paused;
ALTER TABLE jobs DROP COLUMN sampled;
ALTER TABLE jobs DROP COLUMN pause_reason;
ALTER TABLE jobs DROP COLUMN pause_until;
ALTER TABLE jobs DROP COLUMN paused;
