package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
)

// features parses the column needs. It is the inverse of needed.
func features(column string) (all []batholith.Feature) {
	for _, name := range strings.Fields(column) {
		all = append(all, batholith.Feature(name))
	}
	return all
}

// needed returns the text of the column needs: the names, separated by spaces.
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

// understands returns an error that wraps [batholith.ErrHeld] if the job needs a feature that this program does not know. A later version of the
// program runs such a job.
func (g gate) understands() error {
	if lacking := batholith.Lacks(batholith.Features(), g.needs); len(lacking) > 0 {
		return fmt.Errorf("%w: the job needs %s, which only a later version of the program knows", batholith.ErrHeld, batholith.FeatureList(lacking))
	}
	return nil
}
