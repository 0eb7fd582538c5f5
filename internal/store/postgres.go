package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// PostgresOptions are the settings of a store on PostgreSQL. The zero value of each is its default.
type PostgresOptions struct {
	Password string // takes precedence over that of the URL, of PGPASSWORD and of the password file
	Writers  int    // connections that write; 8
	Readers  int    // connections that read; 4
	// Patience is how long a call is repeated while the database cannot be reached; 10 s. It is longer than a restart of the server, and shorter
	// than the patience of a client of the API.
	Patience time.Duration

	later []*goose.Migration // for tests: migrations of a newer program
}

// Limits of one statement and one transaction. The server ends what takes longer, so that a process that is frozen or cut off holds no lock
// that others need for longer than this.
const (
	statementTime   = 30 * time.Second
	lockTime        = 10 * time.Second // of waiting for a row that another transaction has locked
	idleTime        = 10 * time.Second // between two statements of a transaction
	transactionTime = 45 * time.Second // after which this process gives a transaction up by itself, if the server does not answer
	commitTime      = 15 * time.Second // the same for COMMIT: a synchronous standby may have to answer first
	connectTime     = 2 * time.Second  // per host; shorter than a heartbeat, which must reach the second host if the first does not answer
	connectionAge   = time.Hour        // after which a connection is replaced, so that its memory on the server is released
)

// oldestPostgres is the oldest major version that works: the newest feature that the store uses is MATERIALIZED (12). Earlier versions than
// 14 get no fixes any more.
const oldestPostgres = 14

// OpenPostgres opens a store on PostgreSQL, and brings its schema up to date. Any number of processes may open one database, and several may
// do so for the first time at the same moment. address is a URL (postgres://user@host:port/database) or a list of key=value; it may
// name several hosts, of which the one that accepts writes is used. An error names cause and remedy, and never a password.
func OpenPostgres(ctx context.Context, address string, o PostgresOptions) (*Store, error) {
	config, err := parse(address, o)
	if err != nil {
		return nil, err
	}
	s, err := openPostgres(ctx, config, o)
	return s, wrap("open database", describe(config), explainPostgres(config, err))
}

// parse reads the address of a database, and adds the password of the options.
func parse(address string, o PostgresOptions) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, wrap("open", "PostgreSQL", explainAddress(err))
	}
	if o.Password != "" {
		config.Password = o.Password
	}
	return config, nil
}

// openPostgres opens the database of a configuration.
func openPostgres(ctx context.Context, config *pgx.ConnConfig, o PostgresOptions) (*Store, error) {
	process := uuid.NewString()
	s := &Store{dialect: postgresDialect(cmp.Or(o.Patience, 10*time.Second))}
	s.dialect.later = append(s.dialect.later, o.later...)
	s.writer = postgresDB(session(config, process, ""), cmp.Or(o.Writers, 8))
	s.reader = postgresDB(session(config, process, "reads"), cmp.Or(o.Readers, 4))
	s.changes.listen = func() func(context.Context, func()) { return listen(session(config, process, "listens"), process) }
	if err := s.dialect.repeat(ctx, func() error { return migratePostgres(ctx, session(config, process, "migrates"), s.dialect) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.complete(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// describe names the database of a configuration, without a password.
func describe(c *pgx.ConnConfig) string {
	return c.Database + " at " + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// session returns the configuration of connections for one use: "" (to write), "reads", "listens", "migrates" or
// "copies".
func session(config *pgx.ConnConfig, process, use string) *pgx.ConnConfig {
	c := config.Copy()
	set := func(name, value string) { c.RuntimeParams[name] = value }
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	if c.RuntimeParams["application_name"] == "" {
		set("application_name", "batholith")
	}
	set("batholith.process", process) // the trigger of notifications reads it
	set("default_transaction_isolation", "read committed")
	set("client_encoding", "UTF8") // whatever the role or the database has; this program's texts are UTF-8
	set("statement_timeout", milliseconds(statementTime))
	set("lock_timeout", milliseconds(lockTime))
	set("idle_in_transaction_session_timeout", milliseconds(idleTime))
	// A client that vanished without a word is found out after 25 s, and its locks are released.
	set("tcp_keepalives_idle", "10")
	set("tcp_keepalives_interval", "5")
	set("tcp_keepalives_count", "3")
	set("tcp_user_timeout", "25000")
	set("jit", "off") // to compile a statement takes longer than to run it
	switch use {
	case "reads":
		set("default_transaction_read_only", "on")
	case "migrates":
		set("statement_timeout", "0") // an index of a large table takes as long as it takes
		set("lock_timeout", "0")
	case "copies":
		set("statement_timeout", "0") // one statement copies a table
		set("lock_timeout", "0")
		set("idle_in_transaction_session_timeout", "0") // the source may be slow; a process that has ended is found by its connection
	}
	if use != "migrates" && use != "copies" {
		// Each statement is written for one plan: walk an index in its order, and look other rows up by their primary key. That is right for any
		// number of rows. By its statistics, which lag behind a table that grows, the planner would at times read and sort all chunks of a job
		// to claim one, and a prepared statement would keep that plan.
		for _, way := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "enable_material"} {
			set(way, "off")
		}
	}
	c.ConnectTimeout = cmp.Or(config.ConnectTimeout, connectTime)
	c.DialFunc = (&net.Dialer{Timeout: c.ConnectTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	c.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return suitable(ctx, conn, config.Database) }
	c.OnNotice = remember
	return c
}

// suitable refuses a server that is too old or is a standby, and a database whose encoding lacks characters. With several hosts the next one is
// tried.
func suitable(ctx context.Context, c *pgconn.PgConn, database string) error {
	version := c.ParameterStatus("server_version")
	if major := majorOf(version); major > 0 && major < oldestPostgres {
		return &oldServerError{version}
	}
	switch encoding := c.ParameterStatus("server_encoding"); encoding {
	case "UTF8", "SQL_ASCII", "": // SQL_ASCII stores the bytes as they are
	default:
		return &unfitError{fmt.Sprintf("database %s has the encoding %s, which lacks characters: create it with CREATE DATABASE %[1]s ENCODING 'UTF8' TEMPLATE template0", database, encoding)}
	}
	// Servers before 14 have no in_hot_standby; those from 14 on report it without a question.
	switch c.ParameterStatus("in_hot_standby") {
	case "off":
		return nil
	case "on":
		return errStandby
	}
	return pgconn.ValidateConnectTargetSessionAttrsPrimary(ctx, c) // a pooler between may not pass it on
}

// majorOf is the number before the first dot of a version, or 0.
func majorOf(version string) (major int) {
	for _, r := range version {
		if r < '0' || r > '9' {
			break
		}
		major = major*10 + int(r-'0')
	}
	return major
}

// postgresDB opens up to n connections.
func postgresDB(config *pgx.ConnConfig, n int) *sql.DB {
	db := sql.OpenDB(answering{stdlib.GetConnector(*config)})
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxLifetime(connectionAge)
	return db
}

// postgresDialect is the dialect of PostgreSQL.
func postgresDialect(patience time.Duration) dialect {
	return dialect{
		goose: goose.DialectPostgres, migrations: "postgres", oldest: `SELECT oldest FROM compatibility`, later: later(), contains: "strpos(%[1]s, %[2]s) > 0",
		// The lock excludes other writers of the row, and lets others insert rows that refer to it.
		lock: " FOR NO KEY UPDATE", lockShared: " FOR SHARE", skipLocked: " FOR NO KEY UPDATE SKIP LOCKED",
		now:         postgresNow,
		writable:    `SELECT 1 FROM accounts WHERE account = '' FOR UPDATE`, // refused by a server that only reads
		insertFiles: unnestFiles, insertChunks: unnestChunks, lockChunks: lockChunks, storeDone: unnestDone,
		transact: transactPostgres,
		repeat:   func(ctx context.Context, do func() error) error { return repeatPostgres(ctx, patience, do) },
		within: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, transactionTime)
		},
	}
}

// postgresNow reads the server's clock.
func postgresNow(ctx context.Context, db queryer) (time.Time, error) {
	at, err := collect(ctx, db, func(rows *sql.Rows) (ms int64, err error) { return ms, rows.Scan(&ms) },
		`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`)
	if err != nil {
		return time.Time{}, err
	}
	return fromMillis(at[0]), nil
}

// transactPostgres runs f in one transaction, at the isolation level READ COMMITTED. Its statements end with ctx, which closes the
// connection. COMMIT ends with the server's answer, or with [errUnknown] after commitTime or at the deadline of ctx, not when ctx is cancelled.
func transactPostgres(ctx context.Context, db *sql.DB, f func(context.Context, *sql.Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // back to the pool
	within, stop := context.WithTimeout(ctx, transactionTime)
	defer stop()
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	err = f(within, tx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}
