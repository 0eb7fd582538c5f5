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
	last  Found   // of those that were kept when they were last put in order; the zero value while there is room
}

// NewFirst makes a list of at most keep problems.
func NewFirst(keep int) *First { return &First{keep: keep} }

// Room tells whether a problem there would be kept, were it added now.
func (f *First) Room(file int, line int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last.Line == 0 || f.last.File > file || f.last.File == file && f.last.Line > line
}

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
	if len(f.found) >= f.keep {
		f.found = f.found[:f.keep]
		f.last = f.found[f.keep-1]
	}
}
