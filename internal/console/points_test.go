package console_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/console"
)

// memory is a history that keeps points, and a job that runs.
type memory struct {
	history
	mu      sync.Mutex
	stored  []batholith.Point
	running *batholith.Job
	put     chan struct{} // receives after points were stored
}

func (m *memory) PutPoints(_ context.Context, all []batholith.Point) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored = append(m.stored, all...)
	select {
	case m.put <- struct{}{}:
	default:
	}
	return nil
}

func (m *memory) Points(context.Context, string) ([]batholith.Point, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]batholith.Point(nil), m.stored...), nil
}

func (m *memory) Running(context.Context, int) ([]batholith.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		return nil, nil
	}
	return []batholith.Job{*m.running}, nil
}

// plots are the points that the page of a job gets.
func (s *site) plots() (p struct {
	At      []int64
	Records []float64
	Tokens  []float64
}) {
	s.t.Helper()
	_, _, text := s.get("/console/jobs/aaaaaaaaaaaa/points")
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		s.t.Fatal(err, text)
	}
	return p
}

func TestPlotsOfAJobThatThisProcessHasNotSeenAreThoseThatWereStored(t *testing.T) {
	from := begin.Add(time.Minute) // when the history has InProgress
	m := &memory{}
	for n := int64(1); n < 4; n++ {
		m.stored = append(m.stored, batholith.Point{Job: "aaaaaaaaaaaa", At: from.Add(time.Duration(n) * time.Minute), Records: 60 * n, Tokens: 600 * n})
	}
	s := newSite(t, func(o *console.Options) { o.Jobs = m })
	s.signIn()
	p := s.plots()
	if d := cmp.Diff([]float64{1, 1, 1}, p.Records) + cmp.Diff([]float64{10, 10, 10}, p.Tokens); d != "" || p.At[0] != from.Unix()+60 {
		t.Errorf("from %v: %s", p.At, d)
	}
	s.api.set(func() { // the job has ended between two points
		j := s.api.jobs["aaaaaaaaaaaa"]
		j.Status, j.EndTime, j.ProcessedRecordCount = batholith.StatusCompleted, bedrock.Timestamp{Time: from.Add(190 * time.Second)}, 200
		s.api.jobs["aaaaaaaaaaaa"] = j
	})
	p = s.plots()
	for until := time.Now().Add(10 * time.Second); len(p.At) != 4 && time.Now().Before(until); { // pages share a look for a moment
		p = s.plots()
	}
	if len(p.At) != 4 || p.At[3] != from.Unix()+190 {
		t.Errorf("the plots of the ended job are %+v", p)
	}
}

func TestPointsOfRunningJobsAreStoredOnceAMinute(t *testing.T) {
	m := &memory{put: make(chan struct{}, 1), running: &batholith.Job{ID: "aaaaaaaaaaaa", Model: "m.one", Counts: batholith.Counts{Processed: 7}, Tokens: batholith.Tokens{Input: 5, Output: 6}}}
	s := newSite(t, func(o *console.Options) { o.Jobs = m })
	for range 2 {
		<-m.put
		s.pass(time.Minute)
	}
	<-m.put
	m.mu.Lock()
	defer m.mu.Unlock()
	want := batholith.Point{Job: "aaaaaaaaaaaa", Records: 7, Tokens: 11}
	for i, p := range m.stored {
		if minute := p.At.Truncate(time.Minute); i > 0 && !minute.After(m.stored[i-1].At) {
			t.Errorf("points at %s and %s", m.stored[i-1].At, p.At)
		}
		p.At = time.Time{}
		if p != want {
			t.Errorf("the point is %+v", p)
		}
	}
	if len(m.stored) != 3 {
		t.Errorf("%d points in three minutes", len(m.stored))
	}
}
