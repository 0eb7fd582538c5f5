package s3serve

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	_ "github.com/batholith/batholith/internal/raced" // virtual time
	"github.com/batholith/batholith/internal/sigv4"
)

// TestACancelledCallNeverTellsAnErrorOfTheStorage: the errors of the storage are only told by the call over HTTP, which a cancelled call does
// not make. So a caller that has given up gets the reason of that, also when the storage fails in the same moment.
func TestACancelledCallNeverTellsAnErrorOfTheStorage(t *testing.T) {
	n := &near{store: &store{}, who: &Account{Identity: sigv4.Identity{Account: "000000000000", Principal: "alice"}}}
	gone := errors.New("the caller has gone")
	for range 100 { // which of the two the call sees first is chance
		ctx, cancel := context.WithCancelCause(t.Context())
		ran := false
		_, err := do(ctx, n, act{operation: "HeadObject"}, nil, func(context.Context) (int, error) {
			ran = true
			cancel(gone)
			return 0, errors.New("of the storage")
		})
		if !ran || !errors.Is(err, gone) {
			t.Fatalf("the storage was asked: %v; %v", ran, err)
		}
	}
}

// TestACallThatIsCancelledBeforeItBeginsAsksNothing of the storage, whose answer could be seen before the cancellation.
func TestACallThatIsCancelledBeforeItBeginsAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &near{store: &store{}, who: &Account{Identity: sigv4.Identity{Account: "000000000000", Principal: "alice"}}}
		gone := errors.New("the caller has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		asked := false
		_, err := do(ctx, n, act{operation: "HeadObject"}, nil, func(context.Context) (int, error) {
			asked = true
			return 0, errors.New("of the storage")
		})
		synctest.Wait()
		if asked || !errors.Is(err, gone) {
			t.Errorf("the storage was asked: %v; %v", asked, err)
		}
	})
}
