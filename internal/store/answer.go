package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/batholith/batholith/internal/backoff"
)

// What may be repeated, and what may not. A transaction on PostgreSQL ends in one of three ways:
//
//   - It is committed: the server has answered COMMIT, and gave no warning meanwhile.
//   - It has not happened: the server has answered with an error, or the connection was lost before COMMIT was sent. If another attempt may
//     succeed, repeatPostgres makes it: after a deadlock or a serialization failure (40P01, 40001), a lock that was not released in time, a
//     lost connection, a server that starts, stops, is full, or became a standby.
//   - Nobody knows: COMMIT was sent and its answer was lost, or the server has committed and warns that its synchronous standby may not have
//     the commit. This is errUnknown. It is not repeated here, since not every change may be applied twice without being told apart: the
//     caller repeats the change, and each change recognises that it was applied (see the comment of each method).

// errUnknown says that a change may or may not have happened.
var errUnknown = errors.New("the database did not confirm the change, which may be stored or not")

// repeatPostgres calls do until it succeeds, its error is not temporary, or it has been repeated for the time of patience.
func repeatPostgres(ctx context.Context, patience time.Duration, do func() error) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	err := backoff.Repeat(within, 20*time.Millisecond, time.Second, func(context.Context) error {
		if last = do(); last == nil || temporary(last) && ctx.Err() == nil {
			return last
		}
		return backoff.Final(last)
	}, nil)
	switch {
	case err == nil:
		return nil
	case last == nil:
		return err // ctx had ended before
	case ctx.Err() != nil && !errors.Is(last, errUnknown):
		return ctx.Err()
	}
	return last // more telling than the end of the patience
}

// temporary reports whether an error says that nothing has happened, and another attempt may succeed.
func temporary(err error) bool {
	if errors.Is(err, errUnknown) {
		return false
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return temporaryCode(pe.Code)
	}
	return broken(err)
}

// temporaryCode is temporary for the codes of PostgreSQL's errors.
func temporaryCode(code string) bool {
	switch code {
	case "40001", // serialization_failure
		"40P01",                   // deadlock_detected
		"55P03",                   // lock_not_available, after lock_timeout
		"57P01", "57P02", "57P03", // the server is shut down, has crashed, or cannot accept connections yet
		"57P05", "25P03", "25P04", // the session or transaction was idle, or took, too long: this process was frozen
		"53300", // too_many_connections
		"25006": // read_only_sql_transaction: the server is a standby now
		return true
	}
	return code[:min(2, len(code))] == "08" // connection exceptions
}

// errStandby says that a server only reads.
var errStandby = errors.New("this server is a standby, which accepts no changes: write the host of the primary into the address, or all hosts, separated by commas")

// broken reports whether an error is that of a lost connection, or of one that could not be made.
func broken(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// answering opens connections that tell the three ends of a transaction apart.
type answering struct{ driver.Connector }

// Connect implements [driver.Connector].
func (a answering) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := a.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &answeringConn{Conn: conn.(*stdlib.Conn)}, nil
}

// answeringConn is a connection to PostgreSQL.
type answeringConn struct {
	*stdlib.Conn
	spent bool // the server does not take changes any more
}

// ExecContext implements [driver.ExecerContext].
func (c *answeringConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.Conn.ExecContext(ctx, query, storable(args))
	return r, c.note(err)
}

// QueryContext implements [driver.QueryerContext].
func (c *answeringConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, query, storable(args))
	return rows, c.note(err)
}

// storable replaces what a text of PostgreSQL cannot hold, bytes that are no UTF-8 and the character 0, by U+FFFD. Otherwise one message of a
// model server would keep its job from moving. Arguments are replaced in conditions too, so that a row is found by the text it was given.
func storable(args []driver.NamedValue) []driver.NamedValue {
	for i, a := range args {
		switch v := a.Value.(type) {
		case string:
			args[i].Value = storableText(v)
		case []string:
			for n, text := range v {
				v[n] = storableText(text)
			}
		}
	}
	return args
}

// storableText is storable for one text.
func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// note remembers that the server became a standby, so that the pool replaces the connection: the new primary may be another host.
func (c *answeringConn) note(err error) error {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "25006" {
		c.spent = true
	}
	return err
}

// IsValid implements [driver.Validator].
func (c *answeringConn) IsValid() bool { return !c.spent && !c.Conn.Conn().IsClosed() }

// BeginTx implements [driver.ConnBeginTx]. The level is that of the session, READ COMMITTED.
func (c *answeringConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	conn := c.Conn.Conn()
	if conn.IsClosed() {
		return nil, driver.ErrBadConn
	}
	begin, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	if _, err := conn.Exec(begin, "BEGIN"); err != nil {
		return nil, err
	}
	return &answeringTx{ctx: ctx, conn: conn}, nil
}

// answeringTx is a transaction on PostgreSQL.
type answeringTx struct {
	ctx  context.Context
	conn *pgx.Conn
}

// Commit implements [driver.Tx]. An error that wraps errUnknown says that the transaction may be committed.
func (t *answeringTx) Commit() error {
	ctx, cancel := context.WithTimeout(t.ctx, commitTime)
	defer cancel()
	data := t.conn.PgConn().CustomData()
	delete(data, warned)
	tag, err := t.conn.Exec(ctx, "COMMIT")
	switch pe, answered := errors.AsType[*pgconn.PgError](err); {
	case err == nil && tag.String() != "COMMIT": // an error that a statement gave was not returned by the transaction's function
		return errors.New("the database rolled the transaction back, since one of its statements failed")
	case err == nil && data[warned] == nil:
		return nil
	case err == nil:
		return fmt.Errorf("%w: %v", errUnknown, data[warned])
	case answered && pe.SeverityUnlocalized == "ERROR", pgconn.SafeToRetry(err):
		return err // rolled back, or never sent
	}
	// A FATAL error may come after the commit, when the server is shut down while it waits for its standby.
	return fmt.Errorf("%w: %w", errUnknown, err)
}

// Rollback implements [driver.Tx]. A connection that cannot roll back is closed, which makes the server roll back.
func (t *answeringTx) Rollback() error {
	ctx, cancel := context.WithTimeout(t.ctx, commitTime)
	defer cancel()
	if t.conn.IsClosed() {
		return nil
	}
	_, err := t.conn.Exec(ctx, "ROLLBACK")
	if err != nil {
		_ = t.conn.Close(ctx)
	}
	return err
}

// warned is the key of the last warning in the data of a connection.
const warned = "batholith.warned"

// remember keeps a warning of the server. A synchronous commit whose wait for the standby is interrupted gives a warning and no error. The
// text of the warning is in the server's language; no other warning comes with a COMMIT.
func remember(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warned] = n.Message
	}
}
