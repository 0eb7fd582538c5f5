package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/words"
)

// Origin is the place a value came from.
type Origin struct {
	Source string // "default", "profile aws", "file", "environment", "flag"
	Name   string // name of the file, variable or flag
	Line   int    // line of the file, from 1; 0: not from a file
	Column int    // in the line, from 1; 0 when only the line is known
}

// String returns the place for messages: file:line, variable, flag, or source.
func (o Origin) String() string {
	switch {
	case o.Name == "":
		return o.Source
	case o.Column > 0:
		return fmt.Sprintf("%s:%d:%d", o.Name, o.Line, o.Column)
	case o.Line > 0:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	}
	return o.Name
}

// Problem is one error in the settings.
type Problem struct {
	Origin
	Reason string // what is wrong, naming the key
	Remedy string // what to do about it
}

// String returns place and reason on one line. The remedy is not included.
func (p Problem) String() string {
	if p.Origin.Name == "" {
		return p.Reason
	}
	return p.Origin.String() + ": " + p.reasonThere()
}

// reasonThere returns the reason without the key if the place names the key already:
// "--attempts: …" and not "--attempts: attempts: …".
func (p Problem) reasonThere() string {
	path, reason, ok := strings.Cut(p.Reason, ": ")
	if ok && (p.Name == envName(path) || p.flagOf(path)) {
		return reason
	}
	return p.Reason
}

// flagOf reports whether the place is the flag of the setting at path. The flag of an entry of a list has the name of its member.
func (p Problem) flagOf(path string) bool {
	name, is := strings.CutPrefix(p.Name, "--")
	return is && (name == path[strings.LastIndexByte(path, '.')+1:] ||
		slices.ContainsFunc(Settings(), func(s Setting) bool { return s.Path == path && s.Flag == name }))
}

// Error holds all problems, in file order.
type Error struct {
	Problems []Problem
}

// Error returns one problem per line.
func (e *Error) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
	}
	return strings.Join(all, "\n")
}

// didYouMean returns a remedy for an unknown word.
func didYouMean(word string, candidates []string) string {
	if c := words.Closest(word, candidates); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return "known here: " + strings.Join(candidates, ", ")
}
