package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/words"
)

// errors opens the object with the failed records of a file whose output is in OpenAI's lines. nil: there is none.
func (v *checker) errors(ctx context.Context, m batholith.Manifest, n int, f batholith.ManifestFile) (*stream, error) {
	if f.Errors == nil {
		return nil, nil
	}
	if strings.TrimSuffix(f.Errors.Output, batholith.ErrorSuffix) != strings.TrimSuffix(f.Output, batholith.OutputSuffix) {
		v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].errors.output %q is not beside the output %q", n, f.Errors.Output, f.Output)
		return &stream{gone: true}, nil
	}
	_, below, _ := strings.Cut(f.Errors.Output, "/"+jobID(m)+"/")
	return v.stream(ctx, v.output(m, below))
}

// runOpenAI compares an input with an output in OpenAI's lines: answers in one object, errors in another, both in the order of the input. The
// line of each record begins with bytes of its own, so that the next line of one of the two objects must be its line. failed is nil if there
// are no errors.
func (c *collation) runOpenAI(failed *stream, of *batholith.ManifestErrors) error {
	answers, errs := openAILines{outputLines: c.out, name: c.outName}, openAILines{}
	if failed != nil {
		errs = openAILines{outputLines: outputLines{r: bufio.NewReaderSize(failed, 256<<10)}, name: failed.name}
	}
	answers.advance()
	errs.advance()
	for record := int64(0); c.advance(); record++ {
		if c.tired() {
			continue
		}
		l := c.in.Line()
		c.head = jsonl.OpenAIHead(c.head[:0], c.job, batholith.RecordKey{File: c.file, Record: record}, c.id(l))
		switch {
		case bytes.HasPrefix(answers.line, c.head):
			c.openAIAnswer(&answers)
			answers.advance()
		case bytes.HasPrefix(errs.line, c.head):
			c.openAIError(&errs)
			errs.advance()
		default:
			// The id is null if the input could not be read again when the job ended.
			c.head = jsonl.OpenAIHead(c.head[:0], c.job, batholith.RecordKey{File: c.file, Record: record}, nil)
			if !bytes.HasPrefix(errs.line, c.head) {
				c.missing(trace{line: l.N})
				continue
			}
			c.openAIError(&errs)
			errs.advance()
		}
	}
	if err := c.in.Err(); err != nil {
		return fmt.Errorf("read %s: %w", c.inName, err)
	}
	for _, rest := range []*openAILines{&answers, &errs} {
		for ; rest.line != nil; rest.advance() {
			c.unread++
			if !c.tired() {
				c.v.found.differ(rest.name, rest.n, "it is the line of no record, is out of order, or is not written as Batholith writes it")
			}
		}
		if rest.err != nil {
			return fmt.Errorf("read %s: %w", rest.name, rest.err)
		}
	}
	c.lines = answers.n + errs.n - c.untried
	if of != nil {
		c.v.compare(failed, "error output", of.Bytes, of.CRC32C)
		if of.Lines != errs.n {
			c.v.found.differ(failed.name, 0, "the errors have %s; the manifest says %d", words.Plural(errs.n, "line"), of.Lines)
		}
		if of.Untried != c.untried {
			c.v.found.differ(failed.name, 0, "the errors have %s of records that were never tried; the manifest says %d", words.Plural(c.untried, "line"), of.Untried)
		}
	}
	return nil
}

// openAILines reads one of the two objects.
type openAILines struct {
	outputLines
	name string
	line []byte // nil: there are no more
	n    int64  // number of lines so far
	err  error  // that ended the reading
}

// advance reads the next line.
func (l *openAILines) advance() {
	l.line = nil
	if l.r == nil || l.err != nil {
		return
	}
	line, err := l.next()
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		l.err = err
	default:
		l.line = line
		l.n++
	}
}

// openAITail is what follows the head of a line.
type openAITail struct {
	Response struct {
		Status    int            `json:"status_code"`
		RequestID string         `json:"request_id"`
		Body      jsontext.Value `json:"body"`
	} `json:"response"`
	Error *struct{} `json:"error"`
}

// tail reads a line. what says what is wrong with it.
func (l *openAILines) tail() (t openAITail, what string) {
	if !bytes.HasSuffix(l.line, []byte("\n")) {
		return t, "the line is cut short"
	}
	if err := json.Unmarshal(l.line, &t, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return t, "it is not JSON, or not of the form of OpenAI's output lines"
	}
	return t, ""
}

// openAIAnswer checks the line of an answer and adds its token counts.
func (c *collation) openAIAnswer(l *openAILines) {
	t, what := l.tail()
	if what == "" && (t.Response.Status != 200 || t.Error != nil) {
		what = "it is no answer; errors are in the file " + batholith.ErrorSuffix
	}
	if what != "" {
		c.v.found.differ(l.name, l.n, "%s", what)
		c.unread++
		return
	}
	tokens, ok := dialect.TokensIn(t.Response.Body)
	c.answers++
	if !ok {
		c.untold++
	}
	c.tokens = c.tokens.Add(tokens)
}

// openAIError checks the line of a record that failed or was never tried: it is written again and compared, byte for byte.
func (c *collation) openAIError(l *openAILines) {
	after := l.line[len(c.head):]
	if c.never != nil && bytes.Equal(after, c.never) {
		c.untried++
		return
	}
	t, what := l.tail()
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if what == "" && json.Unmarshal(t.Response.Body, &body, jsontext.AllowInvalidUTF8(true)) == nil {
		want := jsonl.AppendError(nil, nil, nil, &batholith.RecordError{Code: t.Response.Status, Message: body.Error.Message})
		want, err := jsonl.AppendOpenAI(nil, c.job, batholith.RecordKey{}, want)
		from := []byte(`,"body":`)
		if err == nil && bytes.HasSuffix(l.line, want[bytes.Index(want, from):]) && bytes.HasPrefix(after, strconv.AppendInt([]byte(`{"status_code":`), int64(t.Response.Status), 10)) {
			c.errors++
			return
		}
		what = "the error is not written as Batholith writes it"
	}
	c.v.found.differ(l.name, l.n, "%s", what)
	c.unread++
}
