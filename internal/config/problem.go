package config

import (
	"fmt"
	"strings"
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

// Closest returns the candidate that word was probably meant to be, or "".
func Closest(word string, candidates []string) string {
	best, limit := "", 1+len(word)/4
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// didYouMean is a remedy for a word that is none of the candidates.
func didYouMean(word string, candidates []string) string {
	if c := Closest(word, candidates); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	return "known here: " + strings.Join(candidates, ", ")
}

// distance counts the insertions, deletions, substitutions and swaps of neighbours between two words.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
