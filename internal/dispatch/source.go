package dispatch

import (
	"github.com/batholith/batholith"
	printable "github.com/batholith/batholith/internal/plain"
)

// longestModel bounds a model name from an answer, in bytes. Longer names are shortened, since the name is stored with every outcome.
const longestModel = 200

// source says where an answer of this lane came from. Answers with equal sources share one value.
func (l *lane) source(model, recipe string, changes batholith.Changes) *batholith.Source {
	s := batholith.Source{Backend: l.backend.String(), Model: model, Recipe: recipe, Changes: changes}
	last := l.lastSource.Load()
	if last != nil && last.Equal(&s) {
		return last
	}
	s.Model = printable.Short(model, longestModel)
	l.lastSource.Store(&s)
	return &s
}
