-- +goose Up

-- What each worker does at each backend, so that all workers of a backend share its limit. A row counts while its worker's lease lasts.
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

-- +goose Down
DROP TABLE loads;
