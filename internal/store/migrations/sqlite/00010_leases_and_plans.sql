-- +goose Up

-- A worker's lease holds no time of a clock. The lease is lost when another process has seen the same beat for as long as the lease lasts.
-- A lease of an older schema is 5 s long, and the time at which it ended serves as its beat.
ALTER TABLE workers RENAME COLUMN lease_until TO beat; -- another number with every heartbeat
ALTER TABLE workers ADD COLUMN lease INTEGER NOT NULL DEFAULT 5000; -- milliseconds; 0: given up

-- A plan is written in many transactions. While it is unfinished, the job has no plan for anybody else.
ALTER TABLE jobs ADD COLUMN plan INTEGER NOT NULL DEFAULT 0; -- number of the latest plan that was begun
ALTER TABLE jobs ADD COLUMN drafting INTEGER NOT NULL DEFAULT 0; -- 1: that plan is unfinished

-- +goose Down
ALTER TABLE jobs DROP COLUMN drafting;
ALTER TABLE jobs DROP COLUMN plan;
ALTER TABLE workers DROP COLUMN lease;
ALTER TABLE workers RENAME COLUMN beat TO lease_until;
