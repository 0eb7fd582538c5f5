package records

import (
	"io"
	"reflect"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// storedColumn is a column of a Parquet file whose values are copied as they are stored.
type storedColumn struct{ typ parquet.Type }

// groupBytes and groupRows end a row group: it is in memory until it is written.
const (
	groupBytes = 32 << 20
	groupRows  = 100_000
)

// parquetWriter writes Parquet with Snappy compression. Each column may be null.
type parquetWriter struct {
	w       *parquet.Writer
	columns []Column
	row     parquet.Row
	bytes   int
	rows    int
}

// orderedGroup is a group whose fields are in the order of the table, and not in that of the alphabet.
type orderedGroup struct {
	parquet.Group
	names []string
}

// Fields returns the fields in order.
func (g orderedGroup) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int { return slices.Index(g.names, a.Name()) - slices.Index(g.names, b.Name()) })
	return fields
}

// GoType returns a type that has a place for each field.
func (g orderedGroup) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }

// newParquetWriter returns a writer for the columns.
func newParquetWriter(w io.Writer, columns []Column) (Writer, error) {
	g := orderedGroup{Group: parquet.Group{}}
	for _, c := range columns {
		g.names = append(g.names, c.Name)
		g.Group[c.Name] = parquet.Optional(nodeOf(c))
	}
	schema := parquet.NewSchema("table", g)
	return &parquetWriter{w: parquet.NewWriter(w, schema, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("batholith", "", "")), columns: columns}, nil
}

// nodeOf returns the type of a column.
func nodeOf(c Column) parquet.Node {
	if c.stored != nil {
		return parquet.Leaf(c.stored.typ)
	}
	switch c.Kind {
	case KindInt:
		return parquet.Int(64)
	case KindNumber:
		return parquet.Leaf(parquet.DoubleType)
	case KindBool:
		return parquet.Leaf(parquet.BooleanType)
	case KindJSON:
		return parquet.JSON()
	}
	return parquet.String()
}

// Write adds a row to the row group.
func (p *parquetWriter) Write(values []any) error {
	p.row = p.row[:0]
	for i, v := range values {
		value := p.value(p.columns[i], v)
		level := 1
		if value.IsNull() {
			level = 0
		} else {
			p.bytes += 8
			if k := value.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
				p.bytes += len(value.ByteArray())
			}
		}
		p.row = append(p.row, value.Level(0, level, i))
	}
	if _, err := p.w.WriteRows([]parquet.Row{p.row}); err != nil {
		return err
	}
	if p.rows++; p.rows < groupRows && p.bytes < groupBytes {
		return nil
	}
	p.rows, p.bytes = 0, 0
	return p.w.Flush()
}

// value returns a value as it is stored. One that the column's type cannot hold becomes null, which does not happen with the kinds that
// Join finds.
func (p *parquetWriter) value(c Column, v any) parquet.Value {
	if stored, ok := v.(parquet.Value); ok {
		return stored
	}
	if v == nil {
		return parquet.NullValue()
	}
	switch c.Kind {
	case KindInt:
		if n, err := strconv.ParseInt(Text(v), 10, 64); err == nil {
			return parquet.Int64Value(n)
		}
	case KindNumber:
		if f, err := strconv.ParseFloat(Text(v), 64); err == nil {
			return parquet.DoubleValue(f)
		}
	case KindBool:
		if b, ok := v.(bool); ok {
			return parquet.BooleanValue(b)
		}
	case KindJSON:
		if b, err := appendJSON(nil, v); err == nil {
			return parquet.ByteArrayValue(b)
		}
	default:
		return parquet.ByteArrayValue([]byte(Text(v)))
	}
	return parquet.NullValue()
}

// Close writes the last row group and the footer.
func (p *parquetWriter) Close() error { return p.w.Close() }
