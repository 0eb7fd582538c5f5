-- +goose Up

-- What each worker does at each backend, so that all workers of a backend share its limit. A row counts while its worker's lease lasts.
CREATE TABLE loads (
    worker   TEXT COLLATE "C" NOT NULL,
    backend  TEXT COLLATE "C" NOT NULL, -- equal in all processes that reach the same server
    model    TEXT COLLATE "C" NOT NULL,
    share    DOUBLE PRECISION NOT NULL, -- of the limit, 0 to 1
    inflight BIGINT NOT NULL, -- requests
    wants    BIGINT NOT NULL, -- requests
    calls    BIGINT NOT NULL, -- of these, for interactive calls
    purses   TEXT COLLATE "C" NOT NULL, -- group:weight:wants, of the requests of jobs, separated by commas
    most     BIGINT NOT NULL, -- requests of all workers together
    bound    BIGINT NOT NULL, -- the same, from refusals; 0: none
    source   TEXT COLLATE "C" NOT NULL, -- of most
    found    BIGINT NOT NULL, -- 1: most was measured
    leads    BIGINT NOT NULL, -- 1: the worker searches for all
    idle     DOUBLE PRECISION NOT NULL, -- work a second of one request in an empty server; 0: not measured
    goodput  DOUBLE PRECISION NOT NULL, -- work a second of all workers; 0: not measured
    PRIMARY KEY (worker, backend, model)
);

CREATE INDEX loads_backend ON loads (backend, model);

-- +goose Down
DROP TABLE loads;
