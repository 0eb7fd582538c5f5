-- +goose Up

-- What interactive calls took, by principal and day. A row is the total of one process since its start. Days before yesterday are deleted.
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

-- +goose Down
DROP TABLE call_usage;
