package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/words"
)

// migrateCommand returns the command migrate.
func (a *app) migrateCommand() *cobra.Command {
	var to string
	var check bool
	cmd := &cobra.Command{
		Use:   "migrate --to postgres://USER@HOST:5432/DATABASE",
		Short: "Move the jobs of a data directory to PostgreSQL, also running jobs",
		Long: `Move all jobs of a data directory from its SQLite database to an empty PostgreSQL database, so that several processes, on one
machine or many, can work on them. Running jobs keep their finished records, and continue where they stopped.

  1. Stop the server of the data directory (Ctrl-C, or SIGTERM).
  2. batholith migrate --to postgres://…
  3. Start it again with the new store: batholith serve --store postgres://…
  4. Start further processes with the same store, each with a data directory of its own.

The journal of the data directory holds the finished records that the database did not have yet when the server ended. The server
that starts with this directory stores them in PostgreSQL, so no record is sent again. The password comes from PGPASSWORD, PGPASSFILE
or the variable that --store-password-env names.

The SQLite database stays. A file beside it says that its jobs were moved, so no server starts with it by mistake. If the command
is interrupted, run it again: it starts over, or finds that everything was moved. Objects of the embedded S3 are not moved.`,
		Example: `  batholith migrate --check --to postgres://batholith@db:5432/batholith
  batholith migrate --to postgres://batholith@db:5432/batholith`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data", "store_password_env")
	cmd.Flags().StringVar(&to, "to", "", "`url` of the empty PostgreSQL database; default: the setting store")
	cmd.Flags().BoolVar(&check, "check", false, "only show what would be moved, and check that it can be moved; change nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if to != "" {
			s.flags["store"] = to
		}
		c, err := a.load(s)
		if err != nil {
			return err
		}
		if !c.Postgres() {
			return &usageError{reason: "no PostgreSQL database is named", remedy: "name it with --to postgres://USER@HOST:5432/DATABASE"}
		}
		m := &migration{app: a, config: c}
		if check {
			return m.check(cmd.Context())
		}
		return m.run(cmd.Context())
	}
	return cmd
}

// migration moves the jobs of a data directory to the PostgreSQL database of the settings.
type migration struct {
	app    *app
	config *config.Config
}

// path is the path of the SQLite database. It returns an error if there is none.
func (m *migration) path() (string, error) {
	dir, err := filepath.Abs(m.config.Data)
	if err != nil {
		return "", err
	}
	m.config.Data = dir
	path := filepath.Join(dir, databaseName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", hint(fmt.Errorf("there is no database in %s, so there are no jobs to move", dir),
			"name the data directory of the jobs with --data; without jobs, start with: batholith serve --store %s", words.Quote(m.config.StoreName()))
	}
	return path, nil
}

// copy is the move of the database at path.
func (m *migration) copy(path string) *store.Copy {
	machine, err := os.Hostname()
	if err != nil {
		machine = "this machine"
	}
	c := m.config
	return &store.Copy{Path: path, Signs: []store.Sign{config.Traces(c.Data)}, To: c.Store, Target: store.PostgresOptions{Password: c.StorePassword},
		Name: c.StoreName(), Source: path + " on " + machine}
}

// check says what would be moved.
func (m *migration) check(ctx context.Context) error {
	path, err := m.path()
	if err != nil {
		return err
	}
	p, err := m.copy(path).Preview(ctx)
	if err != nil {
		return err
	}
	out, name := m.app.stdout, m.config.StoreName()
	switch {
	case p.Moved.Done:
		plain.Fprintf(out, "The jobs of %s have been moved to %s already.\n", m.config.Data, name)
		return nil
	case p.Moved.ID != "":
		plain.Fprintf(out, "A move of the jobs of %s to %s was interrupted. To end it, run the same command without --check.\n", m.config.Data, name)
		return nil
	}
	plain.Fprintf(out, "%s would be moved from %s to %s:\n", jobsOf(p.Jobs, p.Unfinished), m.config.Data, name)
	for _, t := range p.Tables {
		plain.Fprintf(out, "  %-12s %s\n", t.Table, words.Plural(t.Rows, "row"))
	}
	m.tellObjects()
	if data, err := config.OpenData(m.config.Data); err == nil {
		return data.Close()
	}
	m.app.tell("hint", "a server uses the data directory: stop it before the move; its jobs continue afterwards")
	return nil
}

// run moves the jobs. The lock of the data directory keeps every server away from it meanwhile.
func (m *migration) run(ctx context.Context) error {
	path, err := m.path()
	if err != nil {
		return err
	}
	c := m.config
	data, err := config.OpenData(c.Data)
	if used, ok := errors.AsType[*config.InUseError](err); ok {
		stop := "stop it"
		if used.PID > 0 {
			stop = fmt.Sprintf("stop it (kill %d)", used.PID)
		}
		return hint(err, "%s, wait for its end, and run this command again; its jobs continue when a server starts with --store %s", stop, words.Quote(c.StoreName()))
	}
	if err != nil {
		return err
	}
	defer data.Close()
	move := m.copy(path)
	if move.Values, err = m.values(); err != nil {
		return err
	}
	move.Begun = func(id string) error {
		move.Values[sharedID] = []byte(id)
		return config.LeaveDatabase(c.Data) // the journal is that of the SQLite database
	}
	bar := m.app.newBar()
	if m.app.live() {
		move.Progress = func(done, all int64) {
			bar.draw(done, all, fmt.Sprintf("copied %s of %s", words.Number(done), words.Plural(all, "row")))
		}
	}
	r, err := move.Run(ctx)
	bar.clear()
	if err != nil {
		return err
	}
	m.tellDone(r)
	return nil
}

// values are what the processes of the new database share, taken from the data directory: the keys of its sessions and of
// its admin, and which S3 holds the objects.
func (m *migration) values() (map[string][]byte, error) {
	c := m.config
	values := map[string][]byte{}
	if config.HasSessionKey(c.Data) {
		key, err := config.SessionKey(c.Data)
		if err != nil {
			return nil, err
		}
		values[sharedSessions] = key
	}
	switch key, err := config.ReadKey(c.Data); {
	case err == nil:
		values[sharedAdmin] = []byte(key.ID + "\n" + key.Secret)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if c.EmbeddedS3() {
		id, err := config.ObjectsID(c.Data)
		if err != nil {
			return nil, err
		}
		values[sharedS3] = []byte(id)
	}
	return values, nil
}

// tellDone says what was moved and what to do next.
func (m *migration) tellDone(r store.Result) {
	c, out := m.config, m.app.stdout
	if r.Before {
		plain.Fprintf(out, "The jobs of %s were moved to %s by an earlier run.\n", c.Data, c.StoreName())
	} else {
		plain.Fprintf(out, "Moved %s to %s: %s in %s, the same number as in %s.\n", jobsOf(r.Jobs, r.Unfinished), c.StoreName(),
			words.Plural(rowsOf(r.Tables), "row"), words.Plural(int64(len(r.Tables)), "table"), databaseName)
	}
	me := words.Quote(commandName())
	plain.Fprintf(out, "Start the server of this data directory first: it stores the finished records of its journal.\n  %s serve --data %s --store %s\n",
		me, words.Quote(c.Data), words.Quote(c.StoreName()))
	plain.Fprintf(out, "Then start further processes, each with a data directory of its own.\n")
	m.tellObjects()
}

// tellObjects says how other processes reach the objects of the embedded S3.
func (m *migration) tellObjects() {
	c := m.config
	if !c.EmbeddedS3() {
		return
	}
	plain.Fprintf(m.app.stdout, `The objects stay in %s, in the embedded S3 of this data directory. Its server must run with both roles (api and worker) while any job runs.
Other processes need its address as s3.endpoint, and a key of this data directory as s3.access_key_id.
`, filepath.Join(c.Data, objectsName))
	if onlyHere(c.S3.Listen) {
		m.app.tell("hint", fmt.Sprintf("the embedded S3 listens on %s, which other machines cannot reach: set s3.listen to an address that they can reach, with a certificate, or move the buckets to an S3 that all machines reach (docs/operations.md)", c.S3.Listen))
	}
}

// onlyHere reports whether only this machine reaches an address.
func onlyHere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// jobsOf says how many jobs there are, and how many of them have not ended.
func jobsOf(all, unfinished int64) string {
	return fmt.Sprintf("%s (%s not ended)", words.Plural(all, "job"), words.Number(unfinished))
}

// rowsOf is the number of rows of all tables.
func rowsOf(tables []store.Count) (n int64) {
	for t := range slices.Values(tables) {
		n += t.Rows
	}
	return n
}
