package managed

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"
)

// Servers are the model servers that a process runs. They are added before Run, by one goroutine.
type Servers struct {
	o   Options
	all []*Server
}

// New returns an empty set.
func New(o Options) *Servers { return &Servers{o: o.withDefaults()} }

// Add returns the server of a spec, a new one if no server of the set has an equal spec. Its name is the name of its program, with a
// number if several servers have the same program.
func (s *Servers) Add(spec Spec) *Server {
	for _, other := range s.all {
		if other.spec.same(spec) {
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

// Keep removes all servers but the given ones, so that Run does not start them.
func (s *Servers) Keep(only func(*Server) bool) {
	s.all = slices.DeleteFunc(s.all, func(o *Server) bool { return !only(o) })
}

// Run runs all servers until ctx ends, and returns when all have been stopped. dir is the folder of their logs and states.
func (s *Servers) Run(ctx context.Context, dir string, log *slog.Logger) error {
	if len(s.all) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for the logs of model servers: %w", err)
	}
	var g errgroup.Group
	for _, server := range s.all {
		g.Go(func() error { return server.Run(ctx, dir, log) })
	}
	return g.Wait()
}

// Notes returns a line for each server that is not ready, for an operator. Nothing in it comes from a server.
func (s *Servers) Notes() (notes []string) {
	for _, server := range s.all {
		if st := server.State(); st.Phase != PhaseReady {
			notes = append(notes, st.Public()+": "+st.Progress())
		}
	}
	return notes
}
