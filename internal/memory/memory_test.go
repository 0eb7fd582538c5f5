package memory

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func TestGrowingHoldsAllEndThoughTogetherTheyWantTenTimesTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(256 * mib)
		lane := b.Account(mib)
		const answers, longest = 48, 60 * mib
		var mu sync.Mutex
		most := int64(0)
		done := make(chan error, answers)
		for range answers {
			go func() {
				h := lane.Hold()
				defer h.Release()
				for n := 0; n < longest; n += mib {
					if err := h.Grow(t.Context(), mib); err != nil {
						done <- err
						return
					}
					mu.Lock()
					most = max(most, b.Used())
					mu.Unlock()
					time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
				}
				done <- nil
			}()
		}
		for range answers {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if most > 256*mib || most < 150*mib {
			t.Errorf("at most %d MiB were held of 256", most/mib)
		}
		if n := b.Used(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

func TestAModelThatKeepsItsMemoryDoesNotStopAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100 * mib)
		dead, alive := b.Account(16*mib), b.Account(16*mib)
		for range 4 { // chunks of a server that is down
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			dead.Hold().Reserve(ctx, 40*mib)
			cancel()
		}
		for range 3 { // answers that do not end
			go dead.Hold().Grow(t.Context(), 90*mib)
		}
		synctest.Wait()
		for _, n := range []int64{mib, 16 * mib, 200 * mib} {
			h := alive.Hold()
			if err := h.Reserve(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			h.Release()
		}
		first := alive.Hold()
		first.Force(15 * mib)
		second := alive.Hold()
		if !second.TryGrow(mib) || second.TryGrow(mib) {
			t.Error("an account gets its floor, and no more while there is nothing")
		}
		for _, h := range []*Hold{first, second} {
			h.Release()
		}
	})
}

func TestWholeHoldsWaitInTheirOrderAndBehindGrowingOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100 * mib) // 75 are shared
		a := b.Account(0)
		first := a.Hold()
		first.Force(70 * mib)
		order := make(chan string, 3)
		wait := func(name string, n int64, take func(*Hold, context.Context, int64) error) {
			go func() {
				h := a.Hold()
				if err := take(h, t.Context(), n); err != nil {
					name = err.Error()
				}
				order <- name
				h.Release()
			}()
			synctest.Wait()
		}
		wait("large", 74*mib, (*Hold).Reserve)
		wait("small", 2*mib, (*Hold).Reserve)
		select {
		case name := <-order:
			t.Fatalf("%s came before its turn", name)
		default:
		}
		wait("answer", 30*mib, (*Hold).Grow) // it is the elder
		if name := <-order; name != "answer" {
			t.Fatalf("%s went first", name)
		}
		first.Release()
		if name := <-order; name != "large" {
			t.Errorf("%s went before what had waited longer", name)
		}
		<-order
	})
}

func TestWhoIsCalledOffWhileWaitingKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100 * mib)
		a := b.Account(0)
		first := a.Hold()
		first.Force(100 * mib)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- a.Hold().Reserve(ctx, mib) }()
		synctest.Wait()
		reason := errors.New("the job was stopped")
		cancel(reason)
		if err := <-done; err != reason {
			t.Errorf("got %v", err)
		}
		first.Release()
		first.Release()
		if n := b.Used(); n != 0 {
			t.Errorf("%d bytes are held by nobody", n)
		}
	})
}

func TestHalfFreeTellsWhatWideWindowsLeaveToOthers(t *testing.T) {
	b := NewBudget(400) // of which 100 are the elder's
	h := b.Account(0).Hold()
	h.Force(150)
	if !b.HalfFree() {
		t.Error("150 of 300 are held, and half is not free")
	}
	h.Force(1)
	if b.HalfFree() {
		t.Error("151 of 300 are held, and half is free")
	}
}
