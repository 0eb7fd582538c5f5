package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("it is away")

// The waits double from the least to the most, each at least half of its nominal length and never longer.
func TestWaitsDoubleUpToTheMost(t *testing.T) {
	for range 100 {
		w := New(100*time.Millisecond, time.Second)
		for _, nominal := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
			if got := w.Next(); got < nominal*time.Millisecond/2 || got > nominal*time.Millisecond {
				t.Fatalf("a wait of %s, nominal %d ms", got, nominal)
			}
		}
	}
}

func TestRepeatGoesOnUntilItSucceedsAndTellsEachFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, told, waited := 0, 0, time.Duration(0)
		began := time.Now()
		err := Repeat(t.Context(), time.Second, 10*time.Second, func(context.Context) error {
			if tries++; tries < 6 {
				return errAway
			}
			return nil
		}, func(err error, wait time.Duration) {
			told, waited = told+1, waited+wait
			if !errors.Is(err, errAway) {
				t.Error(err)
			}
		})
		if err != nil || tries != 6 || told != 5 || time.Since(began) != waited {
			t.Errorf("%d tries, %d told, %s of %s, %v", tries, told, time.Since(began), waited, err)
		}
	})
}

func TestAFinalErrorEndsTheRepetitionUnwrapped(t *testing.T) {
	tries := 0
	err := Repeat(t.Context(), time.Hour, time.Hour, func(context.Context) error { tries++; return Final(errAway) },
		func(error, time.Duration) { t.Error("a final error is told as one that is repeated") })
	if err != errAway || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
	if Final(nil) != nil {
		t.Error("no error became one")
	}
}

func TestTheEndOfTheContextEndsTheWaitWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the process ends")
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		began := time.Now()
		err := Repeat(ctx, time.Hour, time.Hour, func(context.Context) error { return errAway }, nil)
		if err != cause || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		err = Repeat(ctx, time.Hour, time.Hour, func(context.Context) error { t.Error("called after the end"); return nil }, nil)
		if err != cause {
			t.Error(err)
		}
	})
}
