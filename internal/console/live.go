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
	silence        = 3 * beatEvery    // after which a page takes its stream for dead
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

// look returns the parts of a live page by name, and whether nothing will change any more.
type look func() (parts map[string]string, last bool, err error)

// stream sends the parts of a page as server-sent events when they change, and every 10 s the event beat. It ends when the session does,
// after streamTime, or with the event end after the last look. The browser opens it again after any other end, and gets the reason if it may not.
func (v *visit) stream(see look) error {
	if !v.c.streams.take(v.session) {
		v.w.Header().Set("Retry-After", "10")
		http.Error(v.w, "too many live pages are open; close some", http.StatusServiceUnavailable)
		return nil
	}
	defer v.c.streams.release(v.session)
	parts, last, err := see()
	if err != nil {
		status := http.StatusInternalServerError
		if denied(err) {
			status = http.StatusForbidden
		}
		http.Error(v.w, "the page cannot be followed", status)
		return nil
	}
	to, err := v.beginFeed()
	if err != nil {
		return err
	}
	tick := time.NewTicker(v.c.o.Every)
	defer tick.Stop()
	end := time.NewTimer(streamTime)
	defer end.Stop()
	for to.show(parts, last, v.c.o.Now()) && v.next(tick.C, end.C) && v.stillSignedIn() {
		if parts, last, err = see(); err != nil {
			return nil
		}
	}
	return nil
}

// next waits for the time of the next look; ok is false if the stream is over.
func (v *visit) next(tick, end <-chan time.Time) (ok bool) {
	select {
	case <-tick:
		return true
	case <-end:
	case <-v.r.Context().Done():
	case <-v.c.streams.over:
	}
	return false
}

// stillSignedIn verifies the key again, and that the session lives.
func (v *visit) stillSignedIn() bool {
	if v.c.sessions.find(tokenOf(v.r), true) == nil {
		return false
	}
	who, err := v.c.identify(v.r, v.session.proof)
	if err != nil {
		v.c.sessions.end(v.session)
		return false
	}
	v.who = who
	return true
}

// feed is a stream of server-sent events. It is used by one goroutine.
type feed struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	sent map[string]string // by name of the part
	beat time.Time         // of the last one
}

// beginFeed sends the headers, which keep proxies from holding events back.
func (v *visit) beginFeed() (*feed, error) {
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	f := &feed{w: v.w, out: http.NewResponseController(v.w), sent: map[string]string{}}
	// The server's time for the whole request would end the stream.
	if err := f.out.SetReadDeadline(time.Now().Add(streamTime + streamPatience)); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprint(v.w, "retry: 1000\n\n") // a browser that has gone is noticed at the first event
	return f, nil
}

// show sends the parts that have changed, and the beat when it is due; after the last look it sends the event end. ok is false if nothing more is to be sent.
func (f *feed) show(parts map[string]string, last bool, now time.Time) (ok bool) {
	for name, text := range parts {
		if before, known := f.sent[name]; known && before == text {
			continue
		}
		if f.sent[name] = text; !f.send(name, text) {
			return false
		}
	}
	if last {
		f.send("end", "")
		return false
	}
	if time.Since(f.beat) < beatEvery {
		return true
	}
	f.beat = time.Now()
	return f.send("beat", now.UTC().Format("15:04:05")+" UTC")
}

// send sends an event; ok is false if the browser has gone.
func (f *feed) send(event, data string) (ok bool) {
	if err := f.out.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
		return false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "event: %s\n", event)
	for line := range strings.Lines(data) {
		b.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
	}
	if data == "" {
		b.WriteString("data:\n")
	}
	if _, err := fmt.Fprint(f.w, b.String()+"\n"); err != nil {
		return false
	}
	return f.out.Flush() == nil
}
