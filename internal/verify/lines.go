package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/words"
)

const (
	// lookAhead is how many records are read ahead to find the one that a line belongs to:
	// enough for the gaps in a stopped job's output.
	lookAhead = 1 << 16
	// mostPerFile is the maximum number of differences per file; then the rest of its lines is
	// not compared.
	mostPerFile = 1000
)

// collation compares an input file with its output. Normally each line belongs to the next
// record, and it compares bytes. If a line does not match, it reads records ahead to find the
// line's record; of these it keeps only hashes.
type collation struct {
	v        *checker
	job      string
	file     int
	complete bool   // every record must have a line, because the job is Completed or its output is in OpenAI's lines
	never    []byte // what follows the head of the line of a record that was never tried, in OpenAI's lines; nil: such records have no line
	silent   bool   // lines may lack modelInput: the manifest counts such lines
	in       *jsonl.Scanner
	inName   string
	out      outputLines
	outName  string
	seed     maphash.Seed

	ahead  []trace // records that were read but have no line yet, oldest first
	head   []byte  // buffer: the expected beginning of a line
	before int64   // number of differences before this file

	records, lines, answers, errors int64
	untried                         int64 // lines of records that were never tried; lines does not count them
	withoutInput                    int64
	tokens                          batholith.Tokens
	untold                          int64 // answers without token counts
	unread                          int64 // lines that are neither an answer nor an error
}

// trace identifies a record that was read ahead, by hashes.
type trace struct {
	line      int64 // line number in the input, from 1
	id, input uint64
}

func newCollation(v *checker, m batholith.Manifest, file int, in, out *stream) *collation {
	var never []byte
	if code, message := m.Batholith.Status.Untried(); code != "" && m.Batholith.OutputLines == batholith.LinesOpenAI {
		never = jsonl.AppendUntried(nil, "", batholith.RecordKey{}, nil, code, message)[len(jsonl.OpenAIHead(nil, "", batholith.RecordKey{}, nil)):]
	}
	return &collation{v: v, never: never, job: jobID(m), file: file, complete: m.Batholith.Status == batholith.StatusCompleted || never != nil, silent: m.Batholith.WithoutInput > 0,
		in: jsonl.NewScannerOf(in, m.Batholith.InputLines), inName: in.name, out: outputLines{r: bufio.NewReaderSize(out, 256<<10)}, outName: out.name,
		seed: maphash.MakeSeed(), before: v.found.Count}
}

// run reads both files to the end, so that their checksums are complete.
func (c *collation) run() error {
	for {
		line, err := c.out.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", c.outName, err)
		}
		c.lines++
		if c.tired() {
			c.unread++
			continue
		}
		c.line(line)
	}
	// Records that were read ahead and never found have no line.
	for _, t := range c.ahead {
		c.missing(t)
	}
	c.ahead = nil
	for c.advance() {
		if line := c.in.Line(); c.complete {
			c.missing(trace{line: line.N})
		}
	}
	if err := c.in.Err(); err != nil {
		return fmt.Errorf("read %s: %w", c.inName, err)
	}
	return nil
}

// tired reports whether this file has too many differences to continue. The first time, it
// reports that.
func (c *collation) tired() bool {
	n := c.v.found.Count - c.before
	if n == mostPerFile {
		c.v.found.differ(c.outName, c.lines, "there are too many differences; the rest of the lines is not compared")
	}
	return n >= mostPerFile
}

// advance moves to the next record of the input. A line that is not a record is reported:
// validation would have rejected it, so the input has changed since.
func (c *collation) advance() bool {
	for c.in.Next() {
		// The job would have failed in validation, so the line was added or changed later.
		if p := c.in.Problem(); p != nil {
			if !c.tired() {
				c.v.found.differ(c.inName, p.Line, "it is not a record: %s", p.Reason)
			}
			continue
		}
		c.records++
		return true
	}
	return false
}

// id returns the recordId that the output has for an input line: the line's own, or the
// generated one.
func (c *collation) id(l jsonl.Line) []byte {
	if l.ID != nil {
		return l.ID
	}
	return []byte(jsonl.MakeID(c.job, c.file, l.N))
}

// modelOutput follows modelInput in an answer's line. Package jsonl defines the layout of
// lines.
const modelOutput = `,"modelOutput":`

// begins returns the bytes with which the output line of a record must begin.
func (c *collation) begins(id, input []byte) []byte {
	c.head = jsonl.AppendOutput(c.head[:0], id, input, nil)
	return c.head[:len(c.head)-len(modelOutput)-len("}\n")]
}

// line compares one output line with the next record.
func (c *collation) line(line []byte) {
	// Normal case: the line must belong to the next record.
	if len(c.ahead) == 0 {
		if !c.advance() {
			c.odd("it stands behind the line of the last record")
			return
		}
		l := c.in.Line()
		id := c.id(l)
		if head := c.begins(id, l.Input); bytes.HasPrefix(line, head) {
			c.rest(line[len(head):])
			return
		}
		if head := c.begins(id, nil); c.lacksInput(line) && bytes.HasPrefix(line, append(head, ',')) {
			c.withoutInput++
			c.rest(line[len(head):])
			return
		}
		c.ahead = append(c.ahead, c.trace(l.N, id, l.Input))
	}
	c.search(line)
}

// lacksInput reports whether a line does not repeat modelInput, and may do so.
func (c *collation) lacksInput(line []byte) bool { return c.silent && !jsonl.EchoesInput(line) }

// searchID is search for a line without modelInput: its record is found by recordId alone.
func (c *collation) searchID(line []byte) {
	var of struct {
		ID string `json:"recordId"`
	}
	if err := json.Unmarshal(line, &of, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		c.odd("it is not an output line: it is not JSON")
		c.ahead = c.ahead[1:]
		return
	}
	is := c.trace(0, []byte(of.ID), nil)
	at := c.find(func(t trace) bool { return t.id == is.id })
	if at < 0 {
		c.v.found.differ(c.outName, c.lines, "recordId %q is out of order, has a line already, or is not in the input", words.Shorten(of.ID, 40))
	} else {
		c.take(at)
	}
	head := c.begins([]byte(of.ID), nil)
	if !bytes.HasPrefix(line, append(head, ',')) {
		c.odd("the line is not written as Batholith writes it")
		return
	}
	c.withoutInput++
	c.rest(line[len(head):])
}

// trace hashes the id and the modelInput of a record.
func (c *collation) trace(n int64, id, input []byte) trace {
	return trace{n, maphash.Bytes(c.seed, id), maphash.Bytes(c.seed, input)}
}

// search looks for the record that a line belongs to, among the records ahead.
func (c *collation) search(line []byte) {
	if c.lacksInput(line) {
		c.searchID(line)
		return
	}
	id, input, err := jsonl.Parse(line)
	if err != nil {
		c.odd("it is not an output line: " + reasonOf(err))
		c.ahead = c.ahead[1:] // the bad line takes the place of this record
		return
	}
	// Hashes are compared, because the records ahead are not kept in memory.
	is := c.trace(0, id, input)
	at := c.find(func(t trace) bool { return t.id == is.id && t.input == is.input })
	switch {
	case at >= 0:
		c.take(at)
	case c.ahead[0].id == is.id:
		c.v.found.differ(c.outName, c.lines, "modelInput is not that of line %d of the input", c.ahead[0].line)
		c.take(0)
	case c.ahead[0].input == is.input:
		c.v.found.differ(c.outName, c.lines, "recordId %q is not that of line %d of the input", words.Shorten(string(id), 40), c.ahead[0].line)
		c.take(0)
	default:
		c.v.found.differ(c.outName, c.lines, "recordId %q is out of order, has a line already, or is not in the input", words.Shorten(string(id), 40))
	}
	// The line must have exactly Batholith's spacing and escapes.
	head := c.begins(id, input)
	if !bytes.HasPrefix(line, head) {
		c.odd("the line is not written as Batholith writes it")
		return
	}
	c.rest(line[len(head):])
}

// find returns the index in c.ahead of the first record that fits, or -1. It reads up to
// lookAhead records ahead.
func (c *collation) find(fits func(trace) bool) int {
	for i := 0; i < lookAhead; i++ {
		if i == len(c.ahead) {
			if !c.advance() {
				return -1
			}
			l := c.in.Line()
			c.ahead = append(c.ahead, c.trace(l.N, c.id(l), l.Input))
		}
		if fits(c.ahead[i]) {
			return i
		}
	}
	return -1
}

// take removes the record at index at. The records before it have no line.
func (c *collation) take(at int) {
	for _, t := range c.ahead[:at] {
		c.missing(t)
	}
	c.ahead = c.ahead[at+1:]
}

// missing reports a record without a line. Only a job that is not Completed may have such
// records.
func (c *collation) missing(t trace) {
	if c.complete && !c.tired() {
		c.v.found.differ(c.inName, t.line, "the record has no line in the output")
	}
}

// rest checks the part after modelInput: an answer or an error, the end of the line, and
// nothing else.
func (c *collation) rest(tail []byte) {
	if len(tail) == 0 || tail[len(tail)-1] != '\n' {
		c.odd("the line is cut short")
		return
	}
	if value, ok := bytes.CutPrefix(tail, []byte(modelOutput)); ok {
		c.answer(bytes.TrimSuffix(value, []byte("}\n")))
		return
	}
	// Not an answer, so it must be an error; it is encoded again and compared, which also
	// checks its spacing.
	var e struct {
		Error *batholith.RecordError `json:"error"`
	}
	if json.Unmarshal(append([]byte("{"), bytes.TrimPrefix(tail, []byte(","))...), &e) == nil && e.Error != nil {
		if want := jsonl.AppendError(nil, nil, nil, e.Error); bytes.HasSuffix(want, tail) {
			c.errors++
			return
		}
	}
	c.odd("neither modelOutput nor error follows modelInput as it should")
}

// odd reports a line that is neither an answer nor an error.
func (c *collation) odd(what string) {
	c.v.found.differ(c.outName, c.lines, "%s", what)
	c.unread++
}

// answer checks one modelOutput and adds its token counts.
func (c *collation) answer(value []byte) {
	value = c.sourced(value)
	t, ok := dialect.TokensIn(value)
	if !ok && !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		c.odd("modelOutput is not a JSON value")
		return
	}
	c.answers++
	if !ok {
		c.untold++
	}
	c.tokens = c.tokens.Add(t)
}

// sourced removes the optional member that follows an answer and names its origin (see
// jsonl.AppendSourced).
func (c *collation) sourced(value []byte) []byte {
	loose := []json.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	// The member may also be part of the model's answer; then the whole value is valid JSON.
	at := bytes.LastIndex(value, []byte(jsonl.SourceMember))
	if at < 0 || jsontext.Value(value).IsValid(loose...) { // it is part of the answer
		return value
	}
	var from struct {
		Backend string `json:"backend"`
		Model   string `json:"model"`
	}
	if err := json.Unmarshal(value[at+len(jsonl.SourceMember)-1:], &from, json.RejectUnknownMembers(true)); err != nil {
		return value
	}
	if line := jsonl.AppendSourced(nil, nil, nil, value[:at], &batholith.Source{Backend: from.Backend, Model: from.Model}); !bytes.HasSuffix(line, append(value[at:len(value):len(value)], "}\n"...)) {
		return value // Batholith would have written it differently
	}
	return value[:at]
}

// reasonOf returns the reason of a jsonl error without the line number, which is always 0 here.
func reasonOf(err error) string {
	var p *jsonl.Problem
	if errors.As(err, &p) {
		return p.Reason
	}
	return err.Error()
}
