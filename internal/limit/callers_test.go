package limit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// filled is a limiter with a configured limit, all slots of which batch requests hold.
func filled(t *testing.T, slots int) *Limiter {
	l := NewAt(slots, time.Now)
	for range slots {
		if _, ok := l.TryAcquire(); !ok {
			t.Fatal("a slot is not free")
		}
	}
	return l
}

func TestACallGetsTheNextSlotBeforeAnyBatchRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := filled(t, 10)
		entered := make(chan int, 3)
		for i := range 3 {
			go func() {
				if err := l.Enter(t.Context(), 10); err != nil {
					t.Error(err)
				}
				entered <- i
			}()
			synctest.Wait()
		}
		for want := range 3 {
			if _, ok := l.TryAcquire(); ok {
				t.Error("a batch request got a slot while calls wait")
			}
			l.Release()
			if got := <-entered; got != want {
				t.Errorf("call %d got the slot of call %d", got, want)
			}
		}
		if _, ok := l.TryAcquire(); ok {
			t.Error("more slots were given than there are")
		}
	})
}

func TestBatchLeavesSlotsFreeWhileCallsComeAndTakesThemAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := filled(t, 10)
		go func() { l.Release() }()
		if err := l.Enter(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		l.Leave()
		if _, ok := l.TryAcquire(); ok {
			t.Error("a batch request took the slot that is kept for the next call")
		}
		if calls, free := l.Calls(); calls != 0 || free != 1 {
			t.Errorf("%d calls and %d free slots", calls, free)
		}
		time.Sleep(lately + time.Second)
		if _, ok := l.TryAcquire(); !ok {
			t.Error("the slot is kept although no call came for long")
		}
	})
}

func TestBatchKeepsATenthOfTheSlotsWhateverCallsCome(t *testing.T) {
	l := NewAt(20, time.Now)
	for range 19 {
		if err := l.Enter(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := l.TryAcquire(); !ok {
		t.Error("batch requests get no slot beside many calls")
	}
	l.Leave()
	if _, ok := l.TryAcquire(); !ok {
		t.Error("batch requests hold less than a tenth, and get no slot")
	}
	l.Leave()
	if _, ok := l.TryAcquire(); ok {
		t.Error("batch requests hold a tenth, and get a slot that is kept for calls")
	}
}

func TestCallsThatWaitAreBoundedAndCanBeCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := filled(t, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- l.Enter(ctx, 2) }()
		}
		synctest.Wait()
		if err := l.Enter(ctx, 2); !errors.Is(err, ErrFull) {
			t.Errorf("the third call waits although two may: %v", err)
		}
		gone := errors.New("gone")
		cancel(gone)
		for range 2 {
			if err := <-ended; !errors.Is(err, gone) {
				t.Error(err)
			}
		}
		go func() { ended <- l.Enter(t.Context(), 2) }()
		synctest.Wait()
		l.Dismiss()
		if err := <-ended; !errors.Is(err, ErrDismissed) {
			t.Error(err)
		}
		l.Release()
		if calls, free := l.Calls(); calls != 0 || free != 1 {
			t.Errorf("%d calls are left, %d slots are free", calls, free)
		}
	})
}

// While a record is to be sent alone, no call begins, or it would never be alone.
func TestNoCallBeginsWhileARequestIsToBeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewAt(4, time.Now)
		if err := l.Enter(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if err := l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		alone, entered := make(chan error, 1), make(chan error, 1)
		go func() { alone <- l.Drained(t.Context()) }()
		synctest.Wait()
		go func() { entered <- l.Enter(t.Context(), 4) }()
		synctest.Wait()
		l.Leave()
		if err := <-alone; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(entered) > 0 {
			t.Error("a call began beside the request")
		}
		l.Rejoin()
		if err := <-entered; err != nil {
			t.Error(err)
		}
	})
}

// Without calls the limiter is as it was before there were any.
func TestWithoutCallsTheRoomIsTheLimit(t *testing.T) {
	now := start
	l := NewAt(0, func() time.Time { return now })
	for _, source := range []source{fromGoodput, fromGauges, fromSlots, fromOperator} {
		l.source = source
		for limit := 1; limit < 2000; limit = limit*2 + 1 {
			if room := l.room(now, limit); room != limit {
				t.Errorf("from %d, the room is %d of %d", source, room, limit)
			}
		}
	}
}

// What waits in the server's queue is given up while calls come: that is the queue share of a limit from gauges, and the headroom of one
// from goodput.
func TestNothingOfTheBatchWaitsAtTheServerWhileCallsCome(t *testing.T) {
	l := NewAt(0, time.Now)
	l.callers.came(time.Now())
	l.callers.need.freed()
	l.source = fromGauges
	l.waiting.slots, l.waiting.limit = 100, 109
	if room := l.room(time.Now(), 109); room != 99 {
		t.Errorf("of 100 slots at the server, %d may be taken beside one spare", room)
	}
	l.waiting.slots = 0
	if room := l.room(time.Now(), 109); room != 109 {
		t.Errorf("while the slots are not known, %d of 109 may be taken", room)
	}
	l.source, l.climb.phase, l.climb.limit = fromGoodput, holding, 114
	if room := l.room(time.Now(), 114); room != 99 {
		t.Errorf("of a knee at 100, %d may be taken beside one spare", room)
	}
	if room := l.room(time.Now(), 50); room != 49 {
		t.Errorf("of a limit of 50 by refusals, %d may be taken beside one spare", room)
	}
}

// Once a minute the room is the limit, until two readings have seen that: more slots of the server would show then.
func TestMoreSlotsAreLookedForWhileCallsCome(t *testing.T) {
	now := start
	l := NewAt(0, func() time.Time { return now })
	l.source, l.pace.level = fromGauges, 1000
	l.waiting.slots, l.waiting.limit, l.waiting.sure = 100, 109, true
	l.callers.came(now)
	l.callers.need.freed()
	fill := func() {
		for {
			if _, ok := l.TryAcquire(); !ok {
				return
			}
		}
	}
	fill()
	if l.held != 99 {
		t.Fatalf("%d of 100 slots are taken", l.held)
	}
	l.callers.latest = now.Add(time.Minute) // calls come all the time
	now = now.Add(lookEvery)
	if fill(); l.held != 109 {
		t.Errorf("in a look %d of 109 are taken", l.held)
	}
	for range lookEnough {
		now = now.Add(readEvery)
		l.Gauge(batholith.Gauges{Running: 100, Waiting: 9})
	}
	if room := l.room(now, 109); room != 99 {
		t.Errorf("after the look %d may be taken", room)
	}
}
