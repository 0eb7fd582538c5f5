-- +goose Up

-- Why no record of a job is sent though it could be, since when (0: it is not paused), and when that ends by itself (0: when somebody
-- resumes the job). They count only while the job is not terminal and not about to end.
ALTER TABLE jobs ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN pause_reason TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Whether the sample of records that is sent before the others has passed, or has paused the job: there is no other.
ALTER TABLE jobs ADD COLUMN sampled BIGINT NOT NULL DEFAULT 0;
CREATE INDEX jobs_paused ON jobs (submitted) WHERE paused > 0;

-- What the records of jobs took, by day, worker and price. A row is written in the transaction of each commit, and stays when its job is
-- forgotten. price is what a million tokens cost when the records were committed; empty: no price was set.
CREATE TABLE job_usage (
    job                TEXT COLLATE "C" NOT NULL,
    day                BIGINT NOT NULL, -- since 1970-01-01 UTC
    worker             TEXT COLLATE "C" NOT NULL,
    price              TEXT COLLATE "C" NOT NULL, -- input, output, cached, currency
    account            TEXT COLLATE "C" NOT NULL,
    principal          TEXT COLLATE "C" NOT NULL,
    model              TEXT COLLATE "C" NOT NULL,
    records            BIGINT NOT NULL,
    errored            BIGINT NOT NULL,
    attempts           BIGINT NOT NULL,
    repeats            BIGINT NOT NULL,
    canaries           BIGINT NOT NULL,
    input              BIGINT NOT NULL, -- tokens
    output             BIGINT NOT NULL,
    cache_read         BIGINT NOT NULL,
    cache_write        BIGINT NOT NULL,
    wasted_input       BIGINT NOT NULL,
    wasted_output      BIGINT NOT NULL,
    wasted_cache_read  BIGINT NOT NULL,
    wasted_cache_write BIGINT NOT NULL,
    PRIMARY KEY (job, day, worker, price)
);
CREATE INDEX job_usage_of_day ON job_usage (account, day);

-- What workers may still take for records that they send, of jobs with a cap.
CREATE TABLE reservations (
    job       TEXT COLLATE "C" NOT NULL,
    worker    TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    tokens    BIGINT NOT NULL,
    micros    BIGINT NOT NULL, -- 10^-6 of the currency
    PRIMARY KEY (job, worker)
);

-- Other processes are told of a pause and of its end.
CREATE TRIGGER paused_changed AFTER UPDATE OF paused ON jobs FOR EACH STATEMENT EXECUTE FUNCTION batholith_changed();

-- A worker of an older version goes on with a paused job.
UPDATE compatibility SET oldest = 20;

-- +goose Down
DROP TABLE reservations;
DROP TABLE job_usage;
DROP TRIGGER paused_changed ON jobs;
DROP INDEX jobs_paused;
ALTER TABLE jobs DROP COLUMN sampled;
ALTER TABLE jobs DROP COLUMN pause_reason;
ALTER TABLE jobs DROP COLUMN pause_until;
ALTER TABLE jobs DROP COLUMN paused;
