package config

import (
	"fmt"
	"strings"

	"github.com/batholith/batholith/internal/words"
)

// Origin is where a value came from.
type Origin struct {
	Source string // "default", "profile aws", "file", "environment", "flag"
	Name   string // the file, the variable or the flag
	Line   int    // in the file, from 1; 0 elsewhere
}

// String names the place as a person would look for it.
func (o Origin) String() string {
	switch {
	case o.Name == "":
		return o.Source
	case o.Line > 0:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	}
	return o.Name
}

// Problem is one thing that is wrong with the settings.
type Problem struct {
	Origin
	Reason string // what is wrong, naming the key
	Remedy string // what to do about it
}

// String is the place and the reason on one line; the remedy is told apart.
func (p Problem) String() string {
	if p.Origin.Name == "" {
		return p.Reason
	}
	return p.Origin.String() + ": " + p.reasonThere()
}

// reasonThere is the reason without the key, where a flag or a variable already names it: --attempts and not --attempts: attempts.
func (p Problem) reasonThere() string {
	path, reason, ok := strings.Cut(p.Reason, ": ")
	if ok && (p.Name == envName(path) || p.Name == "--"+strings.NewReplacer(".", "-", "_", "-").Replace(path)) {
		return reason
	}
	return p.Reason
}

// Error is every problem that was found, in the order of the file.
type Error struct {
	Problems []Problem
}

func (e *Error) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
	}
	return strings.Join(all, "\n")
}

// didYouMean is a remedy for a word that is none of the candidates.
func didYouMean(word string, candidates []string) string {
	if c := words.Closest(word, candidates); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return "known here: " + strings.Join(candidates, ", ")
}
