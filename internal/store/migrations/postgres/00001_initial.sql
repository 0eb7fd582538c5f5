-- +goose Up

-- The tables of migrations/sqlite, with the same columns. Texts that are compared or ordered have the collation "C": the order of their bytes,
-- as in SQLite, whatever the database's own collation is.

-- One row for each account that ever created a job. Its lock orders the creations: seq and submitted never go back.
CREATE TABLE accounts (
    account   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq       BIGINT NOT NULL, -- of the latest job
    submitted BIGINT NOT NULL  -- of the latest job
);

-- Times are milliseconds since 1970 UTC, 0 for none. Flags are 0 or 1.
-- Free space in each page keeps the new version of a row that changes in the page of the old one, so that no index changes with it.
CREATE TABLE jobs (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account            TEXT COLLATE "C" NOT NULL,
    seq                BIGINT NOT NULL, -- from 1 within the account, in the order of submission
    region             TEXT   NOT NULL,
    owner              TEXT   NOT NULL,
    name               TEXT COLLATE "C" NOT NULL,
    model              TEXT COLLATE "C" NOT NULL,
    request            TEXT   NOT NULL, -- JSON, without the tags
    status             TEXT COLLATE "C" NOT NULL,
    message            TEXT   NOT NULL, -- why the job ended as it did
    note               TEXT   NOT NULL DEFAULT '', -- about a job that is not terminal
    failing            TEXT   NOT NULL DEFAULT '', -- why a job is on its way to Failed; written in the transaction that seals it
    submitted          BIGINT NOT NULL,
    modified           BIGINT NOT NULL,
    ended              BIGINT NOT NULL,
    expires            BIGINT NOT NULL,
    total              BIGINT NOT NULL,
    processed          BIGINT NOT NULL,
    succeeded          BIGINT NOT NULL,
    errored            BIGINT NOT NULL,
    input              BIGINT NOT NULL, -- tokens, as the next three
    output             BIGINT NOT NULL,
    cache_read         BIGINT NOT NULL,
    cache_write        BIGINT NOT NULL,
    attempts           BIGINT NOT NULL,
    repeats            BIGINT NOT NULL DEFAULT 0, -- of attempts: those that were not a record's first
    reissued           BIGINT NOT NULL DEFAULT 0, -- outcomes of chunks that had been handed out before
    invalid            BIGINT NOT NULL DEFAULT 0, -- of errored, as the next two: by kind
    refused            BIGINT NOT NULL DEFAULT 0,
    exhausted          BIGINT NOT NULL DEFAULT 0,
    wasted_input       BIGINT NOT NULL DEFAULT 0, -- tokens, as the next three
    wasted_output      BIGINT NOT NULL DEFAULT 0,
    wasted_cache_read  BIGINT NOT NULL DEFAULT 0,
    wasted_cache_write BIGINT NOT NULL DEFAULT 0,
    reused             BIGINT NOT NULL DEFAULT 0, -- answers that were another record's with the same modelInput
    canaries           BIGINT NOT NULL DEFAULT 0, -- requests of our own that told bad records from a bad server; in no other count
    active             BIGINT NOT NULL, -- 1 until the status is terminal
    sealed             BIGINT NOT NULL, -- 1: no claim and no commit any more
    unclean            BIGINT NOT NULL, -- 1 until the job is forgotten
    sweep              BIGINT NOT NULL DEFAULT 0, -- when a forgotten job is cleaned up for the second time; 0: it was, or is not forgotten yet
    publisher          TEXT COLLATE "C" NOT NULL DEFAULT '', -- a worker; empty: nobody
    publication        BIGINT NOT NULL DEFAULT 0, -- epoch; rises by one with every claim
    final              BIGINT NOT NULL DEFAULT 0, -- 1: what is published is the job's last output
    reading            BIGINT NOT NULL DEFAULT 0, -- 1: a publisher reads the job's segments
    ending             TEXT COLLATE "C" NOT NULL DEFAULT '', -- the terminal status that the job is about to have
    last_message       TEXT   NOT NULL DEFAULT '', -- its message then
    last_manifest      TEXT   NOT NULL DEFAULT '', -- its manifest, as long as it may not be in the output yet
    kept               TEXT COLLATE "C" NOT NULL DEFAULT '', -- whether results of a Failed job wait to be published
    plan               BIGINT NOT NULL DEFAULT 0, -- number of the latest plan that was begun
    drafting           BIGINT NOT NULL DEFAULT 0  -- 1: that plan is unfinished
) WITH (fillfactor = 70);

-- The two orders of a list, with the name so that a filter by name need not read the rows it refuses.
CREATE UNIQUE INDEX jobs_by_seq ON jobs (account, seq, name);
CREATE INDEX jobs_by_status ON jobs (account, status, seq, name);
CREATE INDEX jobs_by_time ON jobs (account, submitted, seq);
CREATE UNIQUE INDEX jobs_names ON jobs (account, name) WHERE active = 1;
CREATE INDEX jobs_models ON jobs (account, model) WHERE active = 1;
CREATE INDEX jobs_active ON jobs (submitted, account, seq) WHERE active = 1;
CREATE INDEX jobs_unclean ON jobs (submitted, account, seq) WHERE active = 0 AND unclean = 1;
CREATE INDEX jobs_sweep ON jobs (sweep) WHERE sweep > 0;
CREATE INDEX jobs_kept ON jobs (submitted) WHERE kept <> '';

CREATE TABLE tokens (
    account TEXT COLLATE "C" NOT NULL,
    token   TEXT COLLATE "C" NOT NULL,
    job     TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    hash    TEXT NOT NULL, -- of the request that came with it
    PRIMARY KEY (account, token)
);

CREATE TABLE tags (
    job   TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    name  TEXT COLLATE "C" NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, name)
);

-- The outbox: one row for each status that a job was ever in. seq is in the order of insertion, which is that of the changes of one job.
-- number is in an order in which the changes of all jobs became visible; whoever reads the outbox gives it, under the lock of the row of
-- table outbox.
CREATE TABLE events (
    seq     BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    number  BIGINT, -- NULL: not given yet
    job     TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    status  TEXT   NOT NULL,
    message TEXT   NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX events_by_job ON events (job, seq);
CREATE UNIQUE INDEX events_by_number ON events (number);
CREATE INDEX events_unnumbered ON events (seq) WHERE number IS NULL;
CREATE TABLE outbox (id BIGINT NOT NULL PRIMARY KEY);

CREATE TABLE files (
    job       TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    n         BIGINT NOT NULL,
    key       TEXT   NOT NULL,
    etag      TEXT   NOT NULL,
    bytes     BIGINT NOT NULL,
    records   BIGINT NOT NULL,
    crc32c    TEXT   NOT NULL DEFAULT '', -- CRC-32C of the input object as validation read it, 8 hexadecimal digits
    output    TEXT   NOT NULL,
    index_key TEXT   NOT NULL,
    PRIMARY KEY (job, n)
);

-- Chunks, segments and progress do not refer to jobs by a foreign key: to check it, each insert would lock the job's row, which all workers
-- of the job share. Rows of jobs are never deleted.
CREATE TABLE chunks (
    job          TEXT COLLATE "C" NOT NULL,
    n            BIGINT NOT NULL,
    file         BIGINT NOT NULL,
    first        BIGINT NOT NULL,
    count        BIGINT NOT NULL,
    pos          BIGINT NOT NULL, -- first byte in the input object
    bytes        BIGINT NOT NULL,
    index_offset BIGINT NOT NULL,
    index_bytes  BIGINT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    epoch        BIGINT NOT NULL,
    done         BYTEA  NOT NULL, -- bit i of byte i/8 is record first+i; empty: none
    PRIMARY KEY (job, n)
) WITH (fillfactor = 80);
-- What may be claimed, or is leased: small, however long the job.
CREATE INDEX chunks_open ON chunks (job, n) WHERE state <> 'done';
CREATE INDEX chunks_leased ON chunks (owner, job, n) WHERE state = 'leased';

CREATE TABLE segments (
    job     TEXT COLLATE "C" NOT NULL,
    key     TEXT COLLATE "C" NOT NULL,
    level   BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    records BIGINT NOT NULL,
    lines   BIGINT NOT NULL,
    sum     BIGINT NOT NULL,
    PRIMARY KEY (job, key)
);

-- What each worker has added to the counters of a job that is not sealed. The job's counters are those of its own row plus the sums of these
-- rows. When the job is sealed or ends, they are added to its row and deleted. So the workers of one job never write the same row.
CREATE TABLE progress (
    job                TEXT COLLATE "C" NOT NULL,
    worker             TEXT COLLATE "C" NOT NULL,
    processed          BIGINT NOT NULL,
    succeeded          BIGINT NOT NULL,
    errored            BIGINT NOT NULL,
    input              BIGINT NOT NULL, -- tokens, as the next three
    output             BIGINT NOT NULL,
    cache_read         BIGINT NOT NULL,
    cache_write        BIGINT NOT NULL,
    attempts           BIGINT NOT NULL,
    repeats            BIGINT NOT NULL,
    reissued           BIGINT NOT NULL,
    reused             BIGINT NOT NULL,
    canaries           BIGINT NOT NULL,
    invalid            BIGINT NOT NULL,
    refused            BIGINT NOT NULL,
    exhausted          BIGINT NOT NULL,
    wasted_input       BIGINT NOT NULL,
    wasted_output      BIGINT NOT NULL,
    wasted_cache_read  BIGINT NOT NULL,
    wasted_cache_write BIGINT NOT NULL,
    modified           BIGINT NOT NULL, -- time of the worker's latest commit
    PRIMARY KEY (job, worker)
) WITH (fillfactor = 50);

CREATE TABLE uploads (
    job       TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    key       TEXT COLLATE "C" NOT NULL,
    upload_id TEXT COLLATE "C" NOT NULL,
    epoch     BIGINT NOT NULL DEFAULT 0, -- of the publication that the upload belongs to; 0: of none
    PRIMARY KEY (job, key, upload_id)
);

-- A worker's lease holds no time of a clock: it is lost when another process has seen the same beat for as long as the lease lasts.
CREATE TABLE workers (
    id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    beat  BIGINT NOT NULL, -- another number with every heartbeat
    lease BIGINT NOT NULL  -- milliseconds; 0: given up
) WITH (fillfactor = 50);

-- How many requests a backend was found to take at once. A row that was not renewed for a week is deleted.
CREATE TABLE limits (
    backend  TEXT COLLATE "C" NOT NULL, -- as it names itself, without a secret
    model    TEXT COLLATE "C" NOT NULL, -- the backend's own name of it
    inflight BIGINT NOT NULL, -- requests at once
    goodput  DOUBLE PRECISION NOT NULL, -- output tokens a second, or answers; 0: not measured
    at       BIGINT NOT NULL,
    PRIMARY KEY (backend, model)
);

-- Other processes are told of a job that was created or moved, or whose kept results are asked for, when the change is committed. The payload is
-- the process that has made it. Several changes of one transaction give one notification.
-- +goose StatementBegin
CREATE FUNCTION batholith_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('batholith', coalesce(current_setting('batholith.process', true), ''));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER events_changed AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION batholith_changed();
CREATE TRIGGER kept_changed AFTER UPDATE OF kept ON jobs FOR EACH STATEMENT EXECUTE FUNCTION batholith_changed();

-- +goose Down
DROP TABLE limits, workers, uploads, progress, segments, chunks, files, outbox, events, tags, tokens, jobs, accounts;
DROP FUNCTION batholith_changed();
