-- +goose Up

-- One row for each account that ever created a job. Its lock orders the creations: seq and submitted never go back.
CREATE TABLE accounts (
    account   TEXT    NOT NULL PRIMARY KEY,
    seq       INTEGER NOT NULL, -- of the latest job
    submitted INTEGER NOT NULL  -- of the latest job
) STRICT, WITHOUT ROWID;

-- Times are milliseconds since 1970 UTC, 0 for none. Flags are 0 or 1.
CREATE TABLE jobs (
    id          TEXT    NOT NULL PRIMARY KEY,
    account     TEXT    NOT NULL,
    seq         INTEGER NOT NULL, -- from 1 within the account, in the order of submission
    region      TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    request     TEXT    NOT NULL, -- JSON, without the tags
    status      TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    submitted   INTEGER NOT NULL,
    modified    INTEGER NOT NULL,
    ended       INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    total       INTEGER NOT NULL,
    processed   INTEGER NOT NULL,
    succeeded   INTEGER NOT NULL,
    errored     INTEGER NOT NULL,
    input       INTEGER NOT NULL, -- tokens, as the next three
    output      INTEGER NOT NULL,
    cache_read  INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    active      INTEGER NOT NULL, -- 1 until the status is terminal
    sealed      INTEGER NOT NULL, -- 1: no claim and no commit any more
    unclean     INTEGER NOT NULL  -- 1 until the job is forgotten
) STRICT;

-- The two orders of a list, with the name so that a filter by name need not read the rows it refuses.
CREATE UNIQUE INDEX jobs_by_seq ON jobs (account, seq, name);
CREATE INDEX jobs_by_status ON jobs (account, status, seq, name);
CREATE INDEX jobs_by_time ON jobs (account, submitted, seq);
CREATE UNIQUE INDEX jobs_names ON jobs (account, name) WHERE active = 1;
CREATE INDEX jobs_models ON jobs (account, model) WHERE active = 1;
CREATE INDEX jobs_active ON jobs (submitted, account, seq) WHERE active = 1;
CREATE INDEX jobs_unclean ON jobs (submitted, account, seq) WHERE active = 0 AND unclean = 1;

CREATE TABLE tokens (
    account TEXT NOT NULL,
    token   TEXT NOT NULL,
    job     TEXT NOT NULL REFERENCES jobs (id),
    hash    TEXT NOT NULL, -- of the request that came with it
    PRIMARY KEY (account, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
    job   TEXT NOT NULL REFERENCES jobs (id),
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;

-- The outbox: one row for each status that a job was ever in.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    job     TEXT    NOT NULL REFERENCES jobs (id),
    status  TEXT    NOT NULL,
    message TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events (job, seq);

CREATE TABLE files (
    job        TEXT    NOT NULL REFERENCES jobs (id),
    n          INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    etag       TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    output     TEXT    NOT NULL,
    index_key  TEXT    NOT NULL,
    PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (
    job          TEXT    NOT NULL REFERENCES jobs (id),
    n            INTEGER NOT NULL,
    file         INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    pos          INTEGER NOT NULL, -- first byte in the input object
    bytes        INTEGER NOT NULL,
    index_offset INTEGER NOT NULL,
    index_bytes  INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    owner        TEXT    NOT NULL,
    epoch        INTEGER NOT NULL,
    done         BLOB    NOT NULL, -- bit i of byte i/8 is record first+i; empty: none
    PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
-- What may be claimed, or is leased: small, however long the job.
CREATE INDEX chunks_open ON chunks (job, n) WHERE state <> 'done';
CREATE INDEX chunks_leased ON chunks (owner, job) WHERE state = 'leased';

CREATE TABLE segments (
    job     TEXT    NOT NULL REFERENCES jobs (id),
    key     TEXT    NOT NULL,
    level   INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    records INTEGER NOT NULL,
    lines   INTEGER NOT NULL,
    sum     INTEGER NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
    job       TEXT NOT NULL REFERENCES jobs (id),
    key       TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    PRIMARY KEY (job, key, upload_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id          TEXT    NOT NULL PRIMARY KEY,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE workers;
DROP TABLE uploads;
DROP TABLE segments;
DROP TABLE chunks;
DROP TABLE files;
DROP TABLE events;
DROP TABLE tags;
DROP TABLE tokens;
DROP TABLE jobs;
DROP TABLE accounts;
