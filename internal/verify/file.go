package verify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/words"
)

// totals are what the files of a job have, counted anew.
type totals struct {
	records, lines, answers, errors int64
	tokens                          batholith.Tokens
	untold                          int64 // answers that do not tell their tokens
	unread                          int64 // lines that are neither answer nor error
	skipped                         bool  // a file was not read
}

// file checks one input file and its output. An error means that this could not be found out; what differs is noted.
func (v *checker) file(ctx context.Context, m batholith.Manifest, n int, f batholith.ManifestFile, all *totals) error {
	_, below, ok := strings.Cut(f.Output, "/"+jobID(m)+"/")
	if !ok {
		all.skipped = true
		v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].output %q is not below the job's own prefix", n, f.Output)
		return nil
	}
	if name, ok := strings.CutSuffix(below, ".out"); ok {
		if _, why := batholith.RefuseNames("", []string{name}); why != "" {
			all.skipped = true
			v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].output %q is no name of an output: %s", n, f.Output, why)
			return nil
		}
	}
	if v.o.Dir == "" && !strings.HasPrefix(f.Input, "s3://") {
		all.skipped = true
		v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].input %q is not in S3, as the job is", n, f.Input)
		return nil
	}
	in, err := v.stream(ctx, f.Input)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := v.stream(ctx, v.output(m, below))
	if err != nil {
		return err
	}
	defer out.Close()
	c := newCollation(v, m, n, in, out)
	if in.gone || out.gone {
		all.skipped = true
		return nil
	}
	if err := c.run(); err != nil {
		return err
	}
	v.compare(in, "input", f.InputBytes, f.InputCRC32C)
	v.compare(out, "output", f.Bytes, f.CRC32C)
	if f.Records != c.records {
		v.found.differ(in.name, 0, "the input has %s; the manifest says %d", words.Plural(c.records, "record"), f.Records)
	}
	if f.Lines != c.lines {
		v.found.differ(out.name, 0, "the output has %s; the manifest says %d", words.Plural(c.lines, "line"), f.Lines)
	}
	all.records += c.records
	all.lines += c.lines
	all.unread += c.unread
	all.answers += c.answers
	all.errors += c.errors
	all.tokens, all.untold = all.tokens.Add(c.tokens), all.untold+c.untold
	return nil
}

// compare notes where a file is not as the manifest says.
func (v *checker) compare(s *stream, what string, bytes int64, sum string) {
	if sum == "" {
		v.found.InputSums = false // of a manifest of version 1, or a plan of that time
	}
	switch is := fmt.Sprintf("%08x", s.sum); {
	case sum != "" && s.bytes != bytes:
		v.found.differ(s.name, 0, "the %s has %d bytes; the manifest says %d", what, s.bytes, bytes)
	case sum != "" && is != sum:
		v.found.differ(s.name, 0, "the %s has the CRC-32C %s; the manifest says %s", what, is, sum)
	}
}

// stream is a file that is read once, with the account of what passed.
type stream struct {
	ctx   context.Context
	name  string
	in    io.ReadCloser
	gone  bool // it is not there, which was noted
	bytes int64
	sum   uint32
	read  func(n int)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stream opens a file. One that is missing is a difference.
func (v *checker) stream(ctx context.Context, uri string) (*stream, error) {
	s := &stream{ctx: ctx, name: uri, read: v.read}
	if path, err := files.PathOf(uri); err == nil {
		s.name = path
	}
	in, err := v.o.Open(ctx, uri)
	var other *files.NotAFileError
	if errors.As(err, &other) {
		v.found.differ(s.name, 0, "it is %s, not a file", other.Kind)
		s.gone = true
		return s, nil
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, batholith.ErrNoObject) || errors.Is(err, batholith.ErrNoBucket) {
		v.found.differ(s.name, 0, "it is not there")
		s.gone = true
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.in = in
	return s, nil
}

// Read passes bytes on and keeps the account of them.
func (s *stream) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.in.Read(p)
	s.sum = crc32.Update(s.sum, castagnoli, p[:n])
	s.bytes += int64(n)
	s.read(n)
	return n, err
}

// Close ends the reading.
func (s *stream) Close() error {
	if s.in == nil {
		return nil
	}
	return s.in.Close()
}

// mostLine bounds an output line: an answer may be longer than its input, but not without end.
const mostLine = 8 * jsonl.MaxLineBytes

// outputLines reads an output file line by line.
type outputLines struct {
	r    *bufio.Reader
	long []byte
}

// next returns the next line with its newline, which is missing at the end of a torn file, or io.EOF. It holds until the next call.
func (l *outputLines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == nil {
		return line, nil
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return line, nil
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(l.long) > mostLine {
			return nil, fmt.Errorf("a line has more than %d bytes", mostLine)
		}
		line, err = l.r.ReadSlice('\n')
		l.long = append(l.long, line...)
	}
	if err == nil || errors.Is(err, io.EOF) && len(l.long) > 0 {
		return l.long, nil
	}
	return nil, err
}
