-- +goose Up

-- Who publishes the job's output: one worker at a time, each under an epoch of its own. A job that began under an older schema has no
-- publisher, and the uploads of its publishers have epoch 0: whoever publishes next aborts them.
ALTER TABLE jobs ADD COLUMN publisher TEXT NOT NULL DEFAULT ''; -- a worker; empty: nobody
ALTER TABLE jobs ADD COLUMN publication INTEGER NOT NULL DEFAULT 0; -- epoch; rises by one with every claim
ALTER TABLE jobs ADD COLUMN final INTEGER NOT NULL DEFAULT 0; -- 1: what is published is the job's last output

-- When a job that was forgotten is cleaned up for the second time; 0: it was, or is not forgotten yet.
ALTER TABLE jobs ADD COLUMN sweep INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_sweep ON jobs (sweep) WHERE sweep > 0;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('jobs', 'jobs_sweep', '200 1');
ANALYZE sqlite_schema;

-- Of the publication that an upload belongs to; 0: of none.
ALTER TABLE uploads ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE uploads DROP COLUMN epoch;
DROP INDEX jobs_sweep;
ALTER TABLE jobs DROP COLUMN sweep;
ALTER TABLE jobs DROP COLUMN final;
ALTER TABLE jobs DROP COLUMN publication;
ALTER TABLE jobs DROP COLUMN publisher;
DELETE FROM sqlite_stat1 WHERE idx = 'jobs_sweep';
ANALYZE sqlite_schema;
