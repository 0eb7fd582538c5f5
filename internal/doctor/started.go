package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/upstream"
)

// started examines a model server that the service starts itself, by the state that the service writes. If the server is ready, the finding
// is empty, and the backend reaches the server that the service runs.
func (d *doctor) started(s *managed.Server, m Model, b upstream.Options) (Finding, upstream.Options) {
	f := Finding{Severity: Note, Check: "model", Remedy: "jobs for " + m.ID + " wait for it"}
	st, err := managed.Look(filepath.Join(d.o.DataDir, managed.Folder), s.Name())
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		f.Severity, f.What, f.Why = Problem, fmt.Sprintf("the state of %s cannot be read", s.Name()), reason(err)
		return f, b
	case !d.alive:
		f.What, f.Remedy = fmt.Sprintf("%s, which serves %s, does not run: the service starts it, and is not running", s.Name(), m.ID), "start the service with: "+d.o.Serve
		return f, b
	case err != nil || st.Phase == managed.PhaseStopped || st.Phase != managed.PhaseWaiting && !st.Alive():
		f.What = fmt.Sprintf("%s, which serves %s, is not started yet", s.Name(), m.ID)
		return f, b
	case st.Phase == managed.PhaseReady:
		b.Process = managed.At(st)
		return Finding{}, b
	}
	f.What = st.Public() + ": " + st.Progress()
	f.Remedy += "; its output is in " + st.Log
	if st.Failed > 0 {
		f.Severity, f.Remedy = Problem, "correct what they name, or exec, env and dir of the backend; all of its output is in "+st.Log
		if f.Why = "it printed nothing before its end"; len(st.Said) > 0 {
			f.Why = "its last lines were:\n" + strings.Join(st.Said, "\n")
		}
	}
	return f, b
}

// placeOf says where a backend is: its URL, or the process of a server that the service starts.
func placeOf(b upstream.Options) string {
	if s, ok := b.Process.(*managed.Server); ok {
		st := s.State()
		return fmt.Sprintf("%s (process %d, port %d)", st.Name, st.PID, st.Port)
	}
	return plain.Redact(b.URL)
}
