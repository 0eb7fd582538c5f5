package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
)

// features reads the column needs, as needed makes it.
func features(column string) (all []batholith.Feature) {
	for _, name := range strings.Fields(column) {
		all = append(all, batholith.Feature(name))
	}
	return all
}

// needed is the column for features.
func needed(all []batholith.Feature) string {
	return strings.ReplaceAll(batholith.FeatureList(all), ",", "") // no name has a comma or a space
}

// needMore adds features to those that a job needs. The caller has locked the job's row.
func needMore(ctx context.Context, tx *sql.Tx, id string, more []batholith.Feature) error {
	if len(more) == 0 {
		return nil
	}
	var has string
	if err := tx.QueryRowContext(ctx, `SELECT needs FROM jobs WHERE id = $1`, id).Scan(&has); err != nil {
		return found(err)
	}
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET needs = $1 WHERE id = $2`, needed(batholith.JoinFeatures(features(has), more)), id)
	return err
}

// understands returns an error if the job needs a feature that this program does not know. It wraps [batholith.ErrHeld]: the job is for others.
func (g gate) understands() error {
	if lacking := batholith.Lacks(batholith.Features(), g.needs); len(lacking) > 0 {
		return fmt.Errorf("%w: the job needs %s of a later version of the program", batholith.ErrHeld, batholith.FeatureList(lacking))
	}
	return nil
}
