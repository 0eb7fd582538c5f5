package console

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds of streams. A browser opens a stream again when it has ended.
const (
	streamTime     = 5 * time.Minute // of one
	mostStreams    = 256
	mostOfSession  = 12
	beatEvery      = 10 * time.Second
	streamPatience = 20 * time.Second // for the browser to take what was sent
)

// streams counts open streams, and ends them all at a shutdown.
type streams struct {
	over chan struct{} // closed by close

	mu     sync.Mutex
	open   int
	by     map[*session]int
	closed bool
}

func newStreams() *streams {
	return &streams{over: make(chan struct{}), by: map[*session]int{}}
}

// take counts a stream of a session. ok is false if there are too many, or the process is ending.
func (s *streams) take(of *session) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.open >= mostStreams || s.by[of] >= mostOfSession {
		return false
	}
	s.open++
	s.by[of]++
	return true
}

func (s *streams) release(of *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.by[of]--; s.by[of] == 0 {
		delete(s.by, of)
	}
}

// close ends all streams and refuses new ones.
func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.over)
	}
}

// stream sends server-sent events: every interval the parts that look returns, by name, if they have changed, and every 10 s the event
// beat. It ends when the session does, after streamTime, or when look says that nothing will change any more. The headers keep proxies
// from holding events back.
func (v *visit) stream(look func() (parts map[string]string, last bool, err error)) error {
	c := v.c
	if !c.streams.take(v.session) {
		v.w.Header().Set("Retry-After", "10")
		http.Error(v.w, "too many live pages are open; close some", http.StatusServiceUnavailable)
		return nil
	}
	defer c.streams.release(v.session)
	parts, last, err := look()
	if err != nil {
		status := http.StatusInternalServerError
		if denied(err) {
			status = http.StatusForbidden
		}
		http.Error(v.w, "the page cannot be followed", status)
		return nil
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(v.w)
	send := func(event, data string) error {
		if err := out.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "event: %s\n", event)
		for line := range strings.Lines(data) {
			b.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
		}
		if data == "" {
			b.WriteString("data:\n")
		}
		if _, err := fmt.Fprint(v.w, b.String()+"\n"); err != nil {
			return err
		}
		return out.Flush()
	}
	// The server's time for the whole request would end the stream.
	if err := out.SetReadDeadline(time.Now().Add(streamTime + streamPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(v.w, "retry: 2000\n\n"); err != nil {
		return nil
	}
	sent, beat := map[string]string{}, time.Time{}
	tick := time.NewTicker(c.o.Every)
	defer tick.Stop()
	end := time.NewTimer(streamTime)
	defer end.Stop()
	for {
		for name, data := range parts {
			if before, known := sent[name]; known && before == data {
				continue
			}
			sent[name] = data
			if send(name, data) != nil {
				return nil // the browser has gone
			}
		}
		if last {
			_ = send("end", "")
			return nil
		}
		if now := time.Now(); now.Sub(beat) >= beatEvery {
			if beat = now; send("beat", c.o.Now().UTC().Format("15:04:05")+" UTC") != nil {
				return nil
			}
		}
		select {
		case <-v.r.Context().Done():
			return nil
		case <-c.streams.over:
			return nil
		case <-end.C:
			return nil
		case <-tick.C:
		}
		// The key is verified at each look, and the session must live.
		if c.sessions.find(tokenOf(v.r), true) == nil {
			return nil
		}
		if who, err := c.identify(v.r, v.session.proof); err != nil {
			c.sessions.end(v.session)
			return nil
		} else {
			v.who = who
		}
		if parts, last, err = look(); err != nil {
			return nil // the browser asks again, and gets the reason
		}
	}
}
