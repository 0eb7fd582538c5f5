package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// A chunk ends with the record that reaches one of these.
const (
	chunkRecords = 512
	chunkBytes   = 1 << 20
)

// plan is one file's share of a job's work.
type plan struct {
	file   batholith.File
	chunks []batholith.Chunk // not numbered yet
}

// scan reads one file once: every line is checked, an index block is written for every chunk.
type scan struct {
	l     *Lifecycle
	job   batholith.Job
	place blob.Place
	file  batholith.File
	found *findings

	index   *blob.Writer
	at      int64 // bytes of the index so far
	entries []jsonl.Entry
	chunks  []batholith.Chunk
	block   []byte
}

func (s *scan) run(ctx context.Context) (*plan, error) {
	r := blob.NewReader(ctx, s.place.Input, s.file.Key, s.file.ETag, 0, s.file.Bytes)
	defer r.Close()
	s.index = blob.NewWriter(ctx, s.place.Output, s.file.Index, blob.WriterOptions{Begun: s.begun})
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	err := s.lines(ctx, jsonl.NewScanner(io.TeeReader(r, sum)))
	if err == nil {
		err = s.index.Close()
	}
	if err != nil {
		return nil, errors.Join(err, s.index.Abort())
	}
	failpoint.Here("lifecycle.indexed")
	s.file.CRC32C = fmt.Sprintf("%08x", sum.Sum32()) // the scanner read to the end
	return &plan{file: s.file, chunks: s.chunks}, nil
}

// begun remembers a multipart upload of the index, so that it can be aborted after a crash.
func (s *scan) begun(ctx context.Context, id string) error {
	return s.l.o.Store.PutUpload(ctx, batholith.Upload{Job: s.job.ID, Key: s.file.Index, UploadID: id})
}

// lines takes in line after line. A bad one is noted, and the rest is read all the same, so that the user hears of all at once.
func (s *scan) lines(ctx context.Context, lines *jsonl.Scanner) error {
	for lines.Next() {
		if p := lines.Problem(); p != nil {
			s.found.add(s.place.Input.Name(), s.file.Key, *p)
			continue
		}
		line := lines.Line()
		s.entries = append(s.entries, jsonl.EntryOf(line))
		s.file.Records++
		first := s.entries[0].Offset
		if len(s.entries) >= chunkRecords || line.Offset+int64(line.Length)-first >= chunkBytes {
			if err := s.cut(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return access(err, "GetObject", s.place.Input.Name(), s.file.Key)
	}
	return s.cut()
}

// cut makes a chunk of the records since the last one, and writes its index block.
func (s *scan) cut() error {
	n := len(s.entries)
	if n == 0 {
		return nil
	}
	first, last := s.entries[0], s.entries[n-1]
	record := s.file.Records - int64(n)
	s.block = jsonl.AppendBlock(s.block[:0], record, s.entries)
	if _, err := s.index.Write(s.block); err != nil {
		return fmt.Errorf("write index of %s: %w", s.file.Key, err)
	}
	s.chunks = append(s.chunks, batholith.Chunk{First: record, Count: n, Offset: first.Offset,
		Bytes: last.Offset + int64(last.Length) - first.Offset, IndexOffset: s.at, IndexBytes: int64(len(s.block))})
	s.at += int64(len(s.block))
	s.entries = s.entries[:0]
	return nil
}

// findings collects what is wrong with a job's lines. Files are scanned by several goroutines.
type findings struct {
	mu    sync.Mutex
	count int
	kept  []string // the first ones, in full
}

// keptFindings is how many bad lines are told in full, room permitting.
const keptFindings = 20

func (f *findings) add(bucket, key string, p jsonl.Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; len(f.kept) < keptFindings {
		f.kept = append(f.kept, fmt.Sprintf("s3://%s/%s line %d: %s", bucket, key, p.Line, p.Reason))
	}
}

// verdict is a refusal that names bad lines, as many as fit into a message, and says how many there are.
func (f *findings) verdict() error {
	if f.count == 0 {
		return nil
	}
	var b strings.Builder
	lines := "lines are"
	if f.count == 1 {
		lines = "line is"
	}
	fmt.Fprintf(&b, "%d %s not a valid record.", f.count, lines)
	told := 0
	for _, k := range f.kept {
		if b.Len()+len(k) > batholith.MaxMessage-64 && told > 0 {
			break
		}
		b.WriteString(" " + k + ".")
		told++
	}
	if told < f.count {
		fmt.Fprintf(&b, " And %d more.", f.count-told)
	}
	return &refusal{message: b.String()}
}
