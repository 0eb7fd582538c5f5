-- +goose Up

-- What interactive calls took, by principal and day. A row is the total of one process since its start. Days before yesterday are deleted.
CREATE TABLE call_usage (
    account   TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    day       BIGINT NOT NULL, -- since 1970-01-01 UTC
    process   TEXT COLLATE "C" NOT NULL, -- random, new at each start
    calls     BIGINT NOT NULL,
    input     BIGINT NOT NULL, -- tokens
    output    BIGINT NOT NULL,
    PRIMARY KEY (account, principal, day, process)
);
CREATE INDEX call_usage_of_day ON call_usage (day);

-- +goose Down
DROP TABLE call_usage;
