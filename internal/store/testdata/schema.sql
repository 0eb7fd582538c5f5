CREATE TABLE account_events (
    n       INTEGER NOT NULL PRIMARY KEY, -- events.seq
    account TEXT    NOT NULL
) STRICT;
CREATE INDEX events_of_accounts ON account_events (account, n);
CREATE TABLE accounts (
    account   TEXT    NOT NULL PRIMARY KEY,
    seq       INTEGER NOT NULL, -- of the latest job
    submitted INTEGER NOT NULL  -- of the latest job
) STRICT, WITHOUT ROWID;
CREATE TABLE call_usage (
    account   TEXT    NOT NULL,
    principal TEXT    NOT NULL,
    day       INTEGER NOT NULL, -- since 1970-01-01 UTC
    process   TEXT    NOT NULL, -- random, new at each start
    calls     INTEGER NOT NULL,
    input     INTEGER NOT NULL, -- tokens
    output    INTEGER NOT NULL,
    PRIMARY KEY (account, principal, day, process)
) STRICT, WITHOUT ROWID;
CREATE INDEX call_usage_of_day ON call_usage (day);
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
CREATE INDEX chunks_leased ON chunks (owner, job) WHERE state = 'leased';
CREATE INDEX chunks_open ON chunks (job, n) WHERE state <> 'done';
CREATE TABLE drains (
    address TEXT PRIMARY KEY, -- base URL, without user and query
    since   INTEGER NOT NULL,
    by_whom TEXT NOT NULL -- principal
) STRICT, WITHOUT ROWID;
CREATE TABLE duties (
    name   TEXT NOT NULL PRIMARY KEY,
    worker TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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
    index_key  TEXT    NOT NULL, crc32c TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE forecasts (
    job      TEXT    NOT NULL PRIMARY KEY,
    worker   TEXT    NOT NULL,
    position INTEGER NOT NULL, -- in the queue of the model, from 1; 0: the job has begun
    begins   INTEGER NOT NULL, -- 0: unknown
    ends     INTEGER NOT NULL, -- 0: unknown
    late     INTEGER NOT NULL, -- 1: ends is after the job's timeout
    at       INTEGER NOT NULL  -- by the database's clock
) STRICT, WITHOUT ROWID;
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
, repeats INTEGER NOT NULL DEFAULT 0, reissued INTEGER NOT NULL DEFAULT 0, invalid INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0, exhausted INTEGER NOT NULL DEFAULT 0, wasted_input INTEGER NOT NULL DEFAULT 0, wasted_output INTEGER NOT NULL DEFAULT 0, wasted_cache_read INTEGER NOT NULL DEFAULT 0, wasted_cache_write INTEGER NOT NULL DEFAULT 0, publisher TEXT NOT NULL DEFAULT '', publication INTEGER NOT NULL DEFAULT 0, final INTEGER NOT NULL DEFAULT 0, sweep INTEGER NOT NULL DEFAULT 0, reused INTEGER NOT NULL DEFAULT 0, reading INTEGER NOT NULL DEFAULT 0, ending TEXT NOT NULL DEFAULT '', last_message TEXT NOT NULL DEFAULT '', failing TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', plan INTEGER NOT NULL DEFAULT 0, drafting INTEGER NOT NULL DEFAULT 0, kept TEXT NOT NULL DEFAULT '', last_manifest TEXT NOT NULL DEFAULT '', canaries INTEGER NOT NULL DEFAULT 0, first_code INTEGER NOT NULL DEFAULT 0, first_error TEXT NOT NULL DEFAULT '', restored INTEGER NOT NULL DEFAULT 0, forgetting INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0, pause_until INTEGER NOT NULL DEFAULT 0, pause_reason TEXT NOT NULL DEFAULT '', sampled INTEGER NOT NULL DEFAULT 0, needs TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX jobs_active ON jobs (submitted, account, seq) WHERE active = 1;
CREATE UNIQUE INDEX jobs_by_seq ON jobs (account, seq, name);
CREATE INDEX jobs_by_status ON jobs (account, status, seq, name);
CREATE INDEX jobs_by_time ON jobs (account, submitted, seq);
CREATE INDEX jobs_ended ON jobs (ended) WHERE active = 0;
CREATE INDEX jobs_forgetting ON jobs (id) WHERE forgetting > 0;
CREATE INDEX jobs_kept ON jobs (submitted) WHERE kept <> '';
CREATE INDEX jobs_models ON jobs (account, model) WHERE active = 1;
CREATE UNIQUE INDEX jobs_names ON jobs (account, name) WHERE active = 1;
CREATE INDEX jobs_paused ON jobs (submitted) WHERE paused > 0;
CREATE INDEX jobs_stopping ON jobs (id) WHERE status = 'Stopping';
CREATE INDEX jobs_sweep ON jobs (sweep) WHERE sweep > 0;
CREATE INDEX jobs_unclean ON jobs (submitted, account, seq) WHERE active = 0 AND unclean = 1;
CREATE TABLE limits (
    backend  TEXT    NOT NULL, -- as it names itself, without a secret
    model    TEXT    NOT NULL, -- the backend's own name of it
    inflight INTEGER NOT NULL, -- requests at once
    goodput  REAL    NOT NULL, -- output tokens a second, or answers; 0: not measured
    at       INTEGER NOT NULL,
    PRIMARY KEY (backend, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE loads (
    worker   TEXT    NOT NULL,
    backend  TEXT    NOT NULL, -- equal in all processes that reach the same server
    model    TEXT    NOT NULL,
    share    REAL    NOT NULL, -- of the limit, 0 to 1
    inflight INTEGER NOT NULL, -- requests
    wants    INTEGER NOT NULL, -- requests
    calls    INTEGER NOT NULL, -- of these, for interactive calls
    purses   TEXT    NOT NULL, -- group:weight:wants, of the requests of jobs, separated by commas
    most     INTEGER NOT NULL, -- requests of all workers together
    bound    INTEGER NOT NULL, -- the same, from refusals; 0: none
    source   TEXT    NOT NULL, -- of most
    found    INTEGER NOT NULL, -- 1: most was measured
    leads    INTEGER NOT NULL, -- 1: the worker searches for all
    idle     REAL    NOT NULL, -- work a second of one request in an empty server; 0: not measured
    goodput  REAL    NOT NULL, -- work a second of all workers; 0: not measured
    PRIMARY KEY (worker, backend, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX loads_backend ON loads (backend, model);
CREATE TABLE points (
    job       TEXT    NOT NULL REFERENCES jobs (id),
    slot      INTEGER NOT NULL, -- minute since 1970
    at        INTEGER NOT NULL,
    records   INTEGER NOT NULL, -- with an outcome
    tokens    INTEGER NOT NULL, -- in and out
    in_flight INTEGER NOT NULL, -- requests to the servers of the job's model, of all jobs
    PRIMARY KEY (job, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE progress (
    job                TEXT    NOT NULL REFERENCES jobs (id),
    worker             TEXT    NOT NULL,
    processed          INTEGER NOT NULL,
    succeeded          INTEGER NOT NULL,
    errored            INTEGER NOT NULL,
    input              INTEGER NOT NULL, -- tokens, as the next three
    output             INTEGER NOT NULL,
    cache_read         INTEGER NOT NULL,
    cache_write        INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    repeats            INTEGER NOT NULL,
    reissued           INTEGER NOT NULL,
    reused             INTEGER NOT NULL,
    canaries           INTEGER NOT NULL,
    invalid            INTEGER NOT NULL,
    refused            INTEGER NOT NULL,
    exhausted          INTEGER NOT NULL,
    wasted_input       INTEGER NOT NULL,
    wasted_output      INTEGER NOT NULL,
    wasted_cache_read  INTEGER NOT NULL,
    wasted_cache_write INTEGER NOT NULL,
    modified           INTEGER NOT NULL, -- time of the worker's latest commit
    PRIMARY KEY (job, worker)
) STRICT, WITHOUT ROWID;
CREATE TABLE receivers (
    name TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL -- the last event that it has got: events.seq
) STRICT, WITHOUT ROWID;
CREATE TABLE reservations (
    job       TEXT NOT NULL,
    worker    TEXT NOT NULL,
    account   TEXT NOT NULL,
    principal TEXT NOT NULL,
    tokens    INTEGER NOT NULL,
    micros    INTEGER NOT NULL, -- 10^-6 of the currency
    PRIMARY KEY (job, worker)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE shared (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tags (
    job   TEXT NOT NULL REFERENCES jobs (id),
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    account TEXT NOT NULL,
    token   TEXT NOT NULL,
    job     TEXT NOT NULL REFERENCES jobs (id),
    hash    TEXT NOT NULL, -- of the request that came with it
    PRIMARY KEY (account, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_job ON tokens (job);
CREATE TABLE uploads (
    job       TEXT NOT NULL REFERENCES jobs (id),
    key       TEXT NOT NULL,
    upload_id TEXT NOT NULL, epoch INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, key, upload_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE workers (
    id          TEXT    NOT NULL PRIMARY KEY,
    beat INTEGER NOT NULL
, lease INTEGER NOT NULL DEFAULT 5000, reach TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
-- chunks chunks: 200000 10000 1
-- chunks chunks_leased: 200 50 10
-- chunks chunks_open: 2000 100 1
-- events events_by_job: 500000 5 1
-- account_events events_of_accounts: 500000 50000 1
-- job_usage job_usage: 100000 1 1 1 1
-- job_usage job_usage_of_day: 100000 10000 1000
-- jobs jobs_active: 200 1 1 1
-- jobs jobs_by_seq: 100000 10000 1 1
-- jobs jobs_by_status: 100000 10000 1000 1 1
-- jobs jobs_by_time: 100000 10000 2 1
-- jobs jobs_ended: 100000 1
-- jobs jobs_forgetting: 10 1
-- jobs jobs_models: 200 50 10
-- jobs jobs_names: 200 50 1
-- jobs jobs_sweep: 200 1
-- jobs jobs_unclean: 10 1 1 1
-- points points: 100000 100 1
-- progress progress: 400 2 1
-- tokens tokens_by_job: 100000 1
