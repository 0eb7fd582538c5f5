package results

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// blockBytes is about the size of a segment's frames. A reader holds one frame at a time.
const blockBytes = 64 << 10

// A segmentWriter encodes outcomes, which must come in the order of keys, as a segment. It writes full frames to w.
type segmentWriter struct {
	w     io.Writer
	buf   []byte // the frame that is being filled
	seg   batholith.Segment
	start bool // the head was written
}

// newSegmentWriter begins a segment.
func newSegmentWriter(w io.Writer, job, key string, level int) *segmentWriter {
	return &segmentWriter{w: w, seg: batholith.Segment{Job: job, Key: key, Level: level}}
}

// add appends the next outcome.
func (s *segmentWriter) add(o *batholith.Outcome) error {
	if !s.start {
		s.start = true
		head := openFrame(appendHead(nil, segmentMagic))
		head = append(head, s.seg.Job...)
		closeFrame(head, headBytes)
		if err := s.write(head); err != nil {
			return err
		}
	}
	s.seg.Records++
	s.seg.Lines += int64(len(o.Line))
	if len(o.Line) >= blockBytes {
		return s.long(o)
	}
	if len(s.buf) == 0 {
		s.buf = openFrame(s.buf)
	}
	s.buf = appendOutcome(s.buf, o)
	if len(s.buf) >= blockBytes {
		return s.block()
	}
	return nil
}

// block ends the frame that is being filled.
func (s *segmentWriter) block() error {
	closeFrame(s.buf, 0)
	err := s.write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// long writes an outcome as a frame of its own, without a copy of its line.
func (s *segmentWriter) long(o *batholith.Outcome) error {
	if len(s.buf) > 0 {
		if err := s.block(); err != nil {
			return err
		}
	}
	s.buf = appendNumbers(openFrame(s.buf), o)
	closeLongFrame(s.buf, o.Line)
	err := s.write(s.buf)
	if s.buf = s.buf[:0]; err == nil {
		err = s.write(o.Line)
	}
	return err
}

// write writes bytes, and updates the length and checksum of the segment.
func (s *segmentWriter) write(b []byte) error {
	s.seg.Sum = crc32.Update(s.seg.Sum, castagnoli, b)
	s.seg.Bytes += int64(len(b))
	_, err := s.w.Write(b)
	return err
}

// end writes the last frame and returns the description of the segment.
func (s *segmentWriter) end() (batholith.Segment, error) {
	if len(s.buf) > 0 {
		if err := s.block(); err != nil {
			return s.seg, err
		}
	}
	return s.seg, nil
}

// A segmentReader reads a segment's outcomes one after the other, in requests of bounded size. It returns an error if any byte differs
// from those that were committed.
type segmentReader struct {
	seg    batholith.Segment
	frames frames
	block  []byte              // the rest of the frame after the present outcome
	coming batholith.RecordKey // key of the outcome in that frame
	start  []byte              // start of the long frame that load must read; nil: the present outcome is loaded
	sum    uint32
	read   int64
	lines  int64
	now    batholith.Outcome
	// unlisted: no row describes the segment. Its end fills in seg what a row would say.
	unlisted bool
}

// openSegment begins to read a committed segment, in requests of about piece bytes. It checks the head and the job's id.
func openSegment(ctx context.Context, b blob.Bucket, seg batholith.Segment, piece int64) (*segmentReader, error) {
	return readSegment(&ranges{ctx: ctx, bucket: b, key: seg.Key, end: seg.Bytes, piece: piece}, seg)
}

// openAhead is openSegment with reading ahead, under the context of a.
func openAhead(a *ahead, b blob.Bucket, seg batholith.Segment, piece int64) (*segmentReader, error) {
	return readSegment(&ranges{ctx: a.ctx, bucket: b, key: seg.Key, end: seg.Bytes, piece: piece, ahead: a}, seg)
}

// readSegment reads and checks the head of a segment.
func readSegment(from *ranges, seg batholith.Segment) (*segmentReader, error) {
	s := &segmentReader{seg: seg}
	s.frames = frames{r: io.TeeReader(from, summer{&s.sum}), left: seg.Bytes}
	if err := s.frames.head(segmentMagic); err != nil {
		return nil, s.fault(err)
	}
	job, err := s.frames.next()
	if err == nil && string(job) != seg.Job {
		err = errDamaged
	}
	if err != nil {
		return nil, s.fault(err)
	}
	return s, nil
}

// next moves to the next outcome, s.now, whose line is valid until the call after. It returns io.EOF after the last one, if the whole
// segment is as committed.
func (s *segmentReader) next() error {
	if err := s.nextKey(); err != nil {
		return err
	}
	return s.load()
}

// nextKey is next, except that it reads only the key of a long line; load reads the rest.
func (s *segmentReader) nextKey() error {
	if err := s.load(); err != nil { // an outcome that was skipped is checked too
		return err
	}
	if len(s.block) > 0 {
		return s.take()
	}
	payload, whole, err := s.frames.begin()
	switch {
	case err == io.EOF:
		return s.end()
	case err != nil:
		return s.fault(err)
	case whole:
		s.block = payload
		return s.take()
	}
	key, err := keyOf(payload)
	if err == nil {
		err = s.follows(key)
	}
	if err != nil {
		return s.fault(err)
	}
	s.start, s.coming = payload, key
	s.block, s.now.Line = nil, nil // free the last long line before this one is read
	return nil
}

// key is the key of the present outcome.
func (s *segmentReader) key() batholith.RecordKey {
	if s.start != nil {
		return s.coming
	}
	return s.now.Key
}

// load reads the present outcome if nextKey has read only its key.
func (s *segmentReader) load() error {
	if s.start == nil {
		return nil
	}
	block, err := s.frames.finish(s.start)
	if s.start = nil; err != nil {
		return s.fault(err)
	}
	s.block = block
	return s.take()
}

// follows returns an error if a key does not come after the present one.
func (s *segmentReader) follows(key batholith.RecordKey) error {
	if s.read > 0 && s.now.Key.Compare(key) >= 0 {
		return fmt.Errorf("%w: record %v after %v", errDamaged, key, s.now.Key)
	}
	return nil
}

// take decodes the next outcome of the block.
func (s *segmentReader) take() error {
	o, rest, err := takeOutcome(s.block, s.frames.form, &s.frames.sources)
	if err != nil {
		return s.fault(err)
	}
	o.Job = s.seg.Job
	if err := s.follows(o.Key); err != nil {
		return s.fault(err)
	}
	s.read++
	s.lines += int64(len(o.Line))
	s.now, s.block = o, rest
	return nil
}

// end compares what was read with the commit. Each frame has a checksum of its bytes; the sum is that of the whole object.
func (s *segmentReader) end() error {
	if s.unlisted {
		s.seg.Sum, s.seg.Records, s.seg.Lines = s.sum, s.read, s.lines
		return io.EOF
	}
	if s.sum != s.seg.Sum || s.read != s.seg.Records || s.lines != s.seg.Lines {
		return s.fault(errDamaged)
	}
	return io.EOF
}

// fault adds the segment to an error.
func (s *segmentReader) fault(err error) error {
	return &segmentError{s.seg, err}
}

// summer computes the CRC-32C of the bytes that are written to it.
type summer struct{ sum *uint32 }

// Write implements [io.Writer].
func (s summer) Write(p []byte) (int, error) {
	*s.sum = crc32.Update(*s.sum, castagnoli, p)
	return len(p), nil
}

// ranges reads an object piece by piece. It reads a whole piece before it returns any of it, so that no request stays open while other
// segments are read. From a distant bucket it also reads one piece ahead.
type ranges struct {
	ctx     context.Context
	bucket  blob.Bucket
	key     string
	at      int64 // offset of the next piece to fetch
	end     int64
	piece   int64
	ahead   *ahead  // nil: nothing is read ahead
	buf     []byte  // the current piece
	spare   []byte  // buffer for the piece that is read ahead
	pending *coming // the piece that is read ahead; nil: none
	unread  []byte  // part of buf that Read has not returned
}

// Read returns bytes of the current piece. It fetches the next piece first if there is none.
func (r *ranges) Read(p []byte) (int, error) {
	if len(r.unread) == 0 {
		if err := r.turn(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// turn makes the next piece the current one, and starts to fetch the one after it if the bucket is far away.
func (r *ranges) turn() error {
	if c := r.pending; c != nil {
		r.pending = nil
		if <-c.done; c.err != nil {
			return c.err
		}
		r.spare, r.buf, r.unread = r.buf, c.buf, c.buf
		r.fetchAhead(c.took)
		return nil
	}
	if r.at == r.end {
		return io.EOF
	}
	began := time.Now()
	r.buf = grown(r.buf, min(r.piece, r.end-r.at))
	if err := r.fetch(r.buf, r.at); err != nil {
		return err
	}
	r.unread, r.at = r.buf, r.at+int64(len(r.buf))
	r.fetchAhead(time.Since(began))
	return nil
}

// fetchAhead begins to fetch the next piece, if there is one and the last one took long.
func (r *ranges) fetchAhead(took time.Duration) {
	if r.ahead == nil || r.at == r.end || took < farAway {
		r.spare = nil
		return
	}
	from := r.at
	r.spare = grown(r.spare, min(r.piece, r.end-from))
	r.at += int64(len(r.spare))
	r.pending = r.ahead.fetch(r.spare, func(b []byte) error { return r.fetch(b, from) })
}

// grown returns buf with length n, or a new slice if it is too short.
func grown(buf []byte, n int64) []byte {
	if int64(cap(buf)) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// fetch fills b from an offset of the object, with the retries of blob.Reader.
func (r *ranges) fetch(b []byte, from int64) error {
	in := blob.NewReader(r.ctx, r.bucket, r.key, "", from, int64(len(b)))
	_, err := io.ReadFull(in, b)
	if closing := in.Close(); err == nil && closing != nil {
		return closing
	}
	if errors.Is(err, io.ErrUnexpectedEOF) { // frames would take that for the end of the segment
		return errCut
	}
	return err
}
