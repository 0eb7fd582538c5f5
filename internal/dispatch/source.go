package dispatch

import (
	"github.com/batholith/batholith"
	printable "github.com/batholith/batholith/internal/plain"
)

// longestModel bounds the name of a model in an answer, in bytes. Longer ones are shortened, for the name stands in every outcome.
const longestModel = 200

// source is where an answer of this lane came from. Most are as the one before, and share it.
func (l *lane) source(model string, changes batholith.Changes) *batholith.Source {
	s := batholith.Source{Backend: l.backend.String(), Model: model, Changes: changes}
	last := l.lastSource.Load()
	if last != nil && last.Equal(&s) {
		return last
	}
	s.Model = printable.Short(model, longestModel)
	l.lastSource.Store(&s)
	return &s
}
