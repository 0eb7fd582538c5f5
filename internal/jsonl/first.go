package jsonl

import (
	"cmp"
	"slices"
	"sync"
)

// Found is a problem in one of several files.
type Found struct {
	File int
	Problem
}

// First keeps the first problems of several files, sorted by file and line, regardless of the
// order in which they are added. It is safe for concurrent use.
type First struct {
	keep int // maximum number of problems

	mu    sync.Mutex // guards the fields below
	found []Found    // at most 2 × keep
	last  Found      // the last kept problem after trim; zero while there is room for more
}

// NewFirst returns an empty list that keeps at most keep problems.
func NewFirst(keep int) *First { return &First{keep: keep} }

// Room reports whether a problem at this place would be kept if it were added now.
func (f *First) Room(file int, line int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last.Line == 0 || f.last.File > file || f.last.File == file && f.last.Line > line
}

// Add adds problems of one file.
func (f *First) Add(file int, problems []Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range problems {
		if f.found = append(f.found, Found{file, p}); len(f.found) >= 2*f.keep {
			f.trim()
		}
	}
}

// List returns a copy of the kept problems, sorted.
func (f *First) List() []Found {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trim()
	return slices.Clone(f.found)
}

// trim sorts the list and drops what is beyond keep. The caller holds f.mu.
func (f *First) trim() {
	slices.SortStableFunc(f.found, func(a, b Found) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	if len(f.found) >= f.keep {
		f.found = f.found[:f.keep]
		f.last = f.found[f.keep-1]
	}
}
