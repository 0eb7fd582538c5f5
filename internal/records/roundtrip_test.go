package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// someTable is a table of a test, with values that the formats can hold.
type someTable struct {
	columns []Column
	rows    [][]any
}

// drawTable draws a table for a format. CSV has texts alone.
func drawTable(t *rapid.T, f Format) (all someTable) {
	typed := f == JSON || f == JSONL || f == Parquet
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zäß",; \n.]{1,6}|answer|error`), 1, 5, rapid.ID).Draw(t, "names")
	if len(names) == 1 { // without a comma beside it, a semicolon separates columns
		names[0] = strings.ReplaceAll(names[0], ";", ":")
	}
	for _, n := range names {
		kind := KindText
		if typed {
			kind = rapid.SampledFrom([]Kind{KindText, KindInt, KindNumber, KindBool, KindJSON}).Draw(t, "kind")
		}
		all.columns = append(all.columns, Column{Name: n, Kind: kind})
	}
	cell := rapid.OneOf(rapid.StringMatching(`[a-c"',;\t\n =é]{0,12}`), rapid.Just("日本\u2028\u0000語"), rapid.Just(`"`), rapid.Just("\n\n"), rapid.Just(strings.Repeat("x", 3000)))
	for range rapid.IntRange(1, 30).Draw(t, "rows") {
		var row []any
		for _, c := range all.columns {
			switch {
			case typed && rapid.IntRange(0, 5).Draw(t, "null") == 0:
				row = append(row, nil)
			case c.Kind == KindInt:
				row = append(row, rapid.Int64().Draw(t, "int"))
			case c.Kind == KindNumber:
				row = append(row, float64(rapid.IntRange(-1000, 1000).Draw(t, "number"))/8+0.0625)
			case c.Kind == KindBool:
				row = append(row, rapid.Bool().Draw(t, "bool"))
			case c.Kind == KindJSON:
				row = append(row, Nested(fmt.Sprintf(`{"a":[%d,"b"]}`, rapid.IntRange(0, 9).Draw(t, "nested"))))
			default:
				row = append(row, cell.Draw(t, "cell"))
			}
		}
		if !typed && len(row) == 1 && row[0] == "" { // an empty line is no row of a CSV
			row[0] = "x"
		}
		all.rows = append(all.rows, row)
	}
	return all
}

// written returns the file of a table.
func (s someTable) written(t require, f Format) []byte {
	var b bytes.Buffer
	w, err := NewWriter(&b, f, s.columns)
	t.ok(err)
	for _, row := range s.rows {
		t.ok(w.Write(row))
	}
	t.ok(w.Close())
	return b.Bytes()
}

// texts returns the cells as texts.
func (s someTable) texts() (all [][]string) {
	for _, row := range s.rows {
		var cells []string
		for _, v := range row {
			cells = append(cells, Text(v))
		}
		all = append(all, cells)
	}
	return all
}

// require fails a test at the first error.
type require struct{ t interface{ Fatal(...any) } }

func (r require) ok(err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

// readAll reads a table as texts.
func readAll(t require, name string, content []byte) (columns []string, rows [][]string) {
	s, err := Open(name, bytes.NewReader(content), Options{})
	t.ok(err)
	defer s.Close()
	for row, err := range s.Rows() {
		t.ok(err)
		columns = row.Columns
		var cells []string
		for _, v := range row.Values {
			cells = append(cells, Text(v))
		}
		rows = append(rows, cells)
	}
	return columns, rows
}

// Rows become records, records get answers, and the table has the rows in order with the answers of each, whatever the formats are, and
// however the records are joined.
func TestRowsComeBackInOrderWithTheirAnswers(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		is := require{rt}
		from, to := rapid.SampledFrom(Formats).Draw(rt, "from"), rapid.SampledFrom(Formats).Draw(rt, "to")
		table := drawTable(rt, Format(from))
		byColumn := rapid.Bool().Draw(rt, "by column")
		if byColumn {
			table.columns = append(table.columns, Column{Name: "key"})
			for i := range table.rows {
				table.rows[i] = append(table.rows[i], fmt.Sprintf("k%d", i*7%31))
			}
		}
		source := table.written(is, Format(from))
		open := func() (*Source, error) { return Open("data."+from, bytes.NewReader(source), Options{}) }

		// The records have the first column of their row.
		s, err := open()
		is.ok(err)
		template, err := ParseTemplate(fmt.Sprintf("<{{index . %q}}>", table.columns[0].Name))
		is.ok(err)
		recipe := Recipe{Template: template, Body: func(text string) ([]byte, error) { return json.Marshal(map[string]string{"prompt": text}) }}
		if byColumn {
			recipe.ID = "key"
		}
		var lines []string
		want := table.texts()
		wantAnswers := make([][3]string, len(table.rows)) // answer, error, tokens
		for rec, err := range recipe.Lines(s) {
			is.ok(err)
			var line struct {
				RecordID   string
				ModelInput struct{ Prompt string }
			}
			is.ok(json.Unmarshal(rec.Line, &line))
			n := int(rec.Row) - 1
			if line.RecordID != rec.ID || line.ModelInput.Prompt != "<"+want[n][0]+">" {
				rt.Fatalf("row %d: the record is %s, the cell %q", n, rec.Line, want[n][0])
			}
			id, _ := json.Marshal(rec.ID)
			switch rapid.IntRange(0, 4).Draw(rt, "end") {
			case 0:
				wantAnswers[n] = [3]string{"", NoAnswer, ""}
			case 1:
				lines = append(lines, fmt.Sprintf(`{"recordId":%s,"error":{"errorCode":400,"errorMessage":"no \"way\" %d"}}`, id, n))
				wantAnswers[n] = [3]string{"", fmt.Sprintf(`no "way" %d`, n), ""}
			default:
				lines = append(lines, fmt.Sprintf(`{"recordId":%s,"modelInput":{"recordId":"no"},"modelOutput":{"n":%d}}`, id, n))
				wantAnswers[n] = [3]string{fmt.Sprintf("=it,\n\"is\" %d", n), "", fmt.Sprint(n)}
			}
		}
		is.ok(s.Close())
		if len(wantAnswers) == 0 {
			rt.Fatal("no records")
		}
		if rapid.Bool().Draw(rt, "shuffled") {
			lines = rapid.Permutation(lines).Draw(rt, "lines")
		}
		half := len(lines) / 2
		j := &Join{Source: open, ID: recipe.ID, Read: func(output []byte) Said {
			var o struct{ N int64 }
			is.ok(json.Unmarshal(output, &o))
			return Said{Text: fmt.Sprintf("=it,\n\"is\" %d", o.N), In: o.N, HasTokens: true}
		}}
		for i, part := range [][]string{lines[:half], lines[half:]} {
			path := filepath.Join(dir, fmt.Sprint(i, ".jsonl.out"))
			is.ok(os.WriteFile(path, []byte(strings.Join(part, "\n")), 0o600))
			j.Outputs = append(j.Outputs, Output{path, path})
		}
		defer j.Close()
		plan, err := j.Plan()
		is.ok(err)
		var result bytes.Buffer
		w, err := NewWriter(&result, Format(to), plan.Columns)
		is.ok(err)
		for values, err := range j.Rows(Format(to) == Parquet) {
			is.ok(err)
			is.ok(w.Write(values))
		}
		is.ok(w.Close())
		columns, rows := readAll(is, "out."+to, result.Bytes())
		if len(rows) != len(table.rows) || plan.Rows != int64(len(rows)) || plan.Answers != int64(len(lines)) {
			rt.Fatalf("%d rows of %d, plan %+v", len(rows), len(table.rows), plan)
		}
		if slices.ContainsFunc(table.columns, func(c Column) bool { return c.Name == "answer" }) == (len(plan.Renamed) == 0 || !strings.Contains(strings.Join(plan.Renamed, " "), "answer_2")) {
			rt.Fatalf("renamed: %q", plan.Renamed)
		}
		for i, row := range rows {
			n := len(table.columns)
			for c := range n {
				if columns[c] != table.columns[c].Name {
					rt.Fatalf("columns %q, want %v", columns, table.columns)
				}
			}
			if got, want := strings.Join(row[:n], "|"), strings.Join(want[i], "|"); got != want {
				rt.Fatalf("%s to %s, row %d: %q, want %q", from, to, i, got, want)
			}
			if got := [3]string{row[n], row[n+1], row[n+3]}; got != wantAnswers[i] {
				rt.Fatalf("%s to %s, row %d: the answer is %q, want %q (%s)", from, to, i, got, wantAnswers[i], plan.How)
			}
		}
	})
}
