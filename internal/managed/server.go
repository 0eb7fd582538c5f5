package managed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
)

// Options are the times of all servers. Zero fields have the defaults in brackets.
type Options struct {
	Least, Most time.Duration // waits before a restart: they double from Least (1 s) to Most (1 min)
	Steady      time.Duration // after that time in readiness, waits begin with Least again (1 min)
	Grace       time.Duration // between SIGTERM and SIGKILL (10 s)
	Look        time.Duration // between two looks at the health of a server that starts (250 ms)
	Watch       time.Duration // between two looks at a server that is ready (10 s)
	Patience    time.Duration // of one look (5 s)
	Unwell      time.Duration // after which a server that refuses connections or answers 5xx is restarted (1 min)
	Unheard     time.Duration // after which a server that answers no look at all is restarted (10 min): it may only be busy

	Changed func(State) // called at each change, one call at a time; it must not block. nil: nobody
}

func (o Options) withDefaults() Options {
	o.Least, o.Most = cmp.Or(o.Least, time.Second), cmp.Or(o.Most, time.Minute)
	o.Steady, o.Grace = cmp.Or(o.Steady, time.Minute), cmp.Or(o.Grace, 10*time.Second)
	o.Look, o.Watch, o.Patience = cmp.Or(o.Look, 250*time.Millisecond), cmp.Or(o.Watch, 10*time.Second), cmp.Or(o.Patience, 5*time.Second)
	o.Unwell, o.Unheard = cmp.Or(o.Unwell, time.Minute), cmp.Or(o.Unheard, 10*time.Minute)
	return o
}

// Server is one model server. It is safe for concurrent use, except Run.
type Server struct {
	name string
	spec Spec
	o    Options

	dir    string // of its log and state; set by Run, and used by its goroutine only
	log    *slog.Logger
	out    *output
	before State // that an earlier run left; zero once that has been stopped

	mu    sync.Mutex
	state State
	ready chan struct{} // closed while the server is ready
}

func newServer(name string, spec Spec, o Options) *Server {
	return &Server{name: name, spec: spec, o: o, ready: make(chan struct{}), state: State{Name: name, Phase: PhaseStarting, Since: time.Now()}}
}

// At returns a server that another process runs, for Dial only.
func At(st State) *Server {
	s := newServer(st.Name, Spec{}, Options{})
	s.state = st
	return s
}

// Name is unique among the servers of a process, and valid as the name of a host.
func (s *Server) Name() string { return s.name }

// Spec returns how the server is started.
func (s *Server) Spec() Spec { return s.spec }

// State returns what is known now.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Ready returns a channel that is closed when the server is ready, or nil if it is ready now.
func (s *Server) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Phase == PhaseReady {
		return nil
	}
	return s.ready
}

// Progress describes the progress of a start, or is "". Everyone may read it.
func (s *Server) Progress() string { return s.State().Progress() }

// Dial connects to the server. While the server is not ready, it returns a [*batholith.Failure] of kind FailureUnreachable that says what
// the server does, and nothing is sent.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	st := s.State()
	if st.Phase != PhaseReady {
		text := st.Public()
		return nil, &batholith.Failure{Kind: batholith.FailureUnreachable, Public: text, Message: text}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", loopback(st.Port))
}

// Run starts the server, restarts it when it ends, and stops it when ctx ends. dir is the folder of its log and state.
func (s *Server) Run(ctx context.Context, dir string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(filepath.Join(dir, s.name+".log"))
	if err != nil {
		return fmt.Errorf("find the folder for logs of model servers: %w", err)
	}
	s.dir, s.log, s.out = dir, log.With("server", s.name), newOutput(path)
	defer s.out.close()
	s.before = s.earlier()
	waits := backoff.New(s.o.Least, s.o.Most)
	for ctx.Err() == nil {
		e := s.live(ctx)
		if e.ready >= s.o.Steady {
			waits = backoff.New(s.o.Least, s.o.Most)
		}
		if ctx.Err() != nil {
			break
		}
		wait := waits.Next()
		s.change(func(st *State) {
			st.Phase, st.Again, st.PID, st.Port, st.Birth, st.Percent = PhaseWaiting, time.Now().Add(wait), 0, 0, Birth{}, 0
			st.Why, st.Said, st.Failed = e.why, e.said, st.Failed+1
			if e.served {
				st.Failed = 0
			}
		})
		s.tellEnd(wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	s.change(func(st *State) { st.Phase, st.PID, st.Port, st.Birth = PhaseStopped, 0, 0, Birth{} })
	return nil
}

// end is how the life of a process ended.
type end struct {
	why    string        // of the process's end, or why it was not started
	served bool          // the server was ready
	ready  time.Duration // for that long
	said   []string      // the last lines, if it was never ready
}

// live is the life of one process, from its start to its end.
func (s *Server) live(ctx context.Context) (e end) {
	if err := endLeftover(ctx, s.before, s.o.Grace, s.log); err != nil {
		return end{why: err.Error()}
	}
	s.before = State{}
	s.out.begin()
	port, p, err := s.start(ctx)
	if err != nil {
		return end{why: err.Error()}
	}
	birth, _ := birthOf(p.pid())
	s.change(func(st *State) {
		st.Phase, st.PID, st.Birth, st.Port, st.Percent, st.Log, st.Again = PhaseStarting, p.pid(), birth, port, 0, s.out.path, time.Time{}
		st.Starts++
	})
	s.log.Info("model server started", "pid", p.pid(), "port", port, "log", s.out.path)
	since, sick := s.watch(ctx, p, port)
	if sick != "" { // nothing more is sent to it while it ends
		s.change(func(st *State) { st.Phase, st.Why = PhaseWaiting, sick })
	}
	p.stop(s.o.Grace) // returns at once if it has ended
	e.why = cmp.Or(sick, p.end())
	if e.served = !since.IsZero(); e.served {
		e.ready = time.Since(since)
	} else {
		e.said = s.out.lines()
	}
	return e
}

// earlier reads the state that an earlier run left.
func (s *Server) earlier() State {
	st, err := Look(s.dir, s.name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("the state of a model server is not readable; a process of an earlier run may be left", "err", err)
	}
	return st
}

// start starts the process on a free port.
func (s *Server) start(ctx context.Context) (port int, p *process, err error) {
	if port, err = freePort(ctx); err != nil {
		return 0, nil, fmt.Errorf("no free port: %w", err)
	}
	args, env := s.spec.on(port)
	fmt.Fprintf(s.out, "batholith: %s starts on port %d at %s\n", s.name, port, time.Now().Format(time.RFC3339))
	s.out.begin() // the line above is for the file only
	p, err = launch(args, env, s.spec.Dir, s.out)
	return port, p, startError(err)
}

// watch looks at the health of a process until it ends, is sick for too long, or ctx ends. It returns when the server became ready (zero:
// never), and what is wrong with a sick one.
func (s *Server) watch(ctx context.Context, p *process, port int) (ready time.Time, sick string) {
	looking, stop := context.WithCancel(ctx)
	looks := make(chan verdict) // closed by the goroutine below
	go func() {
		defer close(looks)
		h := newHealth(port, s.spec.Health, s.o.Patience)
		for every := s.o.Look; looking.Err() == nil; {
			v := h.ask(looking)
			select {
			case looks <- v:
			case <-looking.Done():
				return
			}
			if v == answered {
				every = s.o.Watch
			}
			select {
			case <-time.After(every):
			case <-looking.Done():
			}
		}
	}()
	defer func() { stop(); <-looks }()
	ill := illness{o: s.o}
	for {
		select {
		case <-p.ended:
			return ready, ""
		case <-ctx.Done():
			return ready, ""
		case v := <-looks:
			switch {
			case v == answered && ready.IsZero():
				ready = time.Now()
				s.change(func(st *State) { st.Phase, st.Percent = PhaseReady, 0 })
				s.log.Info("model server is ready", "pid", p.pid(), "port", port)
			case ready.IsZero():
				if n := s.out.loaded(); n != s.State().Percent {
					s.change(func(st *State) { st.Percent = n })
				}
			}
			if why := ill.look(v, time.Now()); why != "" && !ready.IsZero() {
				return ready, why
			}
		}
	}
}

// illness judges the looks at a server that has been ready.
type illness struct {
	o       Options
	since   time.Time // of the first look in a row that was not answered; zero: the last one was
	unwells int       // looks in the row that showed more than a busy server
	looks   int       // in the row
}

// look counts a look. If the server has been ill for too long, it returns the reason, otherwise "". A start has no time limit: a large model
// may load for an hour.
func (i *illness) look(v verdict, now time.Time) string {
	if v == answered {
		*i = illness{o: i.o}
		return ""
	}
	if i.since.IsZero() {
		i.since = now
	}
	if i.looks++; v == unwell {
		i.unwells++
	}
	switch age := now.Sub(i.since); {
	case i.unwells == i.looks && age >= i.o.Unwell:
		return "its health check kept failing, so it was stopped"
	case age >= i.o.Unheard:
		return "its health check got no answer, so it was stopped"
	}
	return ""
}

// change changes the state, saves it, and tells Ready and Options.Changed.
func (s *Server) change(f func(*State)) {
	s.mu.Lock()
	was := s.state.Phase
	f(&s.state)
	st := s.state
	switch {
	case st.Phase == was:
	case st.Phase == PhaseReady:
		s.state.Since = time.Now()
		close(s.ready)
	default:
		s.state.Since = time.Now()
		if was == PhaseReady {
			s.ready = make(chan struct{})
		}
	}
	st = s.state
	s.mu.Unlock()
	if err := st.save(s.dir); err != nil {
		s.log.Warn("write the state of a model server", "err", err)
	}
	if s.o.Changed != nil {
		s.o.Changed(st)
	}
}

// tellEnd logs the end of a process. Its last lines are quoted only if it was never ready.
func (s *Server) tellEnd(wait time.Duration) {
	st := s.State()
	attrs := []any{"why", st.Why, "again_in", wait.Round(time.Millisecond), "log", s.out.path}
	if st.Failed == 0 {
		s.log.Warn("model server ended, and is started again", attrs...)
		return
	}
	if len(st.Said) > 0 {
		attrs = append(attrs, "it_said", strings.Join(st.Said, " / "))
	}
	s.log.Error("model server does not start", append(attrs, "starts_that_failed", st.Failed)...)
}
