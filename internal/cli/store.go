package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/sts"
	"github.com/batholith/batholith/internal/words"
)

// openStore opens the database of the settings.
func openStore(ctx context.Context, c *config.Config) (*store.Store, error) {
	if !c.Postgres() {
		return store.Open(ctx, filepath.Join(c.Data, databaseName), config.Traces(c.Data))
	}
	s, err := store.OpenPostgres(ctx, c.Store, store.PostgresOptions{Password: c.StorePassword})
	if err != nil && ctx.Err() == nil {
		err = unusable(c, err)
	}
	return s, err
}

// peek reads whose a job is from the database of the settings, and says where that is.
func peek(ctx context.Context, c *config.Config, id string) (j batholith.Job, where string, err error) {
	if !c.Postgres() {
		j, err = store.Peek(ctx, filepath.Join(c.Data, databaseName), id)
		return j, c.Data, err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	j, err = store.PeekPostgres(ctx, c.Store, store.PostgresOptions{Password: c.StorePassword}, id)
	return j, c.StoreName(), unusable(c, err)
}

// unusable says that the PostgreSQL database of the settings cannot be used, and what to do about it, unless it was used and a job is not
// there.
func unusable(c *config.Config, err error) error {
	if err == nil || errors.Is(err, batholith.ErrNotFound) {
		return err
	}
	return hint(fmt.Errorf("the database %s cannot be used: %w", c.StoreName(), plainly(err)), "%s", storeRemedy)
}

// storeRemedy is what to do about a PostgreSQL database that this machine cannot use.
const storeRemedy = "check that PostgreSQL runs and accepts connections from this machine (listen_addresses, pg_hba.conf), and the user, password and database in store and store_password_env"

// Names of values that all processes of a PostgreSQL database share. The first process that needs one stores it.
const (
	sharedID       = "id"          // of the database, in the data directory of each of its processes
	sharedSessions = "session key" // seals session tokens
	sharedAdmin    = "admin key"   // of the settings without credentials: its id and its secret, in two lines
	sharedS3       = "s3"          // which S3 holds the objects
)

// join checks that this process belongs to its database: that its data directory is not that of another database,
// and that its S3 is the one of the other processes. With SQLite there is nothing to check, since the database is in
// the data directory. A process that is refused leaves the database and the directory as they were: a move into the
// database, for example, needs it empty.
func (s *service) join(ctx context.Context) error {
	c := s.o.Config
	if !c.Postgres() {
		return nil
	}
	there, err := s.store.ReadShared(ctx, sharedID)
	if err != nil {
		return err
	}
	if err := belongs(c, string(there)); err != nil {
		return err
	}
	id, err := s.store.Shared(ctx, sharedID, []byte(rand.Text()))
	if err != nil {
		return err
	}
	if err := s.joinS3(ctx); err != nil {
		return err
	}
	_, err = config.AdoptDatabase(c.Data, string(id))
	return err
}

// belongs refuses a data directory of another database than the one with this id; "" is a database that no process has
// joined.
func belongs(c *config.Config, id string) error {
	if err := ownDatabase(c, id); err != nil {
		return err
	}
	known, err := config.DatabaseID(c.Data)
	if err != nil || known == "" || known == id {
		return err
	}
	return hint(fmt.Errorf("the data directory %s belongs to another database, not to %s, where the finished records in it could not be stored", c.Data, c.StoreName()),
		"set --store to the database of this directory, or --data to another directory; each process needs a data directory of its own")
}

// ownDatabase refuses a data directory with a SQLite database whose jobs are not in the PostgreSQL database with this id.
func ownDatabase(c *config.Config, id string) error {
	path := filepath.Join(c.Data, databaseName)
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	moved, err := store.ReadMoved(path)
	if err != nil || moved.Done && moved.ID == id {
		return err
	}
	if known, err := config.DatabaseID(c.Data); err != nil || known != "" {
		return err
	}
	return hint(fmt.Errorf("the data directory %s has a SQLite database, %s, whose jobs are not in %s", c.Data, databaseName, c.StoreName()),
		"move the jobs with: batholith migrate --data %s --to %s; or use another data directory (--data), or set store to sqlite again", words.Quote(c.Data), words.Quote(c.StoreName()))
}

// external is the shared value of an S3 outside of all processes.
var external = []byte("external")

// joinS3 refuses an embedded S3 if other processes of the database use another S3: they would not find the objects of
// this process's jobs. The other way round, a process with s3.endpoint may use the embedded S3 of another one.
func (s *service) joinS3(ctx context.Context) error {
	c := s.o.Config
	own := external
	if c.EmbeddedS3() {
		id, err := config.ObjectsID(c.Data)
		if err != nil {
			return err
		}
		own = []byte(id)
	}
	there, err := s.store.Shared(ctx, sharedS3, own)
	if err != nil || !c.EmbeddedS3() || bytes.Equal(there, own) {
		return err
	}
	what := "the embedded S3 of another process"
	if bytes.Equal(there, external) {
		what = "an external S3"
	}
	return hint(fmt.Errorf("the processes of the database %s use %s, and would not find objects in the embedded S3 of this one", c.StoreName(), what),
		"set s3.endpoint to that S3, with its keys")
}

// sessionKey returns the key that seals session tokens: of the data directory, or the one that all processes of a
// PostgreSQL database share. A data directory whose jobs were moved to PostgreSQL brings its key along.
func (s *service) sessionKey(ctx context.Context) ([]byte, error) {
	c := s.o.Config
	if !c.Postgres() {
		return config.SessionKey(c.Data)
	}
	key := make([]byte, sts.KeySize)
	rand.Read(key) // crypto/rand never returns an error
	if config.HasSessionKey(c.Data) {
		var err error
		if key, err = config.SessionKey(c.Data); err != nil {
			return nil, err
		}
	}
	return s.store.Shared(ctx, sharedSessions, key)
}

// adoptAdmin adds the admin key to settings c of an API process on PostgreSQL that have no credentials. All API
// processes share the key, and each has a copy in its data directory for batholith env.
func (s *service) adoptAdmin(ctx context.Context, c *config.Config) error {
	if !c.Postgres() || len(c.Credentials) > 0 {
		return nil
	}
	own, err := config.ReadKey(c.Data)
	if errors.Is(err, fs.ErrNotExist) {
		own = config.NewKey()
	} else if err != nil {
		return err
	}
	text, err := s.store.Shared(ctx, sharedAdmin, []byte(own.ID+"\n"+own.Secret))
	if err != nil {
		return err
	}
	id, secret, _ := bytes.Cut(text, []byte("\n"))
	key := config.Key{ID: string(id), Secret: string(secret)}
	if err := config.WriteKey(c.Data, key); err != nil {
		return err
	}
	return adopt(c, key)
}
