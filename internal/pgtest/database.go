//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Database creates an empty database and returns its address. On the shared cluster it is dropped when the test ends, since even an empty one
// takes 7 MB.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("d%d", c.last.Add(1))
	c.Exec(t, "CREATE DATABASE "+name)
	if c.shared {
		t.Cleanup(func() { c.Exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	}
	return c.URL(name)
}

// A Pool lends databases to one test after another: to empty the tables of one takes a tenth of the time that to create one takes.
type Pool struct {
	cluster *Cluster
	prepare func(address string) error

	mu   sync.Mutex
	free []string // addresses of databases whose tables are empty
}

// Pool returns a pool of databases whose schema prepare makes.
func (c *Cluster) Pool(prepare func(address string) error) *Pool {
	return &Pool{cluster: c, prepare: prepare}
}

// Database lends a database with empty tables until the test ends. Those who use it must have closed their connections by then.
func (p *Pool) Database(t testing.TB) (address string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		address, p.free = p.free[n-1], p.free[:n-1]
	} else {
		name := fmt.Sprintf("p%d", p.cluster.last.Add(1))
		p.cluster.Exec(t, "CREATE DATABASE "+name)
		address = p.cluster.URL(name)
		if err := p.prepare(address); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		Exec(t, address, empty...)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free = append(p.free, address)
	})
	return address
}

// empty are the statements that empty all tables, apart from the one with the version of the schema, and begin the sequences anew. Triggers, and
// with them foreign keys, are off meanwhile.
var empty = []string{`SET session_replication_role = replica`, `DO $$
DECLARE it record;
BEGIN
	FOR it IN SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version' LOOP
		EXECUTE 'DELETE FROM ' || it.name;
	END LOOP;
	FOR it IN SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences WHERE schemaname = 'public' AND sequencename NOT LIKE 'goose%' LOOP
		EXECUTE 'ALTER SEQUENCE ' || it.name || ' RESTART';
	END LOOP;
END $$`}

// Exec runs a statement in the database postgres, as the superuser.
func (c *Cluster) Exec(t testing.TB, statement string) {
	t.Helper()
	Exec(t, c.URL("postgres"), statement)
}

// Exec runs statements in a database.
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// query returns the text that a query of the database postgres gives.
func (c *Cluster) query(t testing.TB, query string) (text string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}
