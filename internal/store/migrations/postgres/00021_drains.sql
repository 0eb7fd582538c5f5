-- +goose Up

-- Model servers that an operator keeps free of new requests.
CREATE TABLE drains (
    address TEXT COLLATE "C" PRIMARY KEY, -- base URL, without user and query
    since   BIGINT NOT NULL,
    by_whom TEXT COLLATE "C" NOT NULL -- principal
);

-- A process of an older version sends requests to a drained server.
UPDATE compatibility SET oldest = 20;

-- +goose Down
DROP TABLE drains;
