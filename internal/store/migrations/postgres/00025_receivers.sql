-- +goose Up

-- Receivers of events (webhooks).
CREATE TABLE receivers (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL -- the last event that it has got: events.number
);
UPDATE compatibility SET oldest = 20; -- programs that do not know the table deliver no events

-- +goose Down
DROP TABLE receivers;
