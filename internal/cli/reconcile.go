package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// reconcileCommand returns the command reconcile.
func (a *app) reconcileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare unfinished jobs with their buckets at the next start",
		Long: `Compare all unfinished jobs with their buckets at the next start, before a record is sent. Run it after the database was restored
to an earlier state by other means than batholith restore: PostgreSQL's point-in-time recovery, pg_restore, a snapshot or copy
of a disk. All processes of the service must be stopped.

Records that the bucket shows to be finished are taken over and not sent again, and a job whose manifest is in the bucket has
ended. Without this command, such a job fails, because segments that its database names were merged since, or repeats records.`,
		Example: `  batholith reconcile --data ./restored
  batholith reconcile --store postgres://batholith@db:5432/batholith`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data", "store", "store_password_env")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.load(s)
		if err != nil {
			return err
		}
		if !c.Postgres() {
			if _, err := os.Stat(filepath.Join(c.Data, databaseName)); err != nil {
				return hint(fmt.Errorf("there is no database in %s", c.Data), "name the data directory with --data, or the PostgreSQL database with --store")
			}
			data, err := config.OpenData(c.Data)
			if used, ok := errors.AsType[*config.InUseError](err); ok {
				return hint(used, "stop it first")
			}
			if err != nil {
				return err
			}
			defer data.Close()
		}
		db, err := openStore(cmd.Context(), c)
		if err != nil {
			return err
		}
		defer db.Close()
		n, err := db.MarkRestored(cmd.Context())
		if err != nil {
			return err
		}
		plain.Fprintf(a.stderr, "%s will be compared with their buckets at the next start\n", words.Plural(n, "unfinished job"))
		return nil
	}
	return cmd
}
