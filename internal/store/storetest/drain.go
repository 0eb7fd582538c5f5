package storetest

import "testing"

func draining() []law {
	return []law{{"ADrainedServerIsKnownUntilItIsResumed", drainKept}}
}

func drainKept(t *testing.T, p Port) {
	const one, two = "http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"
	no(t, p.Drain(t.Context(), two, "ann"))
	no(t, p.Drain(t.Context(), one, "bob"))
	no(t, p.Drain(t.Context(), two, "bob")) // the first one stays
	all, err := p.Drains(t.Context())
	no(t, err)
	same(t, len(all), 2)
	same(t, []string{all[0].Address, all[0].By, all[1].Address, all[1].By}, []string{one, "bob", two, "ann"})
	if all[1].Since.IsZero() || all[0].Since.Before(all[1].Since) {
		t.Errorf("drained since %s and %s", all[1].Since, all[0].Since)
	}
	no(t, p.Undrain(t.Context(), two))
	no(t, p.Undrain(t.Context(), two)) // once more does no harm
	all, err = p.Drains(t.Context())
	no(t, err)
	same(t, len(all), 1)
	same(t, all[0].Address, one)
}
