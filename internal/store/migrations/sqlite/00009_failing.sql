-- +goose Up

-- Why a job is on its way to Failed. It is written in the transaction that seals the job, and taken away by the move to Failed.
ALTER TABLE jobs ADD COLUMN failing TEXT NOT NULL DEFAULT '';
-- What is worth knowing about a job that is not terminal. message is only why a job ended as it did.
ALTER TABLE jobs ADD COLUMN note TEXT NOT NULL DEFAULT '';

-- Earlier versions kept both in message, and knew a failing job by the beginning of its message. Such a job is not sealed here: what its
-- journal holds is still committed before it ends.
UPDATE jobs SET failing = CASE WHEN length(message) > 25 THEN substr(message, 26) ELSE 'the reason was not recorded' END, message = ''
	WHERE active = 1 AND ending = '' AND status IN ('Scheduled', 'InProgress') AND substr(message, 1, 25) = 'The job could not go on: ';
UPDATE jobs SET note = message, message = '' WHERE active = 1 AND message <> '';

-- +goose Down
UPDATE jobs SET message = note WHERE active = 1 AND note <> '';
UPDATE jobs SET message = 'The job could not go on: ' || failing WHERE active = 1 AND failing <> '';
ALTER TABLE jobs DROP COLUMN note;
ALTER TABLE jobs DROP COLUMN failing;
