package storetest

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func plotting() []law {
	return []law{
		{"OfSeveralPointsInAMinuteTheFirstCounts", firstPoint},
		{"PointsOfALongJobAreFewAndSpreadOverItsTime", fewPoints},
		{"PointsAreErasedWithTheirJob", erasedPoints},
	}
}

func pointAt(job string, minute int, second int) batholith.Point {
	return batholith.Point{Job: job, At: time.Unix(int64(minute*60+second), 0).UTC(), Records: int64(minute), Tokens: int64(2 * minute), InFlight: 3}
}

func firstPoint(t *testing.T, p Port) {
	a, b := create(t, p, newJob(1)).ID, create(t, p, newJob(2)).ID
	no(t, p.PutPoints(t.Context(), []batholith.Point{pointAt(a, 10, 1), pointAt(b, 10, 2), pointAt("nobody", 10, 2)}))
	no(t, p.PutPoints(t.Context(), []batholith.Point{pointAt(a, 10, 59), pointAt(b, 11, 0)}))
	for job, want := range map[string][]batholith.Point{a: {pointAt(a, 10, 1)}, b: {pointAt(b, 10, 2), pointAt(b, 11, 0)}, "nobody": nil} {
		got, err := p.Points(t.Context(), job)
		no(t, err)
		same(t, got, want)
	}
	no(t, p.PutPoints(t.Context(), nil))
}

func fewPoints(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	const most = 240
	for minute := 1003; minute < 1003+5*most; minute++ {
		no(t, p.PutPoints(t.Context(), []batholith.Point{pointAt(id, minute, 0)}))
		if minute == 1003+most-1 {
			if got, err := p.Points(t.Context(), id); err != nil || len(got) != most {
				t.Fatalf("after %d minutes there are %d points, %v", most, len(got), err)
			}
		}
	}
	got, err := p.Points(t.Context(), id)
	no(t, err)
	if len(got) > most || len(got) < most/2 {
		t.Fatalf("there are %d points", len(got))
	}
	for i := 1; i < len(got); i++ {
		if d := got[i].At.Sub(got[i-1].At); d != 8*time.Minute {
			t.Errorf("between points %d and %d are %s", i-1, i, d)
		}
	}
	if first, last := got[0].At.Unix()/60, got[len(got)-1].At.Unix()/60; first > 1010 || last < 1003+5*most-8 {
		t.Errorf("the points are from minute %d to %d", first, last)
	}
}

func erasedPoints(t *testing.T, p Port) {
	j := endedJob(t, p, 1, false)
	no(t, p.PutPoints(t.Context(), []batholith.Point{pointAt(j.ID, 10, 0), pointAt(j.ID, 11, 0)}))
	no(t, p.Forget(t.Context(), j.ID, time.Time{})) // the plots of a job that has ended stay
	if got, err := p.Points(t.Context(), j.ID); err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	no(t, p.ForgetJob(t.Context(), account, j.ID, false))
	no(t, p.EraseJob(t.Context(), j.ID))
	no(t, p.PutPoints(t.Context(), []batholith.Point{pointAt(j.ID, 12, 0)})) // of a process that has not heard of it
	if got, err := p.Points(t.Context(), j.ID); err != nil || len(got) != 0 {
		t.Errorf("points of an erased job: %v, %v", got, err)
	}
}
