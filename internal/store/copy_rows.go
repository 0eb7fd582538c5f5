package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/internal/failpoint"
)

// copy copies all tables in one transaction. unsure: it may have been committed, although there is an error.
func (c *Copy) copy(ctx context.Context, source *Store, conn *pgx.Conn, m Moved) (unsure bool, err error) {
	snapshot, err := source.reader.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer snapshot.Rollback()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // after a commit it does nothing
	if err := c.copyTables(ctx, snapshot, tx, m); err != nil {
		return false, err
	}
	failpoint.Here("store.copy-half")
	err = tx.Commit(ctx)
	return err != nil, err
}

// copyTables copies all tables within the transaction, and marks the target as complete.
func (c *Copy) copyTables(ctx context.Context, snapshot *sql.Tx, tx pgx.Tx, m Moved) error {
	if _, err := tx.Exec(ctx, `SELECT 1 FROM origin WHERE id = $1 FOR UPDATE`, m.ID); err != nil {
		return err
	}
	if err := vacant(ctx, tx); err != nil { // a process may have been there before the row
		return err
	}
	tables, err := layout(ctx, snapshot, tx)
	if err != nil {
		return err
	}
	p := progress{all: 0, tell: c.Progress}
	for i := range tables {
		if err := tables[i].count(ctx, snapshot); err != nil {
			return err
		}
		p.all += tables[i].rows
	}
	for _, t := range tables {
		if err := t.copy(ctx, snapshot, tx, &p); err != nil {
			return fmt.Errorf("copy the table %s: %w", t.name, err)
		}
	}
	for name, value := range c.Values {
		if _, err := tx.Exec(ctx, `INSERT INTO shared (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE workers SET lease = $1 WHERE lease > 0 AND lease < $1`, leaseOfMoved.Milliseconds()); err != nil {
		return err
	}
	if err := advance(ctx, tx); err != nil {
		return err
	}
	// Readers of events know SQLite's numbers.
	for _, statement := range []string{`UPDATE events SET number = seq`,
		`INSERT INTO outbox (id, last) SELECT 1, GREATEST((SELECT COALESCE(max(number), 0) FROM events), (SELECT COALESCE(max(seq), 0) FROM receivers)) ON CONFLICT (id) DO UPDATE SET last = excluded.last`} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE origin SET complete = 1 WHERE id = $1`, m.ID)
	return err
}

// copied is a table that is copied.
type copied struct {
	name    string
	columns []string // of both databases
	rows    int64    // in the source
}

// progress counts the copied rows.
type progress struct {
	done, all int64
	tell      func(done, all int64)
}

// progressRows is the number of rows between two calls of the progress function.
const progressRows = 1000

// add counts n more rows.
func (p *progress) add(n int64) {
	before := p.done
	p.done += n
	if p.tell != nil && (before/progressRows != p.done/progressRows || p.done == p.all) {
		p.tell(p.done, p.all)
	}
}

// count counts the rows in the snapshot.
func (t *copied) count(ctx context.Context, snapshot *sql.Tx) error {
	return snapshot.QueryRowContext(ctx, `SELECT count(*) FROM `+t.name).Scan(&t.rows)
}

// copy copies the rows of the table by PostgreSQL's COPY, which reads them one after the other, and compares their numbers.
func (t copied) copy(ctx context.Context, snapshot *sql.Tx, tx pgx.Tx, p *progress) error {
	rows, err := snapshot.QueryContext(ctx, `SELECT `+strings.Join(t.columns, ", ")+` FROM `+t.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]any, len(t.columns))
	to := make([]any, len(t.columns))
	for i := range values {
		to[i] = &values[i]
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
		if !rows.Next() {
			return nil, rows.Err()
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		p.add(1)
		return t.carried(values)
	}))
	if err != nil {
		return err
	}
	var n int64
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM `+t.name).Scan(&n); err != nil {
		return err
	}
	if n != t.rows {
		return fmt.Errorf("it has %d rows in the source and %d in the target", t.rows, n)
	}
	return nil
}

// prose are the columns with text for people. In these a character that PostgreSQL cannot store is replaced.
var prose = []string{"message", "note", "failing", "last_message", "first_error"}

// carried returns the values of a row in the form of PostgreSQL, which stores no text with a zero byte or with bytes that are no UTF-8.
func (t copied) carried(values []any) ([]any, error) {
	for i, v := range values {
		if b, ok := v.([]byte); ok && len(b) == 0 {
			values[i] = []byte{} // pgx takes a nil slice for NULL
		}
		text, ok := v.(string)
		if !ok || utf8.ValidString(text) && !strings.Contains(text, "\x00") {
			continue
		}
		if !slices.Contains(prose, t.columns[i]) {
			return nil, fmt.Errorf("the column %s has the text %q, which PostgreSQL cannot store: wait for the end of its job, or delete the row", t.columns[i], text)
		}
		values[i] = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	}
	return values, nil
}

// layout returns the tables that both databases have, referred ones before those that refer to them. A table or column of the source that
// the target lacks is an error: its rows would be lost.
func layout(ctx context.Context, snapshot queryer, tx pgxQueryer) ([]copied, error) {
	there, err := sourceColumns(ctx, snapshot)
	if err != nil {
		return nil, err
	}
	names, err := targetTables(ctx, tx)
	if err != nil {
		return nil, err
	}
	var tables []copied
	for _, name := range names {
		columns, ok := there[name]
		if !ok {
			continue // only PostgreSQL has it
		}
		delete(there, name)
		has, err := targetColumns(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		for _, c := range columns {
			if !slices.Contains(has, c) {
				return nil, fmt.Errorf("the target has no column %s.%s", name, c)
			}
		}
		tables = append(tables, copied{name: name, columns: columns})
	}
	for name := range there {
		return nil, fmt.Errorf("the target has no table %s", name)
	}
	return tables, nil
}

// sourceColumns returns the columns of every table of an SQLite database, without those that are not ours.
func sourceColumns(ctx context.Context, db queryer) (map[string][]string, error) {
	type column struct{ table, name string }
	all, err := collect(ctx, db, func(rows *sql.Rows) (c column, err error) { return c, rows.Scan(&c.table, &c.name) }, `
		SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND t.name <> 'goose_db_version' ORDER BY t.name, c.cid`)
	tables := map[string][]string{}
	for _, c := range all {
		tables[c.table] = append(tables[c.table], c.name)
	}
	return tables, err
}

// targetTables returns the tables of the schema, a table that others refer to before those.
func targetTables(ctx context.Context, db pgxQueryer) ([]string, error) {
	return texts(ctx, db, `
		WITH RECURSIVE depth AS (
			SELECT c.oid, 0 AS n FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
			UNION
			SELECT f.conrelid, d.n + 1 FROM depth d JOIN pg_constraint f ON f.contype = 'f' AND f.confrelid = d.oid AND f.conrelid <> d.oid)
		SELECT relname::text FROM depth JOIN pg_class USING (oid) WHERE relname <> 'goose_db_version' GROUP BY relname ORDER BY max(n), relname`)
}

// targetColumns returns the columns of a table.
func targetColumns(ctx context.Context, db pgxQueryer, table string) ([]string, error) {
	return texts(ctx, db, `SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`, table)
}

// texts returns the rows of a query with one text.
func texts(ctx context.Context, db pgxQueryer, query string, args ...any) ([]string, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// schemaTables are the tables whose rows belong to the schema, and that every database has from the start.
var schemaTables = []string{"compatibility", "origin"}

// vacant returns a [*UsedError] if a table has rows.
func vacant(ctx context.Context, db pgxQueryer) error {
	tables, err := targetTables(ctx, db)
	if err != nil {
		return err
	}
	if slices.Contains(tables, "jobs") { // the clearest reason first
		var jobs int64
		if err := db.QueryRow(ctx, `SELECT count(*) FROM jobs`).Scan(&jobs); err != nil {
			return err
		}
		if jobs > 0 {
			return &UsedError{fmt.Sprintf("it has jobs of its own (%d)", jobs)}
		}
	}
	for _, t := range tables {
		var some bool
		if slices.Contains(schemaTables, t) {
			continue
		}
		if err := db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+pgx.Identifier{t}.Sanitize()+`)`).Scan(&some); err != nil {
			return err
		}
		if some {
			return &UsedError{"it has no jobs, but rows in the table " + t + ", because batholith serve was started with it"}
		}
	}
	return nil
}

// count counts the rows in the target, and lets its planner know them.
func (r *Result) count(ctx context.Context, conn *pgx.Conn) error {
	r.Tables = nil
	tables, err := targetTables(ctx, conn)
	if err != nil {
		return err
	}
	for _, t := range tables {
		n := Count{Table: t}
		if slices.Contains(schemaTables, t) {
			continue
		}
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM `+pgx.Identifier{t}.Sanitize()).Scan(&n.Rows); err != nil {
			return err
		}
		if n.Rows > 0 {
			r.Tables = append(r.Tables, n)
		}
	}
	if err := conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE active = 1) FROM jobs`).Scan(&r.Jobs, &r.Unfinished); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `ANALYZE`)
	return err
}

// advance sets each sequence behind the highest number in its column.
func advance(ctx context.Context, tx pgx.Tx) error {
	columns, err := texts(ctx, tx, `
		SELECT format('SELECT setval(%L, max(%I)) FROM %I HAVING max(%I) IS NOT NULL', pg_get_serial_sequence(quote_ident(table_name), column_name), column_name, table_name, column_name)
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'goose_db_version'
			AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL`)
	if err != nil {
		return err
	}
	for _, statement := range columns {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// A Preview is what a [Copy] would do.
type Preview struct {
	Tables []Count // of the rows in the source
	Jobs   int64
	// Unfinished is the number of these jobs that have not ended.
	Unfinished int64
	Moved      Moved // of an earlier run
}

// Preview reads the source and the target, and changes neither of them. The error is the one that [Copy.Run] would return before it copies.
func (c *Copy) Preview(ctx context.Context) (p Preview, err error) {
	defer func() { err = wrap("move the jobs to", c.Name, err) }()
	if p.Moved, err = ReadMoved(c.Path); err != nil {
		return p, err
	}
	if p.Moved.ID != "" && p.Moved.To != c.Name {
		return p, &MovedError{Moved: p.Moved, Mark: movedMark(c.Path)}
	}
	if err := c.previewSource(ctx, &p); err != nil {
		return p, err
	}
	return p, c.previewTarget(ctx, p.Moved)
}

// previewSource counts the rows of the source, whose schema may be an older one.
func (c *Copy) previewSource(ctx context.Context, p *Preview) error {
	db, err := connect(c.Path, 1, "mode", "rw", "_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "_pragma", "query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	there, err := sourceColumns(ctx, db)
	if err != nil {
		return explain(err)
	}
	for name := range there {
		n := Count{Table: name}
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM `+name).Scan(&n.Rows); err != nil {
			return err
		}
		if n.Rows > 0 {
			p.Tables = append(p.Tables, n)
		}
	}
	slices.SortFunc(p.Tables, func(a, b Count) int { return strings.Compare(a.Table, b.Table) })
	return db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(active), 0) FROM jobs`).Scan(&p.Jobs, &p.Unfinished)
}

// previewTarget checks that the target can be reached and is empty, or was filled by an earlier run.
func (c *Copy) previewTarget(ctx context.Context, m Moved) error {
	config, err := parse(c.To, c.Target)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, session(config, "", "copies"))
	if err != nil {
		return explainPostgres(config, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tables, err := targetTables(ctx, conn)
	if err != nil {
		return err
	}
	if len(tables) > 0 && !slices.Contains(tables, "jobs") {
		return &UsedError{"it has tables of another program (" + strings.Join(tables, ", ") + ")"}
	}
	if !slices.Contains(tables, "origin") {
		return vacant(ctx, conn)
	}
	_, err = usable(ctx, conn, m)
	return err
}
