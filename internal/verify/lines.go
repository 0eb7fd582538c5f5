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
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/words"
)

const (
	// lookAhead is how many records a line that does not fit is looked for among: enough for the gaps of a job that was stopped.
	lookAhead = 1 << 16
	// mostPerFile is how many differences of one file are worth counting; the rest of its lines is not compared.
	mostPerFile = 1000
)

// collation goes through an input file and its output together. As long as line and record agree, and that is always, it compares
// bytes with bytes. Where they do not, it reads records ahead to find the one that the line stands for, and knows of each no more
// than its hashes until it has caught up.
type collation struct {
	v        *checker
	job      string
	file     int
	complete bool // every record must have a line
	in       *jsonl.Scanner
	inName   string
	out      outputLines
	outName  string
	seed     maphash.Seed

	ahead  []trace // records that were read and have no line yet, oldest first
	head   []byte  // scratch: what a line must begin with
	before int64   // differences when this file began

	records, lines, answers, errors int64
	tokens                          batholith.Tokens
	untold                          int64 // answers that do not tell their tokens
	unread                          int64 // lines that are neither answer nor error
}

// trace is what is known of a record that was read ahead.
type trace struct {
	line      int64
	id, input uint64
}

func newCollation(v *checker, m batholith.Manifest, file int, in, out *stream) *collation {
	return &collation{v: v, job: jobID(m), file: file, complete: m.Batholith.Status == batholith.StatusCompleted,
		in: jsonl.NewScanner(in), inName: in.name, out: outputLines{r: bufio.NewReaderSize(out, 256<<10)}, outName: out.name,
		seed: maphash.MakeSeed(), before: v.found.Count}
}

// run reads both files to their ends, so that their sums are whole.
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

// tired tells whether this file has too many differences to go on, and says so once.
func (c *collation) tired() bool {
	n := c.v.found.Count - c.before
	if n == mostPerFile {
		c.v.found.differ(c.outName, c.lines, "there are too many differences; the rest of the lines is not compared")
	}
	return n >= mostPerFile
}

// advance moves on to the next record of the input. What is no record was refused by validation, so it came later.
func (c *collation) advance() bool {
	for c.in.Next() {
		if p := c.in.Problem(); p != nil {
			if !c.tired() {
				c.v.found.differ(c.inName, p.Line, "it is no record: %s", p.Reason)
			}
			continue
		}
		c.records++
		return true
	}
	return false
}

// id is the recordId that the output has for a line of the input.
func (c *collation) id(l jsonl.Line) []byte {
	if l.ID != nil {
		return l.ID
	}
	return []byte(jsonl.MakeID(c.job, c.file, l.N))
}

// modelOutput is what follows the head of an answer; it is in jsonl's hands how a line is written.
const modelOutput = `,"modelOutput":`

// begins writes what the line of a record must begin with.
func (c *collation) begins(id, input []byte) []byte {
	c.head = jsonl.AppendOutput(c.head[:0], id, input, nil)
	return c.head[:len(c.head)-len(modelOutput)-len("}\n")]
}

// line compares one output line with the record whose turn it is.
func (c *collation) line(line []byte) {
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
		c.ahead = append(c.ahead, c.trace(l.N, id, l.Input))
	}
	c.search(line)
}

func (c *collation) trace(n int64, id, input []byte) trace {
	return trace{n, maphash.Bytes(c.seed, id), maphash.Bytes(c.seed, input)}
}

// search finds the record that a line stands for among those that follow.
func (c *collation) search(line []byte) {
	id, input, err := jsonl.Parse(line)
	if err != nil {
		c.odd("it is no output line: " + reasonOf(err))
		c.ahead = c.ahead[1:] // it stands in the place of that record
		return
	}
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
	head := c.begins(id, input)
	if !bytes.HasPrefix(line, head) {
		c.odd("the line is not written as Batholith writes it")
		return
	}
	c.rest(line[len(head):])
}

// find returns the place of the first record ahead that fits, reading on as far as may be, or -1.
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

// take lets go of the record at a place; those before it have no line.
func (c *collation) take(at int) {
	for _, t := range c.ahead[:at] {
		c.missing(t)
	}
	c.ahead = c.ahead[at+1:]
}

// missing notes a record without a line, which only a job that is not Completed may have.
func (c *collation) missing(t trace) {
	if c.complete && !c.tired() {
		c.v.found.differ(c.inName, t.line, "the record has no line in the output")
	}
}

// rest checks what follows modelInput: an answer or an error, the end of the line, and nothing else.
func (c *collation) rest(tail []byte) {
	if len(tail) == 0 || tail[len(tail)-1] != '\n' {
		c.odd("the line is cut short")
		return
	}
	if value, ok := bytes.CutPrefix(tail, []byte(modelOutput)); ok {
		c.answer(bytes.TrimSuffix(value, []byte("}\n")))
		return
	}
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

// odd notes a line that is neither answer nor error.
func (c *collation) odd(what string) {
	c.v.found.differ(c.outName, c.lines, "%s", what)
	c.unread++
}

// answer checks one modelOutput and adds the tokens that it tells.
func (c *collation) answer(value []byte) {
	value = c.sourced(value)
	var u told
	options := []json.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	if err := json.Unmarshal(value, &u, options...); err != nil {
		u = told{}
		if !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			c.odd("modelOutput is no JSON value")
			return
		}
	}
	c.answers++
	t, ok := u.tokens()
	if !ok {
		c.untold++
	}
	c.tokens = c.tokens.Add(t)
}

// sourced is an answer without the member behind it that names where it came from, where there is one.
func (c *collation) sourced(value []byte) []byte {
	loose := []json.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	at := bytes.LastIndex(value, []byte(jsonl.SourceMember))
	if at < 0 || jsontext.Value(value).IsValid(loose...) { // it is a part of the answer
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
		return value // it is not written as Batholith writes it
	}
	return value[:at]
}

// reasonOf is what jsonl says of a line, without the number that it does not know.
func reasonOf(err error) string {
	var p *jsonl.Problem
	if errors.As(err, &p) {
		return p.Reason
	}
	return err.Error()
}

// told is what answers of the body families say of their tokens, each in its own words.
type told struct {
	Usage struct {
		Anthropic     *int64 `json:"input_tokens"`
		AnthropicRead int64  `json:"cache_read_input_tokens"`
		AnthropicOut  int64  `json:"output_tokens"`
		Converse      *int64 `json:"inputTokens"`
		ConverseRead  int64  `json:"cacheReadInputTokens"`
		NovaRead      int64  `json:"cacheReadInputTokenCount"`
		ConverseOut   int64  `json:"outputTokens"`
		OpenAI        *int64 `json:"prompt_tokens"`
		OpenAIOut     int64  `json:"completion_tokens"`
	} `json:"usage"`
	Titan   *int64 `json:"inputTextTokenCount"`
	Results []struct {
		TokenCount int64 `json:"tokenCount"`
	} `json:"results"`
	Llama    *int64 `json:"prompt_token_count"`
	LlamaOut int64  `json:"generation_token_count"`
}

// tokens are those that the job counted for the answer: the input with what a cache held. Counts that the job did not believe are 0.
func (t told) tokens() (batholith.Tokens, bool) {
	u, n := t.Usage, batholith.BelievedTokens
	switch {
	case u.Anthropic != nil:
		return batholith.Tokens{Input: n(n(*u.Anthropic) + n(u.AnthropicRead)), Output: n(u.AnthropicOut)}, true
	case u.Converse != nil:
		return batholith.Tokens{Input: n(n(*u.Converse) + n(u.ConverseRead) + n(u.NovaRead)), Output: n(u.ConverseOut)}, true
	case u.OpenAI != nil:
		return batholith.Tokens{Input: n(*u.OpenAI), Output: n(u.OpenAIOut)}, true
	case t.Titan != nil:
		sum := batholith.Tokens{Input: n(*t.Titan)}
		for _, r := range t.Results {
			sum = sum.Add(batholith.Tokens{Output: n(r.TokenCount)})
		}
		return sum, true
	case t.Llama != nil:
		return batholith.Tokens{Input: n(*t.Llama), Output: n(t.LlamaOut)}, true
	}
	return batholith.Tokens{}, false
}
