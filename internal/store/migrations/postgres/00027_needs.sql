-- +goose Up

-- The features that a job needs of the programs that run it, sorted, with a space between them. A program leaves jobs alone that need a
-- feature which it does not know.
ALTER TABLE jobs ADD COLUMN needs TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE compatibility SET oldest = 27; -- earlier programs do not look at the column: they ignore caps, samples and the form of lines

-- +goose Down
ALTER TABLE jobs DROP COLUMN needs;
