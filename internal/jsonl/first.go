package jsonl

import (
	"cmp"
	"slices"
	"sync"
)

// Found is a problem of one of several files.
type Found struct {
	File int
	Problem
}

// First keeps the first problems of several files, in the order of files and lines, whichever file comes to its end first. It is safe
// for concurrent use.
type First struct {
	keep int

	mu    sync.Mutex
	found []Found // at most twice keep
}

// NewFirst makes a list of at most keep problems.
func NewFirst(keep int) *First { return &First{keep: keep} }

// Add takes problems of one file in.
func (f *First) Add(file int, problems []Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range problems {
		if f.found = append(f.found, Found{file, p}); len(f.found) >= 2*f.keep {
			f.trim()
		}
	}
}

// List is what was kept, in order.
func (f *First) List() []Found {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trim()
	return slices.Clone(f.found)
}

func (f *First) trim() {
	slices.SortStableFunc(f.found, func(a, b Found) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	f.found = f.found[:min(len(f.found), f.keep)]
}
