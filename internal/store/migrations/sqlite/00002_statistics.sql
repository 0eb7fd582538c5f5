-- +goose Up

-- What the planner should believe of a database that has grown, from the first day on: it chooses the same indexes then
-- whatever is in the tables. Each row is an index, how many rows it has, and how many of them are alike in its first columns.
ANALYZE;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('jobs', 'jobs_by_seq', '100000 10000 1 1'),
    ('jobs', 'jobs_by_status', '100000 10000 1000 1 1'),
    ('jobs', 'jobs_by_time', '100000 10000 2 1'),
    ('jobs', 'jobs_names', '200 50 1'),
    ('jobs', 'jobs_models', '200 50 10'),
    ('jobs', 'jobs_active', '200 1 1 1'),
    ('jobs', 'jobs_unclean', '10 1 1 1'),
    ('chunks', 'chunks', '200000 10000 1'),
    ('chunks', 'chunks_open', '2000 100 1'),
    ('chunks', 'chunks_leased', '200 50 10'),
    ('events', 'events_by_job', '500000 5 1');
ANALYZE sqlite_schema;

-- +goose Down
DELETE FROM sqlite_stat1;
ANALYZE sqlite_schema;
