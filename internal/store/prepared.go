package store

import (
	"context"
	"database/sql/driver"
	"strings"
)

// maxPrepared is the number of statements that a connection keeps. The program has fewer, apart from lists with many filters or numbers. A
// connection that is full closes all of them and starts again.
const maxPrepared = 256

// preparing opens connections that keep their prepared statements: to parse and plan a statement takes longer than to run it on a few rows.
// Statements of migrations are not kept, since each runs once.
type preparing struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c preparing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(sqliteConn)
	if !ok { // another version of the driver lacks an interface: go on without prepared statements
		return conn, nil
	}
	return &preparedConn{sqliteConn: full, statements: map[string]*prepared{}}, nil
}

// sqliteConn is the interfaces of a connection that database/sql uses.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedConn is a connection with its prepared statements, by their text. database/sql lets only one goroutine use it at a time.
type preparedConn struct {
	sqliteConn
	statements map[string]*prepared
}

// prepared is a statement that is kept. While the rows of a query are open, another query with the same text uses a new statement.
type prepared struct {
	stmt driver.Stmt
	busy bool // its rows are open
}

// Unwrap returns the driver's own connection.
func (c *preparedConn) Unwrap() driver.Conn { return c.sqliteConn }

// take returns the prepared statement of a text, or nil if none can be used.
func (c *preparedConn) take(ctx context.Context, query string) (*prepared, error) {
	if p := c.statements[query]; p != nil {
		if p.busy {
			return nil, nil
		}
		return p, nil
	}
	if !recurs(query) {
		return nil, nil
	}
	stmt, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	_, queries := stmt.(driver.StmtQueryContext)
	if _, executes := stmt.(driver.StmtExecContext); !queries || !executes {
		return nil, stmt.Close()
	}
	if len(c.statements) >= maxPrepared {
		c.dismiss()
	}
	p := &prepared{stmt: stmt}
	c.statements[query] = p
	return p, nil
}

// recurs reports whether a statement may be run again, so that it is worth keeping.
func recurs(query string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		return true
	}
	return false
}

// dismiss closes the statements that are not in use.
func (c *preparedConn) dismiss() {
	for query, p := range c.statements {
		if !p.busy {
			_ = p.stmt.Close() // its last run has returned any error already
			delete(c.statements, query)
		}
	}
}

// ExecContext implements [driver.ExecerContext] with a prepared statement.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	p, err := c.take(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return p.stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext implements [driver.QueryerContext] with a prepared statement.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	p, err := c.take(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := p.stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	p.busy = true
	return &preparedRows{rows, p}, nil
}

// Close closes the statements and the connection. database/sql has closed all rows by then.
func (c *preparedConn) Close() error {
	c.dismiss()
	return c.sqliteConn.Close()
}

// preparedRows return their statement when they are closed.
type preparedRows struct {
	driver.Rows
	of *prepared
}

// Close closes the rows, and allows another use of the statement.
func (r *preparedRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
