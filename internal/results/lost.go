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

// segmentError says why a segment cannot be read: for now, because it was merged away, or because it is not as it was committed.
type segmentError struct {
	seg batholith.Segment
	err error
}

func (e *segmentError) Error() string { return fmt.Sprintf("read segment %s: %v", e.seg.Key, e.err) }
func (e *segmentError) Unwrap() error { return e.err }

// errCut says that an object, or the way to it, ended early, however often it was read. Which of the two, its size tells.
var errCut = errors.New("the object ends before the bytes that were asked for")

// foul tells whether the bytes of a segment, and not the way to them, may be at fault.
func (e *segmentError) foul() bool {
	return errors.Is(e.err, batholith.ErrNoObject) || errors.Is(e.err, errDamaged) || errors.Is(e.err, errTorn) || errors.Is(e.err, errCut)
}

// judge says what an error of reading segments means. Only a segment that the store still names can be lost: the others were merged
// away meanwhile, which is errMerged. A segment is lost when its object is not there, has another size, or is read again and is no
// better. Everything else is returned as it is, and may pass.
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
		return fmt.Errorf("%w: %v", errMerged, err) // not that an object is gone: it passes
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

// errMerged asks for another beginning. It comes to a publisher whose place another has taken, since merges keep what the present one reads.
var errMerged = errors.New("segments were merged while they were read")

// inspect says what is wrong with a segment's object, if anything.
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
