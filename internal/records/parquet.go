package records

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// sizedReader is a file that can be read at any place.
type sizedReader struct {
	io.ReaderAt
	size int64
}

// plainParquet returns r as a file if it is one in Parquet format that can be read at any place.
func plainParquet(r io.Reader) (sizedReader, bool) {
	at, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return sizedReader{}, false
	}
	size, err := at.Seek(0, io.SeekEnd)
	if err != nil {
		return sizedReader{}, false
	}
	var head [4]byte
	_, err = at.ReadAt(head[:], 0)
	if string(head[:]) == "PAR1" && err == nil {
		return sizedReader{at, size}, true
	}
	_, err = at.Seek(0, io.SeekStart)
	return sizedReader{}, false
}

// parquetRows reads the rows of all row groups.
type parquetRows struct {
	schema  *parquet.Schema
	groups  []parquet.RowGroup
	rows    parquet.Rows
	columns []string
	fields  []parquetField
	kinds   []parquet.Kind // of the leaves
	nested  bool
	buf     []parquet.Row
	got     []parquet.Row // rest of buf
	ended   bool          // no more rows in this group
}

// parquetField is a column of the table: one leaf, or a group of leaves.
type parquetField struct {
	leaf int // index of the first leaf
	node parquet.Node
	flat bool
}

// rowsAtOnce is how many rows are decoded at once.
const rowsAtOnce = 64

// openParquet reads the schema.
func (s *Source) openParquet(r io.ReaderAt, size int64) (err error) {
	defer func() { err = s.damaged(err, recover()) }()
	if size == 0 {
		return &Error{Reason: "the file is empty", Remedy: "is it the right file, and was it written to its end?"}
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return err
	}
	p := &parquetRows{schema: f.Schema(), groups: f.RowGroups(), buf: make([]parquet.Row, rowsAtOnce)}
	leaf := 0
	for _, field := range p.schema.Fields() {
		p.columns = append(p.columns, field.Name())
		flat := field.Leaf() && !field.Repeated()
		p.fields = append(p.fields, parquetField{leaf, field, flat})
		p.nested = p.nested || !flat
		leaf += leaves(field)
		p.kinds = appendKinds(p.kinds, field)
	}
	s.Columns, s.rows = p.columns, &guardedRows{p, s}
	s.close = append(s.close, func() {
		if p.rows != nil {
			p.rows.Close()
		}
	})
	return checkColumns(p.columns, 0)
}

// leaves counts the columns below a node.
func leaves(n parquet.Node) int {
	if n.Leaf() {
		return 1
	}
	sum := 0
	for _, f := range n.Fields() {
		sum += leaves(f)
	}
	return sum
}

// appendKinds appends the stored types of the leaves below a node.
func appendKinds(all []parquet.Kind, n parquet.Node) []parquet.Kind {
	if n.Leaf() {
		return append(all, n.Type().Kind())
	}
	for _, f := range n.Fields() {
		all = appendKinds(all, f)
	}
	return all
}

// damaged returns an error of the Parquet library in words. The library panics at some damaged files.
func (s *Source) damaged(err error, panicked any) error {
	var e *Error
	switch {
	case panicked != nil:
		err = fmt.Errorf("%v", panicked)
	case err == nil, errors.Is(err, io.EOF) && s.rows != nil:
		return err
	case errors.As(err, &e):
		return s.fault(err)
	}
	return &Error{File: s.Name, Row: s.count, Reason: "the Parquet file cannot be read: " + err.Error(), Remedy: "was it written to its end? an encrypted file is not read"}
}

// guardedRows turns panics of the library into errors.
type guardedRows struct {
	*parquetRows
	s *Source
}

// next returns the next row.
func (g *guardedRows) next() (row Row, err error) {
	defer func() { err = g.s.damaged(err, recover()) }()
	return g.parquetRows.next()
}

// next returns the next row.
func (p *parquetRows) next() (Row, error) {
	for len(p.got) == 0 {
		if p.rows == nil || p.ended {
			if p.rows != nil {
				if err := p.rows.Close(); err != nil {
					return Row{}, err
				}
				p.rows = nil
			}
			if len(p.groups) == 0 {
				return Row{}, io.EOF
			}
			p.rows, p.groups, p.ended = p.groups[0].Rows(), p.groups[1:], false
		}
		n, err := p.rows.ReadRows(p.buf)
		if err != nil && !errors.Is(err, io.EOF) {
			return Row{}, err
		}
		p.got, p.ended = p.buf[:n], n == 0 || err != nil
	}
	values := p.got[0]
	p.got = p.got[1:]
	return p.row(values)
}

// row returns the values of a row.
func (p *parquetRows) row(leaves parquet.Row) (Row, error) {
	row := Row{Columns: p.columns, Values: make([]any, len(p.columns)), leaves: make([]parquet.Value, len(p.columns))}
	firsts := make([]parquet.Value, 0, len(p.kinds))
	for _, v := range leaves {
		// The library relies on a value of the right type in each column, and would read an integer as a pointer.
		column := v.Column()
		switch {
		case column == len(firsts) && column < len(p.kinds):
			firsts = append(firsts, v)
		case column != len(firsts)-1:
			return Row{}, errors.New("a row does not have a value in each column")
		}
		if !v.IsNull() && v.Kind() != p.kinds[column] {
			return Row{}, errors.New("a value has another type than its column")
		}
	}
	if len(firsts) != len(p.kinds) {
		return Row{}, errors.New("a row does not have a value in each column")
	}
	var whole map[string]any
	if p.nested {
		whole = map[string]any{}
		if err := p.schema.Reconstruct(&whole, leaves); err != nil {
			return Row{}, err
		}
	}
	for i, f := range p.fields {
		if f.flat {
			row.leaves[i] = firsts[f.leaf]
			row.Values[i] = leafValue(firsts[f.leaf], f.node)
			continue
		}
		v, ok := whole[p.columns[i]]
		if !ok || v == nil {
			continue
		}
		nested, err := json.Marshal(readable(v))
		if err != nil {
			return Row{}, &Error{Column: p.columns[i], Reason: "the nested value cannot be written as JSON: " + err.Error(), Remedy: "leave the column out of the file"}
		}
		if row.Values[i] = Nested(nested); string(nested) == "null" {
			row.Values[i] = nil
		}
	}
	return row, nil
}

// readable replaces bytes that are text by the text, and numbers that JSON does not have by their names.
func readable(v any) any {
	switch v := v.(type) {
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	case float32:
		return readable(float64(v))
	case map[string]any:
		for k, e := range v {
			v[k] = readable(e)
		}
	case []any:
		for i, e := range v {
			v[i] = readable(e)
		}
	}
	return v
}

// leafValue returns a stored value as that of a row: dates and times as ISO 8601, decimals and unsigned numbers with all digits, bytes
// that are no text in Base64.
func leafValue(v parquet.Value, node parquet.Node) any {
	if v.IsNull() {
		return nil
	}
	var logical format.LogicalTypeValue
	if t := node.Type().LogicalType(); t != nil {
		logical = t.Value
	}
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32, parquet.Int64:
		n := v.Int64()
		if v.Kind() == parquet.Int32 {
			n = int64(v.Int32())
		}
		return integerValue(n, v.Kind() == parquet.Int32, logical)
	case parquet.Int96:
		return int96Time(v.Int96()).Format(time.RFC3339Nano)
	case parquet.Float:
		if f := float64(v.Float()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return Number(strconv.FormatFloat(f, 'g', -1, 32))
		}
		return fmt.Sprint(v.Float())
	case parquet.Double:
		if f := v.Double(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return fmt.Sprint(v.Double())
	}
	return bytesValue(v.ByteArray(), logical)
}

// integerValue returns a stored integer by its logical type.
func integerValue(n int64, short bool, logical format.LogicalTypeValue) any {
	switch t := logical.(type) {
	case *format.DateType:
		return time.Unix(0, 0).UTC().AddDate(0, 0, int(n)).Format(time.DateOnly)
	case *format.TimestampType:
		at := time.Unix(0, 0).UTC()
		switch t.Unit.Value.(type) {
		case *format.MilliSeconds:
			at = time.UnixMilli(n).UTC()
		case *format.MicroSeconds:
			at = time.UnixMicro(n).UTC()
		default:
			at = time.Unix(n/1e9, n%1e9).UTC()
		}
		if !t.IsAdjustedToUTC {
			return at.Format("2006-01-02T15:04:05.999999999")
		}
		return at.Format(time.RFC3339Nano)
	case *format.TimeType:
		return time.Time{}.Add(time.Duration(n) * t.Unit.Value.(interface{ Duration() time.Duration }).Duration()).Format("15:04:05.999999999")
	case *format.DecimalType:
		return Number(decimal(big.NewInt(n), int(t.Scale)))
	case *format.IntType:
		if !t.IsSigned && short {
			return int64(uint32(n))
		} else if !t.IsSigned && n < 0 {
			return Number(strconv.FormatUint(uint64(n), 10))
		}
	}
	return n
}

// bytesValue returns stored bytes by their logical type.
func bytesValue(b []byte, logical format.LogicalTypeValue) any {
	switch t := logical.(type) {
	case *format.DecimalType:
		n := new(big.Int).SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 { // two's complement
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
		return Number(decimal(n, int(t.Scale)))
	case *format.UUIDType:
		if id, err := uuid.FromBytes(b); err == nil {
			return id.String()
		}
	case *format.JsonType:
		if json.Valid(b) {
			if b[0] == '{' || b[0] == '[' {
				return Nested(b)
			}
		}
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// decimal returns n × 10^-scale with all digits.
func decimal(n *big.Int, scale int) string {
	digits := new(big.Int).Abs(n).String()
	if scale > 0 {
		digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

// int96Time returns a time in the form of old Impala and Spark: nanoseconds of the day, and the Julian day.
func int96Time(v deprecated.Int96) time.Time {
	const unixEpoch = 2440588 // Julian day of 1970-01-01
	nanoseconds := int64(v[1])<<32 | int64(v[0])
	return time.Unix((int64(v[2])-unixEpoch)*86400, 0).UTC().Add(time.Duration(nanoseconds))
}
