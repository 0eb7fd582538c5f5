package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/upstream"
)

// worker is a machine with a disk: one process after the other.
type worker struct {
	s    *simulation
	name string
	life int // number of the present process
	p    *simProcess
}

func (s *simulation) worker(name string) *worker { return &worker{s: s, name: name} }

// dir is what the present process finds on the disk, and what it writes.
func (w *worker) dir() string { return filepath.Join(w.s.dir, fmt.Sprint(w.name, "-", w.life)) }

// simProcess is one engine. Everything that leaves it passes through enter.
type simProcess struct {
	s      *simulation
	engine *Engine
	cancel context.CancelFunc
	done   chan error

	// Guarded by s.mu.
	dead     bool       // what it asks from now on has no effect
	frozen   time.Time  // until then it does nothing, and what it had asked happens afterwards
	lease    time.Time  // until when it knows that it lasts
	losses   []absence  // when it was dead or frozen, or had no lease and did not see it
	setbacks []*setback // on the way of outcomes to their commit
}

// start runs a process.
func (w *worker) start() {
	w.s.t.Helper()
	ctx, cancel := context.WithCancel(w.s.t.Context())
	p := &simProcess{s: w.s, cancel: cancel, done: make(chan error, 1)}
	p.open(w.dir())
	w.p = p
	w.s.processes = append(w.s.processes, p)
	go func() {
		if err := p.engine.Recover(ctx); err != nil {
			p.done <- err
			return
		}
		p.done <- p.engine.Run(ctx)
	}()
}

// kill ends the process at once: what it has in flight is gone, and the next one finds the disk as it is now.
func (w *worker) kill() {
	w.s.t.Helper()
	w.s.mu.Lock()
	w.p.dead = true
	w.p.losses = append(w.p.losses, absence{time.Now(), time.Now()})
	w.s.interruptions++
	w.s.mu.Unlock()
	was := w.dir()
	w.life++
	err := os.CopyFS(w.dir(), os.DirFS(was))
	for errors.Is(err, fs.ErrNotExist) { // a journal file that nobody needs any more went while it was copied
		os.RemoveAll(w.dir())
		err = os.CopyFS(w.dir(), os.DirFS(was))
	}
	if err != nil {
		w.s.t.Fatal(err)
	}
	w.p.cancel() // what is left of it takes its time to end, and has no effect: nobody waits for it
}

// stop ends the process as a service manager does, and waits for its end. It costs no more than a kill: requests that do not end in the
// drain time are called off, and what cannot be committed stays in the journal.
func (w *worker) stop() {
	w.s.t.Helper()
	w.p.end(w.s)
	w.s.count(func() {
		w.p.losses = append(w.p.losses, absence{time.Now(), time.Now()})
		w.s.interruptions++
	})
}

// leave ends the process as the seed decides: it is killed, or stopped in order.
func (w *worker) leave() {
	w.s.t.Helper()
	if w.s.plan.IntN(2) == 0 {
		w.kill()
		return
	}
	w.stop()
}

func (p *simProcess) end(s *simulation) {
	s.t.Helper()
	p.cancel()
	s.processes = slices.DeleteFunc(s.processes, func(q *simProcess) bool { return p == q })
	err := <-p.done
	if err != nil && !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), errKilled.Error()) {
		s.t.Errorf("a process ended by itself: %v", err)
	}
}

// freeze stops the process for a while.
func (p *simProcess) freeze(d time.Duration) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.frozen = time.Now().Add(d)
	p.losses = append(p.losses, absence{time.Now(), p.frozen})
	if p.frozen.After(p.s.thawed) {
		p.s.thawed = p.frozen
	}
	p.s.interruptions++
}

// open makes the engine of a process on a disk.
func (p *simProcess) open(dir string) {
	s := p.s
	s.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	var err error
	p.engine, err = New(Options{Worker: true, Shared: s.shared, Log: simLog(), Listener: s.listener, Store: flaky{s.db, p}, Models: s.served(p), Dir: dir, Limits: batholith.DefaultLimits(), Caps: s.caps,
		Drain: time.Second, Memory: 256 << 20, PartBytes: simPart, FirstPartial: simPartial, PartialEvery: 1,
		Place: func(_ context.Context, j batholith.Job) (blob.Place, error) {
			if s.place != nil {
				return s.place(s.t.Context(), j)
			}
			b := flakyBucket{s.bucket, p}
			return blob.Place{Input: b, Output: b, InputKey: "in/" + j.ID + "/", Prefix: "out/" + j.ID + "/"}, nil
		}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// served are the models as a process reaches them; a process that sends nothing is nil.
func (s *simulation) served(p *simProcess) *Models {
	s.t.Helper()
	m, err := OpenModels(s.modelOptions(p))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// modelOptions are the models of the simulation as a process reaches them.
func (s *simulation) modelOptions(p *simProcess) (all ModelOptions) {
	for name, model := range s.models {
		o := upstream.Options{URL: "http://" + name + "/v1", Model: simlm.Model, MaxInFlight: max(s.inFlight, 0), Timeout: s.timeout}
		if p != nil {
			o.Transport = modelOf{p, upstream.InProcess(p.serve(model))}
		}
		all.Served = append(all.Served, Served{Model: batholith.Model{ID: name, Family: "openai"}, Backends: []upstream.Options{o}})
	}
	return all
}

// simLog shows what the engines log when BATHOLITH_SIM_LOG is set.
func simLog() *slog.Logger {
	if os.Getenv("BATHOLITH_SIM_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// modelOf is the way to a model server: it refuses connections while there is an outage.
type modelOf struct {
	p  *simProcess
	to http.RoundTripper
}

func (m modelOf) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.WithContext(context.WithValue(r.Context(), begunKey{}, time.Now()))
	if err := m.p.enter(r.Context(), model); err != nil {
		return nil, err
	}
	return m.to.RoundTrip(r)
}

// serve is a model as a process reaches it, with an account of what it was asked.
func (p *simProcess) serve(model http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := p.s
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		_, prompt, isRecord := strings.Cut(string(body), `"content":"`)
		record, _, _ := strings.Cut(prompt, `"`)
		job, _, _ := strings.Cut(record, "/")
		s.count(func() {
			if isRecord = isRecord && s.requests[job] != nil; isRecord {
				return
			}
			switch r.URL.Path {
			case "/v1/models":
				s.probes = append(s.probes, time.Now())
			case "/v1/chat/completions":
				s.canaries = append(s.canaries, time.Now())
			}
		})
		if !isRecord {
			model.ServeHTTP(w, r)
			return
		}
		a := &asking{p: p, begun: begun(r.Context())}
		s.count(func() {
			s.requests[job].asked[record] = append(s.requests[job].asked[record], a)
			s.requests[job].last = time.Now()
		})
		failed := func() { s.count(func() { a.failed = true }) }
		defer func() {
			if broken := recover(); broken != nil {
				failed()
				panic(broken)
			}
		}()
		answer := httptest.NewRecorder()
		model.ServeHTTP(answer, r)
		switch code := answer.Code; {
		case code >= 400, code == 200 && answer.Body.Len() > 0 && answer.Body.Bytes()[0] != '{':
			failed()
		}
		if err := p.enter(r.Context(), nowhere); err != nil {
			return // nobody is there to hear it
		}
		s.count(func() { a.answered = time.Now() })
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}

// count changes an account.
func (s *simulation) count(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}
