-- +goose Up

-- The oldest schema version that a program must know to work with this database: one row. Each later migration sets it, so that an older
-- program knows whether it may go on beside newer ones.
CREATE TABLE compatibility (
    oldest BIGINT NOT NULL
);
INSERT INTO compatibility (oldest) VALUES (20);

-- Where the jobs of this database came from, if they were moved from a data directory with SQLite: at most one row.
CREATE TABLE origin (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- of the move
    source   TEXT   NOT NULL, -- for people: the SQLite file and its machine
    complete BIGINT NOT NULL  -- 0: the rows are not all there, and no server may use the database
);

-- +goose Down
DROP TABLE origin;
DROP TABLE compatibility;
