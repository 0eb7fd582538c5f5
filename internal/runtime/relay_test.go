package runtime

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
	_ "github.com/batholith/batholith/internal/raced"
)

// client is the writer of a client that reads an event for each value of reads. Its events fail once err is set.
type client struct {
	reads chan struct{}
	began bool
	got   []string
	err   error
}

func (c *client) begin(*call) { c.began = true }

func (c *client) event(e dialect.Event) error {
	<-c.reads
	c.got = append(c.got, string(e.Payload))
	return c.err
}

func (c *client) end() error                 { return nil }
func (c *client) fail(bedrock.Refusal) error { return nil }

// A slow client holds no slot: the attempt has handed over its whole answer before the client has read anything, and loses none of it.
func TestASlowReaderHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all atomic.Int64
		c := &client{reads: make(chan struct{})}
		r := newRelay(c, nil, &all)
		payload := []byte("0")
		const events = 1000
		for i := range events {
			payload = strconv.AppendInt(payload[:0], int64(i), 10) // the buffer is used again, as that of a server's event is
			if err := r.put(t.Context(), dialect.Event{Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if !c.began || len(c.got) != 0 || all.Load() == 0 {
			t.Errorf("the client has begun: %t, has read %d events, and %d bytes are unread", c.began, len(c.got), all.Load())
		}
		go func() {
			for range events {
				c.reads <- struct{}{}
			}
		}()
		if err := r.close(); err != nil {
			t.Error(err)
		}
		for i, got := range c.got {
			if got != strconv.Itoa(i) {
				t.Fatalf("event %d is %q", i, got)
			}
		}
		if len(c.got) != events || all.Load() != 0 {
			t.Errorf("the client got %d of %d events, and %d bytes are unread", len(c.got), events, all.Load())
		}
	})
}

// What a client has not read is bounded, for one stream and, if many are slow, more closely for each.
func TestUnreadEventsAreBounded(t *testing.T) {
	for _, tc := range []struct{ others, most int64 }{{0, mostUnread}, {mostUnreadAll + 1, leastUnread}} {
		synctest.Test(t, func(t *testing.T) {
			var all atomic.Int64
			all.Store(tc.others)
			c := &client{reads: make(chan struct{})}
			r := newRelay(c, nil, &all)
			event := dialect.Event{Payload: []byte(strings.Repeat("x", 1000))}
			ctx, cancel := context.WithCancelCause(t.Context())
			put := 0
			var err error
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for ; err == nil; put++ {
					err = r.put(ctx, event)
				}
			}()
			synctest.Wait()
			if unread := all.Load() - tc.others; unread > tc.most || unread < tc.most*9/10 {
				t.Errorf("%d bytes are unread, where %d may be", unread, tc.most)
			}
			before := put
			for range 3 {
				c.reads <- struct{}{}
				synctest.Wait()
			}
			if put != before+3 {
				t.Errorf("the client has read 3 events, and %d more were taken", put-before)
			}
			cause := errors.New("called off")
			cancel(cause)
			<-ended
			if !errors.Is(err, cause) {
				t.Error(err)
			}
			close(c.reads)
			if err := r.close(); err != nil {
				t.Error(err)
			}
			if all.Load() != tc.others {
				t.Errorf("%d bytes are unread after the end", all.Load()-tc.others)
			}
		})
	}
}

// A client that has gone ends its stream: the next event is refused, also one that waits, and nothing stays in memory.
func TestAStreamEndsWhenItsClientCannotBeWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all atomic.Int64
		gone := errors.New("broken pipe")
		c := &client{reads: make(chan struct{}), err: gone}
		r := newRelay(c, nil, &all)
		big := dialect.Event{Payload: make([]byte, mostUnread)}
		if err := r.put(t.Context(), big); err != nil {
			t.Fatal(err)
		}
		waits := make(chan error)
		go func() { waits <- r.put(t.Context(), big) }()
		synctest.Wait()
		close(c.reads)
		if err := <-waits; !errors.Is(err, gone) {
			t.Errorf("the event that waited: %v", err)
		}
		if err := r.put(t.Context(), big); !errors.Is(err, gone) {
			t.Errorf("a later event: %v", err)
		}
		if err := r.close(); !errors.Is(err, gone) || all.Load() != 0 {
			t.Errorf("the end: %v, with %d bytes unread", err, all.Load())
		}
	})
}
