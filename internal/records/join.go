package records

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Said is what the answer of a record says.
type Said struct {
	Text      string
	Vector    []byte // of an embedding, as JSON, in the place of a text
	Stop      string
	In, Out   int64
	HasTokens bool
}

// Join puts the answers of an output beside the rows of a source. It reads source and output twice: first it finds columns, types and
// how records belong to rows, then it makes the rows.
type Join struct {
	// Source opens the table that the records were made of; nil: there is none, and the rows are the records. It is called twice.
	Source  func() (*Source, error)
	Outputs []Output
	ID      string                   // column with the recordIds; "": it is found
	Read    func(output []byte) Said // reads a modelOutput

	plan    Plan
	known   map[string]int // index of a source column
	by      matching
	index   *outcomeIndex
	planned bool
}

// Plan is what a first reading found.
type Plan struct {
	Columns []Column // of the source, then those of the answers
	Renamed []string // sentences about columns of the answers that have another name, since the source has one of that name
	How     string   // how records belong to rows, for people
	Rows    int64    // of the source
	Answers int64    // lines of the output
}

// matching is how a record belongs to a row.
type matching struct {
	column string // the cell in it is the recordId
	number bool   // the recordId is the number of the row
	order  bool   // the n-th record is that of the n-th row
}

// answerColumns are the columns of an answer.
var answerColumns = []Column{{Name: "answer"}, {Name: "error"}, {Name: "stop_reason"}, {Name: "input_tokens", Kind: KindInt}, {Name: "output_tokens", Kind: KindInt}}

// AnswerColumns is the number of columns of an answer, which are the last ones: answer, error, stop_reason, input_tokens, output_tokens.
const AnswerColumns = 5

// NoAnswer is the error of a row whose record is not in the output.
const NoAnswer = "no answer"

// Plan reads source and outputs. It fails if a record belongs to no row.
func (j *Join) Plan() (Plan, error) {
	if j.Source == nil {
		j.plan = Plan{Columns: append([]Column{{Name: "record_id"}}, answerColumns...), How: "one row for each record"}
		j.planned = true
		return j.plan, nil
	}
	if err := j.choose(); err != nil {
		return Plan{}, err
	}
	unmatched, err := j.survey()
	if err != nil {
		return Plan{}, err
	}
	switch {
	case unmatched == nil:
	case j.by.order:
		return Plan{}, &Error{File: j.Outputs[0].Name, Reason: fmt.Sprintf("the output has %d records, and %s has %d rows; they cannot be joined by their order", j.plan.Answers, j.sourceName(), j.plan.Rows),
			Remedy: "name the column with the recordIds: --id COLUMN"}
	default:
		if err := j.makeIndex(); err != nil {
			return Plan{}, err
		}
	}
	j.addAnswers()
	j.planned = true
	return j.plan, nil
}

// sourceName returns the name of the source, for messages.
func (j *Join) sourceName() string {
	s, err := j.Source()
	if err != nil {
		return "the source"
	}
	defer s.Close()
	return s.Name
}

// choose says how records belong to rows, by the first of both.
func (j *Join) choose() error {
	out := &outcomes{outputs: j.Outputs}
	defer out.end()
	first, err := out.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	empty := err != nil
	_, numbered := numberOf(first.ID)
	switch {
	case j.ID != "":
		j.by, j.plan.How = matching{column: j.ID}, "joined by the column "+j.ID
	case empty || numbered:
		j.by, j.plan.How = matching{number: true}, "joined by the number of the row, which is the recordId"
	default:
		s, err := j.Source()
		if err != nil {
			return err
		}
		defer s.Close()
		for row, err := range s.Rows() {
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(row.Values, func(v any) bool { return Text(v) == first.ID }); i >= 0 {
				j.by, j.plan.How = matching{column: row.Columns[i]}, fmt.Sprintf("joined by the column %s, which has the recordIds", row.Columns[i])
				return nil
			}
			if row.Number == searchedRows {
				break
			}
		}
		if !generated.MatchString(first.ID) {
			return &Error{File: j.Outputs[first.file].Name, Line: first.line, Reason: fmt.Sprintf("no column of %s has the recordId %q", s.Name, first.ID),
				Remedy: "is it the table that the records were made of? name the column with the recordIds: --id COLUMN"}
		}
		j.by, j.plan.How = matching{order: true}, "joined by the order, since the records had no recordIds"
	}
	return nil
}

// searchedRows is how many rows are looked at to find the column with the recordIds: the first record of an output may be that of a later row.
const searchedRows = 10_000

// generated is a recordId that a record without one gets.
var generated = regexp.MustCompile(`^[0-9A-Z]{11}$`)

// survey reads the source for its columns and their kinds, and walks along the output beside it. unmatched is a record that no row has,
// if both are in the same order; nil: there is none.
func (j *Join) survey() (unmatched *outcome, err error) {
	s, err := j.Source()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	j.known = map[string]int{}
	j.plan.Columns = nil
	for _, name := range s.Columns {
		j.column(name)
	}
	stored := s.stored()
	out := &walk{outcomes: outcomes{outputs: j.Outputs}}
	defer out.end()
	for row, err := range s.Rows() {
		if err != nil {
			return nil, err
		}
		j.plan.Rows++
		for i, name := range row.Columns {
			c := j.column(name)
			if c < 0 {
				return nil, &Error{File: s.Name, Row: row.Number, Line: row.Line, Reason: fmt.Sprintf("the table has more than %d columns", maxColumns)}
			}
			j.plan.Columns[c].Kind = widen(j.plan.Columns[c].Kind, row.Values[i])
		}
		matched, err := j.matches(row, out)
		if err != nil {
			return nil, err
		}
		if matched {
			out.pass()
			j.plan.Answers++
		}
	}
	if _, ok := j.known[j.by.column]; !ok && j.by.column != "" && j.plan.Rows > 0 {
		var names []string
		for _, c := range j.plan.Columns {
			names = append(names, c.Name)
		}
		return nil, &Error{File: s.Name, Reason: fmt.Sprintf("there is no column %q with the recordIds", j.by.column), Remedy: "the columns are: " + named(names, j.by.column)}
	}
	for i := range j.plan.Columns {
		c := &j.plan.Columns[i]
		if c.stored = stored[c.Name]; c.Kind == unknownKind {
			c.Kind = KindText
		}
	}
	rest, err := out.peek()
	for err == nil {
		j.plan.Answers++
		if unmatched == nil {
			unmatched = &outcome{ID: rest.ID, file: rest.file, line: rest.line}
		}
		out.pass()
		rest, err = out.peek()
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if j.by.order && j.plan.Answers != j.plan.Rows && unmatched == nil {
		unmatched = &outcome{}
	}
	return unmatched, nil
}

// unknownKind is that of a column without values.
const unknownKind Kind = -1

// column returns the index of a source column, which is added if it is new; -1: there are too many.
func (j *Join) column(name string) int {
	i, ok := j.known[name]
	if !ok {
		if i = len(j.plan.Columns); i == maxColumns {
			return -1
		}
		j.known[name] = i
		j.plan.Columns = append(j.plan.Columns, Column{Name: name, Kind: unknownKind})
	}
	return i
}

// widen returns the kind that holds a column's values up to now and another one.
func widen(k Kind, v any) Kind {
	of := KindText
	switch v := v.(type) {
	case nil:
		return k
	case bool:
		of = KindBool
	case int64:
		of = KindInt
	case float64:
		of = KindNumber
	case Nested:
		of = KindJSON
	case Number:
		if of = KindNumber; isInteger(v) {
			of = KindInt
		} else if !exactly(v) {
			of = KindText
		}
	}
	switch {
	case k == unknownKind, k == of:
		return of
	case k == KindJSON || of == KindJSON:
		return KindJSON
	case k == KindInt && of == KindNumber, k == KindNumber && of == KindInt:
		return KindNumber
	}
	return KindText
}

// matches reports whether the next record of the output is that of the row.
func (j *Join) matches(row Row, out *walk) (bool, error) {
	next, err := out.peek()
	if errors.Is(err, io.EOF) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if j.by.order {
		return true, nil
	}
	return j.idOf(row) == next.ID, nil
}

// idOf returns the recordId of a row; "": it has none.
func (j *Join) idOf(row Row) string {
	if j.by.number {
		return NumberedID(row.Number)
	}
	if i := slices.Index(row.Columns, j.by.column); i >= 0 {
		return Text(row.Values[i])
	}
	return ""
}

// addAnswers adds the columns of the answers, under names that the source does not have.
func (j *Join) addAnswers() {
	for _, c := range answerColumns {
		own := c.Name
		for n := 2; ; n++ {
			if _, taken := j.known[c.Name]; !taken {
				break
			}
			c.Name = fmt.Sprintf("%s_%d", own, n)
		}
		if c.Name != own {
			j.plan.Renamed = append(j.plan.Renamed, fmt.Sprintf("the source has a column %s: the one of the answers is %s", own, c.Name))
		}
		j.known[c.Name] = len(j.plan.Columns)
		j.plan.Columns = append(j.plan.Columns, c)
	}
}

// Rows yields the values of all rows, for the columns of the plan, and ends after the first error. The slice is valid until the next one.
// For a Writer of Parquet, stored says that values of a Parquet source are passed as they are stored.
func (j *Join) Rows(stored bool) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		if !j.planned {
			yield(nil, errors.New("records: Rows before Plan"))
			return
		}
		if j.Source == nil {
			j.records(yield)
			return
		}
		s, err := j.Source()
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.Close()
		out := &walk{outcomes: outcomes{outputs: j.Outputs}}
		defer out.end()
		values := make([]any, len(j.plan.Columns))
		for row, err := range s.Rows() {
			if err == nil {
				clear(values)
				err = j.fill(values, s, row, out, stored)
			}
			if !yield(values, err) || err != nil {
				return
			}
		}
	}
}

// records yields a row for each record.
func (j *Join) records(yield func([]any, error) bool) {
	out := &outcomes{outputs: j.Outputs}
	defer out.end()
	values := make([]any, len(j.plan.Columns))
	for {
		found, err := out.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			clear(values)
			values[0] = found.ID
			j.answer(values[1:], found)
		}
		if !yield(values, err) || err != nil {
			return
		}
	}
}

// fill sets the values of a row and of its answer.
func (j *Join) fill(values []any, s *Source, row Row, out *walk, stored bool) error {
	for i, name := range row.Columns {
		at, ok := j.known[name]
		if !ok || at >= len(values)-len(answerColumns) {
			return s.changed()
		}
		if values[at] = row.Values[i]; stored && j.plan.Columns[at].stored != nil {
			values[at] = row.leaves[i]
		}
	}
	answers := values[len(values)-len(answerColumns):]
	if j.index != nil {
		found, ok, err := j.index.find(j.idOf(row))
		if err != nil {
			return err
		}
		if !ok {
			answers[1] = NoAnswer
			return nil
		}
		j.answer(answers, found)
		return nil
	}
	ok, err := j.matches(row, out)
	if err != nil {
		return err
	}
	if !ok {
		answers[1] = NoAnswer
		return nil
	}
	found, err := out.peek()
	if err != nil {
		return err
	}
	j.answer(answers, found)
	out.pass()
	return nil
}

// changed returns the error for a source that is another one at the second reading.
func (s *Source) changed() error {
	return &Error{File: s.Name, Reason: "the file changed while it was read", Remedy: "wait until it is whole, and run the command again"}
}

// answer sets the columns of an answer.
func (j *Join) answer(values []any, found outcome) {
	if found.Error != nil {
		values[1] = strings.ToValidUTF8(found.Error.Message, "\ufffd")
		return
	}
	said := j.Read(found.Model)
	if values[0] = strings.ToValidUTF8(said.Text, "\ufffd"); said.Vector != nil {
		values[0] = Nested(said.Vector)
	}
	if said.Stop != "" {
		values[2] = said.Stop
	}
	if said.HasTokens {
		values[3], values[4] = said.In, said.Out
	}
}

// walk is outcomes with a look at the next line.
type walk struct {
	outcomes
	ahead *outcome
	err   error
}

// peek returns the next line. Its bytes are valid until pass.
func (w *walk) peek() (outcome, error) {
	if w.ahead == nil && w.err == nil {
		next, err := w.next()
		w.ahead, w.err = &next, err
	}
	return *w.ahead, w.err
}

// pass goes on to the line behind.
func (w *walk) pass() { w.ahead = nil }

// makeIndex is for outputs in another order than the source. It fails if a record belongs to no row.
func (j *Join) makeIndex() error {
	x, err := newOutcomeIndex(j.Outputs)
	if err != nil {
		return err
	}
	j.index = x
	s, err := j.Source()
	if err != nil {
		return err
	}
	defer s.Close()
	for row, err := range s.Rows() {
		if err != nil {
			return err
		}
		x.mark(j.idOf(row))
	}
	if lost, ok, err := x.unmarked(); err != nil {
		return err
	} else if ok {
		return &Error{File: j.Outputs[lost.file].Name, Line: lost.line, Reason: fmt.Sprintf("the record %q is of no row of %s (%s)", lost.ID, s.Name, j.plan.How),
			Remedy: "is it the table that the records were made of? name the column with the recordIds: --id COLUMN"}
	}
	j.plan.How += "; the output has another order than the source"
	return nil
}

// Close frees what the join keeps open.
func (j *Join) Close() {
	if j.index != nil {
		j.index.close()
	}
}

// openFile opens an output so that lines can be read at any place. Compressed ones are unpacked to a temporary file.
func openFile(o Output) (f *os.File, temporary bool, err error) {
	if f, err = os.Open(o.Path); err != nil {
		return nil, false, err
	}
	var head [4]byte
	n, _ := f.ReadAt(head[:], 0)
	if magic := string(head[:n]); !strings.HasPrefix(magic, "\x1f\x8b") && magic != "\x28\xb5\x2f\xfd" {
		return f, false, nil
	}
	defer f.Close()
	content, err := Unpack(f)
	if err != nil {
		return nil, false, &Error{File: o.Name, Reason: err.Error()}
	}
	defer content.Close()
	spooled, _, err := spool(content)
	return spooled, true, err
}
