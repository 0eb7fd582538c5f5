package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// jobModel is the job table of one account in memory.
type jobModel struct {
	port    Port
	account string
	jobs    []batholith.Job // in the order of creation
	tokens  map[string]string
	hashes  map[string]string
	now     time.Time
}

// newJobModel is a model of the n-th account.
func newJobModel(p Port, n int) *jobModel {
	return &jobModel{port: p, account: fmt.Sprintf("%012d", n), tokens: map[string]string{}, hashes: map[string]string{}, now: start()}
}

// Create asks for a job out of few names, models and tokens, so that they meet.
func (m *jobModel) Create(t *rapid.T) {
	j := newJob(len(m.jobs))
	j.ID = m.account[6:] + j.ID[6:]
	j.Account = m.account
	j.Name = rapid.SampledFrom([]string{"alpha", "beta", "alphabet", "gamma"}).Draw(t, "name")
	j.Model = rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "model")
	j.ModelID = rapid.SampledFrom([]string{"", "alias-of-"}).Draw(t, "alias") + j.Model
	j.Token = rapid.SampledFrom([]string{"", "", "t1", "t2", "t3"}).Draw(t, "token")
	j.Submitted = m.now.Add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "skew")) * time.Second)
	j.Expires = j.Submitted.Add(time.Hour)
	hash := rapid.SampledFrom([]string{"h1", "h1", "h2"}).Draw(t, "hash")

	want, refusal := m.create(j, hash, 3)
	got, err := m.port.CreateJob(t.Context(), j, hash, 3)
	if refusal != nil {
		refused(t, err, refusal)
		return
	}
	no(t, err)
	same(t, got, want)
}

func (m *jobModel) create(j batholith.Job, hash string, maxActive int) (batholith.Job, error) {
	if id, ok := m.tokens[j.Token]; ok && j.Token != "" {
		if m.hashes[j.Token] != hash {
			return j, batholith.ErrTokenReused
		}
		return *m.find(id), nil
	}
	active := 0
	for _, k := range m.jobs {
		switch {
		case k.Status.Terminal():
		case k.Name == j.Name:
			return j, batholith.ErrNameInUse
		case k.Model == j.Model:
			active++
		}
	}
	if active >= maxActive {
		return j, batholith.ErrTooManyActive
	}
	if n := len(m.jobs); n > 0 && m.jobs[n-1].Submitted.After(j.Submitted) {
		j.Submitted = m.jobs[n-1].Submitted
		j.Expires = j.Submitted.Add(time.Hour)
	}
	j.Modified, j.Status = j.Submitted, batholith.StatusSubmitted
	m.jobs = append(m.jobs, j)
	m.tokens[j.Token], m.hashes[j.Token] = j.ID, hash
	return j, nil
}

func (m *jobModel) find(id string) *batholith.Job {
	i := slices.IndexFunc(m.jobs, func(j batholith.Job) bool { return j.ID == id })
	return &m.jobs[i]
}

// Move moves a job by an event that is possible, or from a status that it is not in.
func (m *jobModel) Move(t *rapid.T) {
	if len(m.jobs) == 0 {
		t.Skip("no jobs")
	}
	j := &m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(t, "job")]
	from := j.Status
	if rapid.IntRange(0, 4).Draw(t, "lost") == 0 {
		from = rapid.SampledFrom(batholith.Statuses()).Draw(t, "from")
	}
	to, err := from.Next(rapid.SampledFrom(batholith.Events()).Draw(t, "event"))
	if err != nil {
		to = batholith.StatusFailed
	}
	message := rapid.SampledFrom([]string{"", "because"}).Draw(t, "message")
	err = m.port.Move(t.Context(), j.ID, from, to, message, m.now)
	if from != j.Status || from.Terminal() {
		refused(t, err, batholith.ErrMoved)
		return
	}
	no(t, err)
	j.Status = to
	if message != "" {
		j.Message = message
	}
	if m.now.After(j.Modified) {
		j.Modified = m.now
	}
	if to.Terminal() {
		j.Ended = j.Modified
	}
}

// Wait lets time pass.
func (m *jobModel) Wait(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 10).Draw(t, "seconds")) * time.Second)
}

// List reads all pages of a random query.
func (m *jobModel) List(t *rapid.T) {
	bound := rapid.Custom(func(t *rapid.T) time.Time {
		s := rapid.IntRange(-1, 30).Draw(t, "bound")
		if s < 0 {
			return time.Time{}
		}
		return start().Add(time.Duration(s) * time.Second)
	})
	q := batholith.ListQuery{
		Account:      m.account,
		After:        bound.Draw(t, "after"),
		Before:       bound.Draw(t, "before"),
		Status:       rapid.SampledFrom(append(batholith.Statuses(), "", "", "", "")).Draw(t, "status"),
		NameContains: rapid.SampledFrom([]string{"", "", "alpha", "bet", "Alpha"}).Draw(t, "contains"),
		Ascending:    rapid.Bool().Draw(t, "ascending"),
		Limit:        rapid.IntRange(1, 5).Draw(t, "limit"),
	}
	var want []batholith.Job
	for _, j := range m.jobs {
		if (q.After.IsZero() || j.Submitted.After(q.After)) && (q.Before.IsZero() || j.Submitted.Before(q.Before)) &&
			(q.Status == "" || j.Status == q.Status) && strings.Contains(j.Name, q.NameContains) {
			want = append(want, j)
		}
	}
	if !q.Ascending {
		slices.Reverse(want)
	}
	same(t, list(t, m.port, q), want)
}

// Check compares every job, and how many there are.
func (m *jobModel) Check(t *rapid.T) {
	got, _, err := m.port.Jobs(t.Context(), batholith.ListQuery{Account: m.account, Ascending: true, Limit: 1000})
	no(t, err)
	same(t, got, append([]batholith.Job(nil), m.jobs...))
}
