package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// MaxLineBytes is the longest line that is accepted, in bytes: the largest modelInput plus 64
// KiB for the other members.
const MaxLineBytes = batholith.MaxInputBytes + 64<<10

// Line is a line of an input file that contains a record.
type Line struct {
	N      int64  // line number in the file, from 1; blank lines count
	Offset int64  // byte offset of the line in the file
	Length int    // length in bytes, without the newline
	ID     []byte // recordId, unquoted; nil: the line has none
	Input  []byte // modelInput exactly as in the file
	URL    string // of a line in OpenAI's form: one of batholith.Endpoints; "": the line has none
}

// Problem is a line that is neither blank nor a valid record.
type Problem struct {
	Line   int64  // line number in the file, from 1
	Offset int64  // byte offset of the line in the file
	Reason string // what is wrong, at which column, and what is expected
}

// Error returns line number and reason.
func (p *Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Reason) }

// Column returns the column that the reason names, in bytes from 1; 0: the reason concerns the
// whole line.
func (p *Problem) Column() int {
	digits, _, ok := strings.Cut(strings.TrimPrefix(p.Reason, "column "), ":")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0
	}
	return n
}

// Scanner reads an input file line by line. Lines end at \n only; a \r before it is white
// space. Lines of white space are skipped. A byte order mark at the start of the file is
// ignored.
//
// It allocates nothing per line. The buffer grows up to MaxLineBytes; a longer line is skipped
// and reported as a Problem.
type Scanner struct {
	r       io.Reader
	buf     []byte
	from    int // buf[from:to] is unprocessed input
	to      int
	seen    int   // buf[from:seen] contains no newline
	offset  int64 // file offset of buf[from]
	until   int64 // lines that begin at this offset or later belong to another scanner
	ended   bool  // r has no more bytes
	err     error // error of r other than io.EOF
	line    Line
	problem *Problem
	id      []byte // buffer for an id with escapes
	lines   batholith.Lines
}

// startBuffer is the initial buffer size in bytes: room for some hundred records, so moving the
// rest of a line to the front is rare.
const startBuffer = 256 << 10

// mostKept is the largest buffer in bytes that is kept for the next file.
const mostKept = 1 << 20

// NewScanner returns a scanner for a file of Bedrock's lines that r reads from its start.
func NewScanner(r io.Reader) *Scanner { return NewScannerOf(r, batholith.LinesBedrock) }

// NewScannerOf returns a scanner for a file of lines in a form.
func NewScannerOf(r io.Reader, lines batholith.Lines) *Scanner {
	s := &Scanner{}
	s.begin(r, 0, math.MaxInt64, lines)
	return s
}

// begin prepares s for the lines that begin before offset until. r starts at offset at. The
// buffer is reused, unless a long line has made it larger than mostKept.
func (s *Scanner) begin(r io.Reader, at, until int64, lines batholith.Lines) {
	buf := s.buf
	if len(buf) == 0 || len(buf) > mostKept {
		buf = make([]byte, startBuffer)
	}
	*s = Scanner{r: r, buf: buf, offset: at, until: until, id: s.id, lines: lines}
}

// pass skips the rest of a line that began before the range. The line is not counted.
func (s *Scanner) pass() {
	for s.offset < s.until {
		rest := s.buf[s.from:s.to]
		n := bytes.IndexByte(rest, '\n') + 1
		if n > 0 {
			s.from, s.offset = s.from+n, s.offset+int64(n)
			s.seen = s.from
			return
		}
		s.offset += int64(len(rest))
		s.from, s.to, s.seen = 0, 0, 0
		if s.ended {
			return
		}
		s.fill()
	}
}

// Next advances to the next line that is not blank. It returns false at the end or after an
// error of the reader.
func (s *Scanner) Next() bool {
	s.problem = nil
	for {
		raw, ok := s.raw()
		if !ok {
			return false
		}
		if s.problem != nil {
			return true
		}
		if space(raw, 0) == len(raw) {
			continue
		}
		s.parse(raw)
		return true
	}
}

// Line returns the current line. If Problem is not nil, only N, Offset and Length are set. The
// slices are valid until the next call of Next.
func (s *Scanner) Line() Line { return s.line }

// Problem returns what is wrong with the current line, or nil. Scanning continues after a
// problem.
func (s *Scanner) Problem() *Problem { return s.problem }

// Err returns the reader's error that ended the scan, or nil if the end of the file was
// reached.
func (s *Scanner) Err() error { return s.err }

// raw returns the next line without its newline, and counts it.
func (s *Scanner) raw() ([]byte, bool) {
	if s.offset >= s.until {
		return nil, false
	}
	for {
		if i := bytes.IndexByte(s.buf[s.seen:s.to], '\n'); i >= 0 {
			return s.take(s.seen+i, 1), true
		}
		s.seen = s.to
		switch {
		case s.ended && (s.from == s.to || s.err != nil):
			return nil, false
		case s.ended:
			return s.take(s.to, 0), true
		case s.to-s.from > MaxLineBytes:
			return nil, s.overlong()
		}
		s.fill()
	}
}

// take consumes buf[from:end] and gap further bytes, and returns the former.
func (s *Scanner) take(end, gap int) []byte {
	raw := s.buf[s.from:end]
	if s.offset == 0 && bytes.HasPrefix(raw, byteOrderMark) {
		raw = raw[len(byteOrderMark):]
		s.offset += int64(len(byteOrderMark))
	}
	s.line = Line{N: s.line.N + 1, Offset: s.offset, Length: len(raw)}
	s.offset += int64(len(raw) + gap)
	s.from = end + gap
	s.seen = s.from
	return raw
}

var byteOrderMark = []byte{0xef, 0xbb, 0xbf}

// fill reads once into the buffer. It makes room first.
func (s *Scanner) fill() {
	if s.from > 0 && s.to > len(s.buf)/2 {
		copy(s.buf, s.buf[s.from:s.to])
		s.to -= s.from
		s.seen -= s.from
		s.from = 0
	}
	if s.to == len(s.buf) {
		grown := make([]byte, min(2*len(s.buf), MaxLineBytes+startBuffer))
		copy(grown, s.buf[:s.to])
		s.buf = grown
	}
	// io.Reader allows 0 bytes without an error; give up after 100 times.
	for range 100 {
		n, err := s.r.Read(s.buf[s.to:])
		s.to += n
		if err != nil {
			s.end(err)
			return
		}
		if n > 0 {
			return
		}
	}
	s.end(io.ErrNoProgress)
}

// end records why the reader ended. After an error the last, unterminated line is not returned:
// its rest may be missing.
func (s *Scanner) end(err error) {
	s.ended = true
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
	}
}

// overlong skips the rest of a line that is too long and reports it. Nothing of it is kept.
func (s *Scanner) overlong() bool {
	s.line = Line{N: s.line.N + 1, Offset: s.offset}
	end := -1
	length := int64(0)
	for end < 0 && !s.ended {
		length += int64(s.to - s.from)
		s.from, s.to = 0, 0
		s.fill()
		end = bytes.IndexByte(s.buf[:s.to], '\n')
	}
	gap := 1
	if end < 0 {
		end, gap = s.to, 0
	}
	length += int64(end)
	s.from, s.seen = end+gap, end+gap
	s.offset += length + int64(gap)
	s.line.Length = int(length)
	s.problem = &Problem{s.line.N, s.line.Offset, longLine(length, s.lines)}
	return s.err == nil
}

// longLine is the reason for a line longer than MaxLineBytes.
func longLine(length int64, lines batholith.Lines) string {
	return fmt.Sprintf("the line is %s bytes long; one %s may have %s",
		grouped(length), inputName(lines), grouped(batholith.MaxInputBytes))
}

// parse finds the members of a line that is not blank.
func (s *Scanner) parse(raw []byte) {
	m, reason := find(raw, s.lines)
	if reason != "" {
		s.problem = &Problem{s.line.N, s.line.Offset, reason}
		return
	}
	s.line.Input, s.line.URL = m.input.of(raw), m.endpoint(raw)
	if !m.id.absent() {
		s.line.ID, s.id = unquote(raw, m.id, s.id)
	}
}

// Parse finds the members of a single line in Bedrock's form. id is nil if the line has none. Both are slices of
// line, unless the id contains escapes. If the line is not a record, the error is a [*Problem]
// with line number 0.
func Parse(line []byte) (id, input []byte, err error) { return ParseOf(line, batholith.LinesBedrock) }

// ParseOf is Parse for a line in a form: of OpenAI's lines, id is custom_id and input is body.
func ParseOf(line []byte, lines batholith.Lines) (id, input []byte, err error) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	m, reason := find(line, lines)
	if reason != "" {
		return nil, nil, &Problem{Reason: reason}
	}
	if !m.id.absent() {
		id, _ = unquote(line, m.id, nil)
	}
	return id, m.input.of(line), nil
}

// find decides about a line: with check, then with examine if check does not accept it.
func find(line []byte, lines batholith.Lines) (m members, reason string) {
	if len(line) > MaxLineBytes {
		return m, longLine(int64(len(line)), lines)
	}
	m, ok := check(line, lines)
	if !ok {
		if m, reason = examine(line, lines); reason != "" {
			return m, reason
		}
	}
	return m, m.tooLong()
}

// unquote returns the text of the JSON string at s: a slice of line if possible, otherwise
// decoded into scratch. kept is scratch for the next call. Lone surrogates were rejected
// before.
func unquote(line []byte, s span, scratch []byte) (text, kept []byte) {
	inner := line[s.from+1 : s.to-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, scratch
	}
	scratch, _ = jsontext.AppendUnquote(scratch[:0], s.of(line))
	return scratch, scratch
}
