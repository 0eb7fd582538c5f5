package records

import (
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// isInteger reports whether a number is an int64, written without fraction and exponent.
func isInteger(n Number) bool {
	_, err := strconv.ParseInt(string(n), 10, 64)
	return err == nil && n != "-0"
}

// exactly reports whether a float64 holds a number: it has at most 15 significant digits, or is what the float64 itself is written as.
func exactly(n Number) bool {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return false
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(string(n)), "e")
	digits := strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0")
	return len(digits) <= 15 || strconv.FormatFloat(f, 'g', -1, 64) == string(n)
}

// stored returns the columns of a Parquet file whose values can be copied.
func (s *Source) stored() map[string]*storedColumn {
	g, ok := s.rows.(*guardedRows)
	if !ok {
		return nil
	}
	all := map[string]*storedColumn{}
	for i, f := range g.fields {
		if f.flat && f.node.Type().Kind() != parquet.Int96 {
			all[g.columns[i]] = &storedColumn{f.node.Type()}
		}
	}
	return all
}
