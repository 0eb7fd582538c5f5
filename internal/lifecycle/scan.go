package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// A chunk ends with the record that reaches one of these bounds.
const (
	chunkRecords = 512
	chunkBytes   = 1 << 20 // of input
)

// plan is the part of a job's plan for one file.
type plan struct {
	file    batholith.File
	chunks  cuts
	invalid int64 // number of lines that are not valid records
	valid   int64 // number of those that are
	odd     int64 // number of records whose bodies do not fit the model, among those that were checked
}

// scan reads one file once: it checks every line, and writes an index block for every chunk. It belongs to one goroutine. The goroutines of
// the survey give it the entries in the order of the file.
type scan struct {
	l     *Lifecycle
	job   batholith.Job
	place blob.Place
	file  batholith.File
	found *jsonl.First
	with  reading

	bodies *bodies // nil: they are not checked

	index   *blob.Writer
	at      int64 // bytes of the index written so far
	entries []jsonl.Entry
	chunks  cuts
	block   []byte
	broken  error // first error of writing the index
}

// run reads the file and returns its plan. A *refusal is an error of the user's, any other error is temporary.
func (s *scan) run(ctx context.Context) (*plan, error) {
	s.index = blob.NewWriter(ctx, s.place.Output, s.file.Index, blob.WriterOptions{Begun: s.begun})
	got, err := s.survey(ctx)
	if err == nil {
		err = s.cut()
	}
	if err == nil {
		done := s.with.flow.call()
		err = s.unwritten(s.index.Close())
		done()
	}
	if err != nil {
		return nil, errors.Join(err, s.index.Abort())
	}
	failpoint.Here("lifecycle.indexed")
	s.file.CRC32C = fmt.Sprintf("%08x", got.Sum) // the checksum of the whole file
	invalid := s.bodies.invalid(got)
	return &plan{file: s.file, chunks: s.chunks, invalid: invalid, valid: s.file.Records + got.Problems - invalid, odd: got.Remarks}, nil
}

// begun stores the id of a multipart upload of the index, so that it can be aborted after a crash.
func (s *scan) begun(ctx context.Context, id string) error {
	return s.l.o.Store.PutUpload(ctx, batholith.Upload{Job: s.job.ID, Key: s.file.Index, UploadID: id})
}

// smallFile is the size, in bytes, up to which a file is read into memory before its lines are checked. The pool has one scanner for each
// processor, and a scanner that reads from a distant bucket waits for it. 100 small files at 50 ms took 26 rounds of calls with 4 scanners,
// and take 4 rounds with 32 parallel reads.
const smallFile = 128 << 10

// open reads the file from a byte to its end.
func (s *scan) open(ctx context.Context, from int64) io.ReadCloser {
	return counted{blob.NewReader(ctx, s.place.Input, s.file.Key, s.file.ETag, from, s.file.Bytes-from), s.with.flow}
}

// opener returns the function with which the survey reads the file: from memory if the file is small, else from the bucket.
func (s *scan) opener(ctx context.Context) (func(ctx context.Context, from int64) io.ReadCloser, error) {
	if s.file.Bytes > smallFile {
		return s.open, nil
	}
	body := s.open(ctx, 0)
	defer body.Close()
	whole := make([]byte, s.file.Bytes)
	if _, err := io.ReadFull(body, whole); err != nil {
		return nil, err
	}
	return func(_ context.Context, from int64) io.ReadCloser { return io.NopCloser(bytes.NewReader(whole[from:])) }, nil
}

// survey reads the file. It continues after a bad line, so that the user gets all bad lines at once.
func (s *scan) survey(ctx context.Context) (got jsonl.Surveyed, err error) {
	open, err := s.opener(ctx)
	if err == nil {
		got, err = s.with.pool.Run(ctx, jsonl.Survey{Bytes: s.file.Bytes, Lines: s.job.InputLines, Keep: batholith.ListedLines, Entries: s.take, Open: open, Refuse: s.l.unfitLines(s.job), Remark: s.bodies.remarkOn(),
			Problems: func(problems, remarks []jsonl.Problem) { s.bodies.take(s.file.N, s.found, problems, remarks) }})
	}
	switch {
	case err == nil:
		return got, nil
	case ctx.Err() != nil:
		return got, context.Cause(ctx)
	case s.broken != nil:
		return got, s.broken
	}
	if e, ok := errors.AsType[*batholith.Broken](err); ok { // a panic: a retry would fail in the same way
		s.l.o.Log.Error("internal error over a job's input", "job", s.job.ID, "key", s.file.Key, "doing", e.Doing, "what", e.What, "stack", e.Stack)
		return got, refuse("%s could not be checked because of an internal error of Batholith. Report it with the entry in the server's log", s.file.Key)
	}
	return got, access(err, "GetObject", s.place.Input.Name(), s.file.Key)
}

// unwritten turns an error of writing the index into the job's error.
func (s *scan) unwritten(err error) error {
	if err == nil {
		return nil
	}
	return access(fmt.Errorf("write index of %s: %w", s.file.Key, err), "PutObject", s.place.Output.Name(), s.place.Prefix)
}

// take takes in entries and cuts them into chunks.
func (s *scan) take(entries []jsonl.Entry) error {
	for _, e := range entries {
		s.entries = append(s.entries, e)
		s.file.Records++
		if len(s.entries) >= chunkRecords || e.Offset+int64(e.Length)-s.entries[0].Offset >= chunkBytes {
			if s.broken = s.cut(); s.broken != nil {
				return s.broken
			}
		}
	}
	return nil
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
	defer s.with.flow.call()()
	if _, err := s.index.Write(s.block); err != nil {
		return s.unwritten(err)
	}
	s.chunks.add(batholith.Chunk{First: record, Count: n, Offset: first.Offset,
		Bytes: last.Offset + int64(last.Length) - first.Offset, IndexOffset: s.at, IndexBytes: int64(len(s.block))})
	s.at += int64(len(s.block))
	s.entries = s.entries[:0]
	return nil
}
