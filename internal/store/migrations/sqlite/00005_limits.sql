-- +goose Up

-- How many requests a backend was found to take at once. A row that was not renewed for a week goes.
CREATE TABLE limits (
    backend  TEXT    NOT NULL, -- as it names itself, without a secret
    model    TEXT    NOT NULL, -- the backend's own name of it
    inflight INTEGER NOT NULL, -- requests at once
    goodput  REAL    NOT NULL, -- output tokens a second, or answers; 0: not measured
    at       INTEGER NOT NULL,
    PRIMARY KEY (backend, model)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE limits;
