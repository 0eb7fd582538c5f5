-- +goose Up

-- Model servers that an operator keeps free of new requests.
CREATE TABLE drains (
    address TEXT PRIMARY KEY, -- base URL, without user and query
    since   INTEGER NOT NULL,
    by_whom TEXT NOT NULL -- principal
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE drains;
