package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// segmentError says why a segment cannot be read: temporarily, because it was merged, or because its bytes differ from those that were
// committed.
type segmentError struct {
	seg batholith.Segment
	err error
}

// Error names the segment's object.
func (e *segmentError) Error() string { return fmt.Sprintf("read segment %s: %v", e.seg.Key, e.err) }

// Unwrap returns the cause.
func (e *segmentError) Unwrap() error { return e.err }

// errCut: an object ended early each time it was read. It may be truncated, or the connection may break; its size shows which.
var errCut = errors.New("the object ends before the bytes that were asked for")

// foul reports whether the segment's object may be at fault, and not the connection to it.
func (e *segmentError) foul() bool {
	return errors.Is(e.err, batholith.ErrNoObject) || errors.Is(e.err, errDamaged) || errors.Is(e.err, errTorn) || errors.Is(e.err, errCut)
}

// judge decides what an error of reading segments means. If the store does not name the segment any more, it was merged, which is
// errMerged. If it does, the segment is lost (batholith.ErrOutcomesLost) when its object does not exist, has another size, or has wrong
// bytes when it is read again. Any other error is returned unchanged and is temporary.
func judge(ctx context.Context, store Segments, b blob.Bucket, err error) error {
	var bad *segmentError
	if !errors.As(err, &bad) || !bad.foul() {
		return err
	}
	segs, readErr := store.Segments(ctx, bad.seg.Job)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if !slices.ContainsFunc(segs, func(s batholith.Segment) bool { return s.Key == bad.seg.Key }) {
		return fmt.Errorf("%w: %v", errMerged, err) // err is not wrapped: a missing object would look permanent
	}
	what, lookErr := inspect(ctx, b, bad.seg)
	switch {
	case lookErr != nil:
		return errors.Join(err, lookErr)
	case what == "":
		return err
	}
	return fmt.Errorf("%w: %s, which holds %d of them, %s. It was not Batholith: find out who or what else writes below "+
		".batholith/ while a job runs, a person or a lifecycle rule of the bucket, and create the job again",
		batholith.ErrOutcomesLost, uri("", b, bad.seg.Key), bad.seg.Records, what)
}

// errMerged makes a publication start over. Only a publisher that was replaced gets it, since merges keep the objects that the present
// publisher reads.
var errMerged = errors.New("segments were merged while they were read")

// inspect says what is wrong with a segment's object, or "".
func inspect(ctx context.Context, b blob.Bucket, seg batholith.Segment) (string, error) {
	o, err := b.Head(ctx, seg.Key)
	switch {
	case errors.Is(err, batholith.ErrNoObject):
		return "is gone", nil
	case err != nil:
		return "", err
	case o.Bytes != seg.Bytes:
		return fmt.Sprintf("has %d bytes and had %d when it was written", o.Bytes, seg.Bytes), nil
	}
	s, err := openSegment(ctx, b, seg, blob.RangeBytes)
	for err == nil {
		err = s.next()
	}
	if err != io.EOF && (errors.Is(err, errDamaged) || errors.Is(err, errTorn)) {
		return "has other bytes than were written", nil
	}
	if err == io.EOF || errors.Is(err, errCut) {
		err = nil
	}
	return "", err
}
