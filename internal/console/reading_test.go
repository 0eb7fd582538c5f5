package console

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/batholith/batholith/internal/raced" // see there why
)

// follow looks at a subject as ten open pages do, each every 2 s from a moment of its own, for 20 s. It returns the oldest value that a page saw.
func follow(t *testing.T, who func(page int) reader, read func() (any, error)) (oldest time.Duration) {
	s, begin := newReadings(2*time.Second), time.Now()
	var mu sync.Mutex
	var wait sync.WaitGroup
	for page := range 10 {
		wait.Go(func() {
			time.Sleep(time.Duration(page) * 170 * time.Millisecond)
			for time.Since(begin) < 20*time.Second {
				value, err := s.of(who(page)).get(t.Context(), s.fresh, read)
				if err == nil {
					mu.Lock()
					oldest = max(oldest, time.Since(value.(time.Time)))
					mu.Unlock()
				}
				time.Sleep(2 * time.Second)
			}
		})
	}
	wait.Wait()
	return oldest
}

func TestOpenPagesOfOneReaderShareTheirReads(t *testing.T) {
	one := reader{session: &session{}, address: "127.0.0.1", agent: "a", subject: "job x"}
	for name, tt := range map[string]struct {
		who  func(page int) reader
		most int
	}{
		"one reader":                     {func(int) reader { return one }, 14}, // 20 s / 1.5 s
		"readers at different addresses": {func(page int) reader { r := one; r.address = string(rune('a' + page)); return r }, 100},
		"different sessions":             {func(page int) reader { r := one; r.session = &session{}; return r }, 100},
		"different jobs":                 {func(page int) reader { r := one; r.subject = string(rune('a' + page)); return r }, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reads := 0
				var mu sync.Mutex
				oldest := follow(t, tt.who, func() (any, error) {
					mu.Lock()
					defer mu.Unlock()
					reads++
					return time.Now(), nil
				})
				if reads > tt.most || tt.most == 100 && reads < 90 || oldest >= 2*time.Second {
					t.Errorf("%d reads, want at most %d; a page was shown what was %v old", reads, tt.most, oldest)
				}
			})
		})
	}
}

func TestAReadThatFailsIsSharedWithNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, reads := reader{subject: "job x"}, 0
		var mu sync.Mutex
		follow(t, func(int) reader { return one }, func() (any, error) {
			mu.Lock()
			defer mu.Unlock()
			if reads++; reads%2 == 1 {
				return nil, errors.New("denied")
			}
			return time.Now(), nil
		})
		if reads < 20 {
			t.Errorf("%d reads: an error was taken for a value", reads)
		}
	})
}

func TestAPageThatIsClosedWaitsForNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, free := newReadings(time.Second).of(reader{}), make(chan struct{})
		go r.get(t.Context(), time.Second, func() (any, error) { <-free; return 1, nil })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.get(ctx, time.Second, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(free)
	})
}

func TestReadingsAreBoundedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newReadings(time.Second)
		for i := range mostReadings + 1 {
			s.of(reader{subject: string(rune(i))})
		}
		if len(s.all) != mostReadings {
			t.Errorf("%d readings", len(s.all))
		}
		time.Sleep(idleReading + time.Second)
		s.of(reader{subject: string(rune(1))})
		if s.tidy(); len(s.all) != 1 {
			t.Errorf("%d readings are kept, want the one in use", len(s.all))
		}
	})
}
