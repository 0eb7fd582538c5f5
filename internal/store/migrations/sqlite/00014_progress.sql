-- +goose Up

-- What each worker has added to the counters of a job that is not sealed. The job's counters are those of its own row plus the sums of these
-- rows. When the job is sealed or ends, they are added to its row and deleted. So the workers of one job never write the same row.
CREATE TABLE progress (
    job                TEXT    NOT NULL REFERENCES jobs (id),
    worker             TEXT    NOT NULL,
    processed          INTEGER NOT NULL,
    succeeded          INTEGER NOT NULL,
    errored            INTEGER NOT NULL,
    input              INTEGER NOT NULL, -- tokens, as the next three
    output             INTEGER NOT NULL,
    cache_read         INTEGER NOT NULL,
    cache_write        INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    repeats            INTEGER NOT NULL,
    reissued           INTEGER NOT NULL,
    reused             INTEGER NOT NULL,
    canaries           INTEGER NOT NULL,
    invalid            INTEGER NOT NULL,
    refused            INTEGER NOT NULL,
    exhausted          INTEGER NOT NULL,
    wasted_input       INTEGER NOT NULL,
    wasted_output      INTEGER NOT NULL,
    wasted_cache_read  INTEGER NOT NULL,
    wasted_cache_write INTEGER NOT NULL,
    modified           INTEGER NOT NULL, -- time of the worker's latest commit
    PRIMARY KEY (job, worker)
) STRICT, WITHOUT ROWID;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('progress', 'progress', '400 2 1');

-- +goose Down
UPDATE jobs SET
    processed = jobs.processed + p.processed, succeeded = jobs.succeeded + p.succeeded, errored = jobs.errored + p.errored,
    input = jobs.input + p.input, output = jobs.output + p.output, cache_read = jobs.cache_read + p.cache_read, cache_write = jobs.cache_write + p.cache_write,
    attempts = jobs.attempts + p.attempts, repeats = jobs.repeats + p.repeats, reissued = jobs.reissued + p.reissued,
    reused = jobs.reused + p.reused, canaries = jobs.canaries + p.canaries,
    invalid = jobs.invalid + p.invalid, refused = jobs.refused + p.refused, exhausted = jobs.exhausted + p.exhausted,
    wasted_input = jobs.wasted_input + p.wasted_input, wasted_output = jobs.wasted_output + p.wasted_output,
    wasted_cache_read = jobs.wasted_cache_read + p.wasted_cache_read, wasted_cache_write = jobs.wasted_cache_write + p.wasted_cache_write,
    modified = max(jobs.modified, p.modified)
FROM (SELECT job, sum(processed) AS processed, sum(succeeded) AS succeeded, sum(errored) AS errored,
        sum(input) AS input, sum(output) AS output, sum(cache_read) AS cache_read, sum(cache_write) AS cache_write,
        sum(attempts) AS attempts, sum(repeats) AS repeats, sum(reissued) AS reissued, sum(reused) AS reused, sum(canaries) AS canaries,
        sum(invalid) AS invalid, sum(refused) AS refused, sum(exhausted) AS exhausted,
        sum(wasted_input) AS wasted_input, sum(wasted_output) AS wasted_output,
        sum(wasted_cache_read) AS wasted_cache_read, sum(wasted_cache_write) AS wasted_cache_write, max(modified) AS modified
    FROM progress GROUP BY job) AS p
WHERE jobs.id = p.job;
DELETE FROM sqlite_stat1 WHERE tbl = 'progress';
DROP TABLE progress;
