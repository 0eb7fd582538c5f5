package storetest

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func learning() []law {
	return []law{
		{"WhatWasLearnedOfABackendIsKept", learned},
		{"WhatWasNotConfirmedForAWeekIsForgotten", unlearned},
	}
}

func learned(t *testing.T, p Port) {
	a := batholith.Learned{Backend: "gpu:8000", Model: "m", Limit: 288, Goodput: 7100.5, At: start()}
	_, err := p.Learned(t.Context(), a.Backend, a.Model)
	refused(t, err, batholith.ErrNotFound)
	no(t, p.Learn(t.Context(), a))
	b := a
	b.Model, b.Limit = "other", 3
	no(t, p.Learn(t.Context(), b))
	a.Limit, a.At = 300, start().Add(time.Hour)
	for range 2 {
		no(t, p.Learn(t.Context(), a))
	}
	for _, want := range []batholith.Learned{a, b} {
		got, err := p.Learned(t.Context(), want.Backend, want.Model)
		no(t, err)
		same(t, got, want)
	}
}

func unlearned(t *testing.T, p Port) {
	old := batholith.Learned{Backend: "old:1", Model: "m", Limit: 8, At: start()}
	no(t, p.Learn(t.Context(), old))
	no(t, p.Learn(t.Context(), batholith.Learned{Backend: "new:1", Model: "m", Limit: 8, At: start().Add(7 * 24 * time.Hour)}))
	_, err := p.Learned(t.Context(), old.Backend, old.Model)
	no(t, err)
	no(t, p.Learn(t.Context(), batholith.Learned{Backend: "new:1", Model: "m", Limit: 9, At: start().Add(8 * 24 * time.Hour)}))
	_, err = p.Learned(t.Context(), old.Backend, old.Model)
	refused(t, err, batholith.ErrNotFound)
}
