package batholith

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/status.md anew")

func TestOnlyTheFiveEndsAreTerminal(t *testing.T) {
	var ends []Status
	for _, s := range Statuses() {
		if s.Terminal() {
			ends = append(ends, s)
		}
	}
	if got, want := fmt.Sprint(ends), "[Completed Failed Stopped PartiallyCompleted Expired]"; got != want {
		t.Errorf("terminal statuses: %s, want %s", got, want)
	}
}

// order is how far along a status is; nothing leads from a later to an earlier one.
var order = map[Status]int{StatusSubmitted: 0, StatusValidating: 1, StatusScheduled: 2, StatusInProgress: 3, StatusStopping: 4,
	StatusCompleted: 5, StatusFailed: 5, StatusStopped: 5, StatusPartiallyCompleted: 5, StatusExpired: 5}

func TestNoStatusMovesBackwards(t *testing.T) {
	for _, s := range Statuses() {
		for _, e := range Events() {
			next, err := s.Next(e)
			var refused *MoveError
			switch {
			case errors.As(err, &refused):
				if next != s {
					t.Errorf("%s is refused in %s, and moves it to %s", e, s, next)
				}
			case err != nil:
				t.Errorf("%s in %s: %v", e, s, err)
			case order[next] < order[s] || order[next] == order[s] && next != s:
				t.Errorf("%s moves %s back to %s", e, s, next)
			}
		}
	}
}

func TestEveryStatusCanBeReachedAndLeft(t *testing.T) {
	reached := map[Status]bool{StatusSubmitted: true}
	for range Statuses() {
		for s := range reached {
			for _, next := range moves[s] {
				reached[next] = true
			}
		}
	}
	for _, s := range Statuses() {
		if !reached[s] {
			t.Errorf("no event leads to %s", s)
		}
	}
}

func TestStoppingTwiceIsNoError(t *testing.T) {
	for _, s := range []Status{StatusSubmitted, StatusValidating, StatusScheduled, StatusInProgress, StatusStopping} {
		if next, err := s.Next(EventStop); next != StatusStopping || err != nil {
			t.Errorf("stop in %s: %s, %v", s, next, err)
		}
	}
}

// The diagram in the documents is made from the table.
func TestTheDiagramIsThatOfTheTable(t *testing.T) {
	const path = "docs/status.md"
	if *update {
		if err := os.WriteFile(path, []byte(diagram()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != diagram() {
		t.Errorf("%s is not what the table says; make it anew with: go test -run Diagram . -update", path)
	}
}

func diagram() string {
	var b strings.Builder
	b.WriteString("# The statuses of a job\n\nMade from the table in `status.go`; every other move is refused.\n\n```mermaid\nstateDiagram-v2\n    [*] --> Submitted: create\n")
	for _, s := range Statuses() {
		for _, e := range Events() {
			if next, err := s.Next(e); err == nil {
				fmt.Fprintf(&b, "    %s --> %s: %s\n", s, next, e)
			}
		}
	}
	for _, s := range Statuses() {
		if s.Terminal() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	b.WriteString("```\n")
	return b.String()
}
