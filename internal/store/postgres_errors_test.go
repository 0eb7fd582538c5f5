package store

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/batholith/batholith/internal/pgtest"
)

const secret = "s3cr3t-Word"

// A database that cannot be opened says why and what to do, on one line, and never a password.
func TestADatabaseThatCannotBeOpenedNamesCauseAndRemedy(t *testing.T) {
	t.Setenv("PGPASSWORD", "")
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
	c := pgtest.Start(t, pgtest.Options{HBA: []string{"local all postgres trust", "local all refused reject", "local all all scram-sha-256"}})
	c.Exec(t, "CREATE ROLE owner LOGIN PASSWORD '"+secret+"'")
	c.Exec(t, "CREATE ROLE guest LOGIN PASSWORD '"+secret+"'")
	c.Exec(t, "CREATE ROLE refused LOGIN")
	c.Exec(t, "CREATE DATABASE mine OWNER owner")
	c.Exec(t, "CREATE DATABASE taken OWNER owner")
	pgtest.Exec(t, c.URL("taken"), "CREATE TABLE jobs (title TEXT)", "GRANT ALL ON SCHEMA public TO owner")
	// Databases and roles that their administrator has set so that the program cannot work.
	c.Exec(t, "CREATE ROLE expired LOGIN PASSWORD '"+secret+"' VALID UNTIL '2020-01-01'")
	c.Exec(t, "CREATE ROLE counted LOGIN PASSWORD '"+secret+"' CONNECTION LIMIT 0")
	for _, name := range []string{"frozen", "nameless", "closed", "foreign0", "latin"} {
		c.Exec(t, "CREATE DATABASE "+name+" OWNER owner ENCODING '"+map[bool]string{false: "UTF8", true: "LATIN1"}[name == "latin"]+"' TEMPLATE template0")
	}
	c.Exec(t, "ALTER DATABASE frozen SET default_transaction_read_only = on")
	c.Exec(t, "ALTER DATABASE nameless SET search_path = nowhere")
	c.Exec(t, "ALTER DATABASE closed ALLOW_CONNECTIONS false")
	pgtest.Exec(t, c.URLFor("owner", "foreign0")+"&password="+secret, "CREATE TABLE goose_db_version (version_id BIGINT, is_applied BOOL)", "INSERT INTO goose_db_version VALUES (0, true), (20, true)")
	with := func(address, password string) string { return strings.Replace(address, "@", ":"+password+"@", 1) }
	for name, tt := range map[string]struct {
		address, password string
		want              []string
	}{
		"wrong password":         {with(c.URLFor("owner", "mine"), secret+"x"), "", []string{"password of user owner is wrong", "PGPASSWORD", "28P01"}},
		"wrong option":           {c.URLFor("owner", "mine"), secret + "x", []string{"password of user owner is wrong"}},
		"no password":            {c.URLFor("owner", "mine"), "", []string{"password of user owner is wrong or missing"}},
		"not let in":             {with(c.URLFor("refused", "mine"), secret), "", []string{"does not let user refused in", "pg_hba.conf"}},
		"no such database":       {c.URL("nowhere"), "", []string{"there is no database nowhere", "CREATE DATABASE nowhere OWNER postgres"}},
		"no permission":          {with(c.URLFor("guest", "mine"), secret), "", []string{"user guest may not", "ALTER DATABASE mine OWNER TO guest"}},
		"another program's":      {with(c.URLFor("owner", "taken"), secret), "", []string{"tables of another program"}},
		"expired password":       {with(c.URLFor("expired", "mine"), secret), "", []string{"it has expired"}},
		"few connections":        {with(c.URLFor("counted", "mine"), secret), "", []string{"no free connection", "CONNECTION LIMIT of role counted"}},
		"read-only":              {with(c.URLFor("owner", "frozen"), secret), "", []string{"transactions of user owner", "RESET default_transaction_read_only"}},
		"no schema":              {with(c.URLFor("owner", "nameless"), secret), "", []string{"search_path of user owner", "ALTER ROLE owner SET search_path"}},
		"closed":                 {with(c.URLFor("owner", "closed"), secret), "", []string{"ALTER DATABASE closed ALLOW_CONNECTIONS true"}},
		"misspelt setting":       {with(c.URLFor("owner", "mine"), secret) + "&statement_timeot=3", "", []string{"correct the address", "statement_timeot"}},
		"other encoding":         {with(c.URLFor("owner", "latin"), secret), "", []string{"encoding LATIN1", "ENCODING 'UTF8'"}},
		"another's versions":     {with(c.URLFor("owner", "foreign0"), secret), "", []string{"goose_db_version of another program", "database of its own"}},
		"nobody there":           {"postgres://u:" + secret + "@127.0.0.1:" + closedPort(t) + "/d", "", []string{"cannot be reached", "check host and port", "127.0.0.1"}},
		"no such socket":         {"postgres://u:" + secret + "@/d?host=" + t.TempDir(), "", []string{"cannot be reached"}},
		"not an address":         {"postgres://u:" + secret + "@host:port/d", "", []string{"address is not valid", "postgres://USER@HOST:PORT/DATABASE"}},
		"a password of a stroke": {"postgres://u:" + secret + "/@host/d", "", []string{"address is not valid"}},
		"no address":             {"host=x password=" + secret + " nonsense", "", []string{"address is not valid"}},
		"no TLS":                 {"postgres://u:" + secret + "@" + oldServer(t, "15.1") + "/d?sslmode=require", "", []string{"the server has no TLS", "sslmode"}},
		"too old":                {"postgres://u:" + secret + "@" + oldServer(t, "9.6.24") + "/d", "", []string{"PostgreSQL 9.6.24", "version 14 or later is needed"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenPostgres(t.Context(), tt.address, PostgresOptions{Password: tt.password, Patience: time.Millisecond})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has the password or several lines: %v", err)
			}
		})
	}
	t.Run("right password", func(t *testing.T) {
		openPG(t, c.URLFor("owner", "mine"), PostgresOptions{Password: secret})
		file := filepath.Join(t.TempDir(), "pgpass")
		must(os.WriteFile(file, []byte("*:*:*:owner:"+secret+"\n"), 0o600))
		t.Setenv("PGPASSFILE", file)
		openPG(t, c.URLFor("owner", "mine"), PostgresOptions{})
	})
}

// closedPort is a port on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(err)
	must(l.Close())
	return port
}

// oldServer is a server without TLS that lets everybody in, says that it has this version, and closes the connection at the first statement.
func oldServer(t *testing.T, version string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				b := pgproto3.NewBackend(conn, conn)
				m, err := b.ReceiveStartupMessage()
				if _, asks := m.(*pgproto3.SSLRequest); asks && err == nil {
					if _, err = conn.Write([]byte("N")); err != nil {
						return
					}
					_, err = b.ReceiveStartupMessage()
				}
				if err != nil {
					return
				}
				b.Send(&pgproto3.AuthenticationOk{})
				b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: version})
				b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
				b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				if b.Flush() == nil {
					_, _ = b.Receive()
				}
			}()
		}
	}()
	return l.Addr().String()
}
