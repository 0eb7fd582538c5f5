package managed

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
)

// Servers are the model servers that a process runs. They are safe for concurrent use, except Run, which may be called once.
type Servers struct {
	o Options

	mu      sync.Mutex
	all     []*Server
	running map[*Server]context.CancelFunc // those that Run has started
	removed map[*Server]bool               // those of them that are being stopped
	ctx     context.Context                // of Run; nil before it
	dir     string
	log     *slog.Logger
	wg      sync.WaitGroup // the goroutines of running
}

// New returns an empty set.
func New(o Options) *Servers {
	return &Servers{o: o.withDefaults(), running: map[*Server]context.CancelFunc{}, removed: map[*Server]bool{}}
}

// Add returns the server of a spec, a new one if no server of the set has an equal spec. Its name is the name of its program, with a
// number if several servers have the same program. Run starts it; once Run has begun, Start does.
func (s *Servers) Add(spec Spec) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.all {
		if other.spec.same(spec) && !s.removed[other] {
			return other
		}
	}
	base := nameOf(spec.Exec[0])
	name := base
	for n := 2; slices.ContainsFunc(s.all, func(o *Server) bool { return o.name == name }); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	server := newServer(name, spec, s.o)
	s.all = append(s.all, server)
	return server
}

// Keep removes all servers but the given ones. Those that were started are stopped, without waiting for their end; their names can be used
// again once they have ended.
func (s *Servers) Keep(only func(*Server) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(o *Server) bool {
		if only(o) {
			return false
		}
		if stop := s.running[o]; stop != nil {
			s.removed[o] = true
			stop() // its goroutine removes it
			return false
		}
		return true
	})
}

// Run runs all servers until ctx ends, and returns when all have been stopped. dir is the folder of their logs and states.
func (s *Servers) Run(ctx context.Context, dir string, log *slog.Logger) error {
	s.mu.Lock()
	s.ctx, s.dir, s.log = ctx, dir, log
	s.mu.Unlock()
	if err := s.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	s.mu.Lock() // no Start adds to wg any more
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// Start starts the servers that were added since Run began. Before Run it does nothing.
func (s *Servers) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil || len(s.all) == 0 {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for the logs of model servers: %w", err)
	}
	for _, server := range s.all {
		if s.running[server] != nil {
			continue
		}
		ctx, stop := context.WithCancel(s.ctx)
		s.running[server] = stop
		s.wg.Go(func() { s.run(ctx, server) })
	}
	return nil
}

// run runs one server until ctx ends, and then forgets it if it was removed.
func (s *Servers) run(ctx context.Context, server *Server) {
	if err := server.Run(ctx, s.dir, s.log); err != nil && s.log != nil {
		s.log.Error("model server cannot be run", "server", server.name, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() == nil {
		delete(s.running, server)
		delete(s.removed, server)
		s.all = slices.DeleteFunc(s.all, func(o *Server) bool { return o == server })
	}
}

// Notes returns a line for each server that is not ready, for an operator. Nothing in it comes from a server.
func (s *Servers) Notes() (notes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range s.all {
		if st := server.State(); st.Phase != PhaseReady && !s.removed[server] {
			notes = append(notes, st.Public()+": "+st.Progress())
		}
	}
	return notes
}
