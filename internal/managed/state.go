package managed

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/batholith/batholith/internal/words"
)

// Phase is what a server does now.
type Phase string

// The phases.
const (
	PhaseStarting Phase = "starting" // it does not answer yet
	PhaseReady    Phase = "ready"
	PhaseWaiting  Phase = "waiting" // it has ended, and is started again at State.Again
	PhaseStopped  Phase = "stopped" // by this process, at its end
)

// State is what is known of a server. DATA/servers/NAME.json holds the latest.
type State struct {
	Name    string    `json:"name"`
	Phase   Phase     `json:"phase"`
	Since   time.Time `json:"since"`             // of the phase
	PID     int       `json:"pid,omitempty"`     // 0: no process
	Birth   Birth     `json:"birth,omitzero"`    // of that process
	Port    int       `json:"port,omitempty"`    // of 127.0.0.1
	Percent int       `json:"percent,omitempty"` // of the load, as the server prints it; 0: unknown
	Failed  int       `json:"failed,omitempty"`  // processes in a row that ended before they were ready
	Starts  int       `json:"starts,omitempty"`  // of this run
	Why     string    `json:"why,omitempty"`     // the end of the latest process: "exit status 1"; "": none has ended
	Said    []string  `json:"said,omitempty"`    // its last lines, if it was never ready
	Again   time.Time `json:"again,omitzero"`    // time of the next start
	Log     string    `json:"log,omitempty"`     // absolute path
}

// Public says in a few words that do not change from second to second what the server does. Everyone may read it.
func (s State) Public() string {
	switch {
	case s.Phase == PhaseReady:
		return s.Name + " is ready"
	case s.Phase == PhaseStopped:
		return s.Name + " is stopped"
	case s.Phase == PhaseWaiting && s.Failed > 0:
		return fmt.Sprintf("%s does not start (%s)", s.Name, s.Why)
	case s.Phase == PhaseWaiting:
		return fmt.Sprintf("%s ended (%s) and will be started again", s.Name, s.Why)
	case s.Failed > 0:
		return fmt.Sprintf("%s %s again after a failed start (%s)", s.Name, BeingStarted, s.Why)
	}
	return s.Name + " " + BeingStarted
}

// BeingStarted is in every text about a server that is being started.
const BeingStarted = "is being started"

// Progress describes the progress of a start: its duration and the percentage that the server prints, or the time until the next attempt. It
// is "" for a server that is ready. Everyone may read it.
func (s State) Progress() string {
	text := ""
	switch s.Phase {
	case PhaseStarting:
		text = "for " + words.Span(time.Since(s.Since).Round(time.Second))
		if s.Percent > 0 {
			text += fmt.Sprintf(", %d %% loaded", s.Percent)
		}
	case PhaseWaiting:
		text = "the next start is in " + words.Span(max(time.Until(s.Again), 0).Round(time.Second))
	}
	if s.Failed > 1 && text != "" {
		text += fmt.Sprintf(", after %d failed starts", s.Failed)
	}
	return text
}

// Alive reports whether the process of the state runs.
func (s State) Alive() bool {
	b, ok := birthOf(s.PID)
	return ok && b == s.Birth
}

// Birth identifies a process together with its id: no other process of this machine has had both.
type Birth struct {
	Boot  string `json:"boot,omitempty"`  // of the machine; on other systems than Linux the start time in words
	Ticks int64  `json:"ticks,omitempty"` // start of the process since the boot, in clock ticks
}

// Folder is the folder in a data directory that has the logs and states of servers.
const Folder = "servers"

// statePath is the path of a server's state.
func statePath(dir, name string) string { return filepath.Join(dir, name+".json") }

// Look reads the state of a server that another process runs, or has run: [os.ErrNotExist] if there is none.
func Look(dir, name string) (s State, err error) {
	text, err := os.ReadFile(statePath(dir, name))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", statePath(dir, name), err)
	}
	return s, nil
}

// save replaces the state. It need not survive a crash of the machine: the boot tells that the process is gone.
func (s State) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp := statePath(dir, s.Name) + ".new"
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, statePath(dir, s.Name))
}
