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

// totals are the recomputed sums over all files of a job.
type totals struct {
	records, lines, answers, errors int64
	tokens                          batholith.Tokens
	untold                          int64 // answers without token counts
	withoutInput                    int64
	unread                          int64 // lines that are neither an answer nor an error
	skipped                         bool  // a file was not read
}

// file checks one input file and its output. Mismatches are added to v.found; an error means
// that the check was not possible.
func (v *checker) file(ctx context.Context, m batholith.Manifest, n int, f batholith.ManifestFile, all *totals) error {
	// A manifest that was edited might name files outside the job's prefix; they are not read.
	_, below, ok := strings.Cut(f.Output, "/"+jobID(m)+"/")
	if !ok {
		all.skipped = true
		v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].output %q is not below the job's own prefix", n, f.Output)
		return nil
	}
	if name, ok := strings.CutSuffix(below, ".out"); ok {
		if _, why := batholith.RefuseNames("", []string{name}); why != "" {
			all.skipped = true
			v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].output %q is not a valid output name: %s", n, f.Output, why)
			return nil
		}
	}
	if v.o.Dir == "" && !strings.HasPrefix(f.Input, "s3://") {
		all.skipped = true
		v.found.differ(v.output(m, batholith.ManifestName), 0, "files[%d].input %q is not in S3, as the job is", n, f.Input)
		return nil
	}
	// Both files are read in parallel, line by line.
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
	failed, err := v.errors(ctx, m, n, f)
	if err != nil {
		return err
	}
	defer failed.Close()
	c := newCollation(v, m, n, in, out)
	if in.gone || out.gone || failed != nil && failed.gone {
		all.skipped = true
		return nil
	}
	// Checksums are complete only after the files were read to their ends.
	if m.Batholith.OutputLines == batholith.LinesOpenAI {
		err = c.runOpenAI(failed, f.Errors)
	} else {
		err = c.run()
	}
	if err != nil {
		return err
	}
	v.compare(in, "input", f.InputBytes, f.InputCRC32C)
	v.compare(out, "output", f.Bytes, f.CRC32C)
	if f.Records != c.records {
		v.found.differ(in.name, 0, "the input has %s; the manifest says %d", words.Plural(c.records, "record"), f.Records)
	}
	if lines := f.Lines + f.ErrorLines(); lines != c.lines+c.untried {
		v.found.differ(out.name, 0, "the output has %s; the manifest says %d", words.Plural(c.lines+c.untried, "line"), lines)
	}
	// The totals are compared with the manifest in sum.
	all.records += c.records
	all.lines += c.lines
	all.unread += c.unread
	all.answers += c.answers
	all.errors += c.errors
	all.withoutInput += c.withoutInput
	all.tokens, all.untold = all.tokens.Add(c.tokens), all.untold+c.untold
	return nil
}

// compare checks size and CRC-32C of a file against the manifest.
func (v *checker) compare(s *stream, what string, bytes int64, sum string) {
	if sum == "" {
		v.found.InputSums = false // the manifest has version 1, or the job was planned by such a version
	}
	switch is := fmt.Sprintf("%08x", s.sum); {
	case sum != "" && s.bytes != bytes:
		v.found.differ(s.name, 0, "the %s has %d bytes; the manifest says %d", what, s.bytes, bytes)
	case sum != "" && is != sum:
		v.found.differ(s.name, 0, "the %s has the CRC-32C %s; the manifest says %s", what, is, sum)
	}
}

// stream is a file that is read once. It counts and checksums the bytes.
type stream struct {
	ctx   context.Context
	name  string
	in    io.ReadCloser
	gone  bool // the file is missing, which has been reported
	bytes int64
	sum   uint32
	read  func(n int) // callback for progress, with the bytes of one read
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stream opens a file. A missing file is reported as a difference, not as an error.
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

// Read implements io.Reader. It updates the count and the checksum.
func (s *stream) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.in.Read(p)
	// Sum and count are compared with the manifest after the last byte.
	s.sum = crc32.Update(s.sum, castagnoli, p[:n])
	s.bytes += int64(n)
	s.read(n)
	return n, err
}

// Close closes the file, if it is open.
func (s *stream) Close() error {
	if s == nil || s.in == nil {
		return nil
	}
	return s.in.Close()
}

// mostLine is the longest output line in bytes that is read. An answer may be longer than its
// input.
const mostLine = 8 * jsonl.MaxLineBytes

// outputLines reads an output file line by line.
type outputLines struct {
	r    *bufio.Reader
	long []byte // buffer for lines longer than r's buffer
}

// next returns the next line including its newline, or io.EOF. The last line of a truncated
// file has no newline. The slice is valid until the next call.
func (l *outputLines) next() ([]byte, error) {
	// The fast path returns a slice of the reader's buffer; only longer lines are copied.
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
