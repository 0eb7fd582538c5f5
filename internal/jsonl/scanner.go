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

// MaxLineBytes is the longest line that can hold a record: the largest modelInput and room for its neighbours.
const MaxLineBytes = batholith.MaxInputBytes + 64<<10

// Line is a line of an input file that holds a record.
type Line struct {
	N      int64  // line number in the file, from 1; blank lines count
	Offset int64  // of its first byte in the file
	Length int    // bytes without the newline
	ID     []byte // recordId without quotes and escapes; nil when the line has none
	Input  []byte // modelInput as it stands in the file
}

// Problem is a line that holds no record though it is not blank.
type Problem struct {
	Line   int64  // line number in the file, from 1
	Offset int64  // of the line's first byte in the file
	Reason string // what is wrong, where, and what is expected
}

func (p *Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Reason) }

// Column is the byte of the line, from 1, that the reason names; 0 when it concerns the line as a whole.
func (p *Problem) Column() int {
	digits, _, ok := strings.Cut(strings.TrimPrefix(p.Reason, "column "), ":")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0
	}
	return n
}

// Scanner reads an input file line by line. Lines end at \n and nowhere else; a \r before it is white space, as is a line
// of white space only, which is passed over. A byte order mark at the start is not part of the first line.
//
// A line allocates nothing. The buffer grows to the longest line, which is MaxLineBytes at most: a longer one is passed
// over and reported.
type Scanner struct {
	r       io.Reader
	buf     []byte
	from    int // buf[from:to] is read and not yet handed out
	to      int
	seen    int   // buf[from:seen] has no newline
	offset  int64 // of buf[from] in the file
	until   int64 // a line that begins there or later is another's
	ended   bool  // r has no more
	err     error // of r
	line    Line
	problem *Problem
	id      []byte // scratch for an id with escapes
}

// startBuffer is enough for some hundred records; the copying when it wraps costs little then.
const startBuffer = 256 << 10

// mostKept is the largest buffer that is used for another file.
const mostKept = 1 << 20

// NewScanner returns a scanner of the file that r reads from its start.
func NewScanner(r io.Reader) *Scanner {
	s := &Scanner{}
	s.begin(r, 0, math.MaxInt64)
	return s
}

// begin makes s read the lines that begin before until from r, whose first byte is number at of the file. The buffer is used on,
// unless one long line has made it large.
func (s *Scanner) begin(r io.Reader, at, until int64) {
	buf := s.buf
	if len(buf) == 0 || len(buf) > mostKept {
		buf = make([]byte, startBuffer)
	}
	*s = Scanner{r: r, buf: buf, offset: at, until: until, id: s.id}
}

// pass passes over the rest of a line that began before, with its newline. It leaves the line unnumbered.
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

// Next moves on to the next line that is not blank, and tells whether there is one.
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

// Line is the line that Next moved to; of a bad one only N, Offset and Length are set. It holds until the next call of Next.
func (s *Scanner) Line() Line { return s.line }

// Problem is what is wrong with the line that Next moved to, or nil. Scanning goes on after a bad line.
func (s *Scanner) Problem() *Problem { return s.problem }

// Err is the reader's error that ended the scan early, or nil when the file was read to its end.
func (s *Scanner) Err() error { return s.err }

// raw takes the next line from the buffer, without its newline, and numbers it.
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

// take hands out buf[from:end], which gap bytes separate from the next line.
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

// fill reads once more into the buffer, after making room.
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
	// A reader that gives neither bytes nor an error is tried again a few times only.
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

// end notes that the reader has no more, and why, unless that is the end of the file. A torn last line is not handed out when the
// reader failed: it may go on in bytes that did not arrive.
func (s *Scanner) end(err error) {
	s.ended = true
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
	}
}

// overlong passes over the rest of a line that is too long and makes it a problem. It keeps none of it.
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
	s.problem = &Problem{s.line.N, s.line.Offset, longLine(length)}
	return s.err == nil
}

// longLine is the reason against a line that is longer than MaxLineBytes.
func longLine(length int64) string {
	return fmt.Sprintf("the line is %s bytes long; one modelInput may have %s",
		grouped(length), grouped(batholith.MaxInputBytes))
}

// parse finds the members of a line that is not blank.
func (s *Scanner) parse(raw []byte) {
	m, reason := find(raw)
	if reason != "" {
		s.problem = &Problem{s.line.N, s.line.Offset, reason}
		return
	}
	s.line.Input = m.input.of(raw)
	if !m.id.absent() {
		s.line.ID, s.id = unquote(raw, m.id, s.id)
	}
}

// Parse finds the members of one line again. The id is nil when the line has none. Both are parts of line, save an id
// with escapes. A line that holds no record is a [*Problem] of line 0.
func Parse(line []byte) (id, input []byte, err error) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	m, reason := find(line)
	if reason != "" {
		return nil, nil, &Problem{Reason: reason}
	}
	if !m.id.absent() {
		id, _ = unquote(line, m.id, nil)
	}
	return id, m.input.of(line), nil
}

// find is the whole verdict on a line.
func find(line []byte) (m members, reason string) {
	if len(line) > MaxLineBytes {
		return m, longLine(int64(len(line)))
	}
	m, ok := check(line)
	if !ok {
		if m, reason = examine(line); reason != "" {
			return m, reason
		}
	}
	return m, m.tooLong()
}

// unquote returns the text of the JSON string at s: a part of line where it can, else written into scratch, which it
// returns as well. A string that check let through and that has half of a surrogate pair was refused before.
func unquote(line []byte, s span, scratch []byte) (text, kept []byte) {
	inner := line[s.from+1 : s.to-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, scratch
	}
	scratch, _ = jsontext.AppendUnquote(scratch[:0], s.of(line))
	return scratch, scratch
}
