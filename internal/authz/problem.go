package authz

import (
	"fmt"
	"strings"
)

// Problem is one fault in a policy file.
type Problem struct {
	Line, Column int    // from 1; 0 when the whole file is meant. Column counts characters
	What         string // the fault, on one line
	Remedy       string // what to do about it; may be ""
}

// Error lists everything that is wrong with a policy file, in the order of the file.
type Error struct {
	File     string
	Problems []Problem
}

// Error returns one line for each problem: FILE:LINE:COLUMN: WHAT (REMEDY).
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = e.File + p.at() + ": " + p.What
		if p.Remedy != "" {
			lines[i] += " (" + p.Remedy + ")"
		}
	}
	return strings.Join(lines, "\n")
}

// place returns the place of the problem for people.
func (p Problem) place() string {
	if p.Line == 0 {
		return "its beginning"
	}
	return fmt.Sprintf("line %d, column %d", p.Line, p.Column)
}

// at returns the place as compilers print it, ":LINE:COLUMN", or "" for the whole file.
func (p Problem) at() string {
	if p.Line == 0 {
		return ""
	}
	return fmt.Sprintf(":%d:%d", p.Line, p.Column)
}
