package store

import (
	"context"
	"database/sql/driver"
	"strings"
)

// maxPrepared is how many statements a connection keeps. The program has fewer; a list with many filters, or of many numbers, makes its
// own. A connection that is full closes those that it has and begins anew.
const maxPrepared = 256

// preparing opens connections that keep their prepared statements: to parse and to plan a statement takes longer than to run it on a few
// rows. The statements of migrations are not kept, since each runs once.
type preparing struct{ driver.Connector }

func (c preparing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(sqliteConn)
	if !ok { // another version of the driver: it works as before, without the gain
		return conn, nil
	}
	return &preparedConn{sqliteConn: full, statements: map[string]*prepared{}}, nil
}

// sqliteConn is what database/sql asks of a connection.
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

// preparedConn is a connection and its prepared statements, by their text. database/sql lets one goroutine use it at a time.
type preparedConn struct {
	sqliteConn
	statements map[string]*prepared
}

// prepared is a statement that is kept. It runs once at a time: while the rows of a query are open, another query with the same text takes
// a statement of its own.
type prepared struct {
	stmt driver.Stmt
	busy bool // rows of it are open
}

// Unwrap returns the driver's own connection.
func (c *preparedConn) Unwrap() driver.Conn { return c.sqliteConn }

// take returns the prepared statement of a text, nil where none is to be used.
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

// recurs tells whether a statement may be one that comes again.
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
			_ = p.stmt.Close() // it has no more to say than its last run
			delete(c.statements, query)
		}
	}
}

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

// preparedRows give their statement back when they are closed.
type preparedRows struct {
	driver.Rows
	of *prepared
}

func (r *preparedRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
