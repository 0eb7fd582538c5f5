-- +goose Up

-- Receivers of events (webhooks).
CREATE TABLE receivers (
    name TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL -- the last event that it has got: events.seq
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE receivers;
