package control

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

// memory is a store without a disk. It also stops jobs.
type memory struct {
	mu     sync.Mutex
	jobs   []batholith.Job // in the order of creation; the cursor is the index plus one
	hashes map[string]string
	tags   map[string]map[string]string
	spent  []batholith.Spent
	asked  batholith.SpentQuery // the latest query of Spent
}

func newMemory() *memory {
	return &memory{hashes: map[string]string{}, tags: map[string]map[string]string{}}
}

func (m *memory) CreateJob(_ context.Context, j batholith.Job, hash string, maxActive int) (batholith.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	active := 0
	for _, k := range m.jobs {
		if k.Account == j.Account && j.Token != "" && k.Token == j.Token {
			if m.hashes[k.ID] != hash {
				return batholith.Job{}, batholith.ErrTokenReused
			}
			return k, nil
		}
	}
	for _, k := range m.jobs {
		if k.Account != j.Account || k.Status.Terminal() {
			continue
		}
		if k.Name == j.Name {
			return batholith.Job{}, batholith.ErrNameInUse
		}
		if k.Model == j.Model {
			active++
		}
	}
	if maxActive > 0 && active >= maxActive {
		return batholith.Job{}, batholith.ErrTooManyActive
	}
	m.hashes[j.ID] = hash
	m.tags[j.ID] = map[string]string{}
	for _, t := range j.Tags {
		m.tags[j.ID][t.Key] = t.Value
	}
	m.jobs = append(m.jobs, j)
	return j, nil
}

func (m *memory) JobOfToken(_ context.Context, account, token, hash string) (batholith.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.jobs {
		if k.Account == account && k.Token == token {
			if m.hashes[k.ID] != hash {
				return batholith.Job{}, batholith.ErrTokenReused
			}
			return k, nil
		}
	}
	return batholith.Job{}, batholith.ErrNotFound
}

func (m *memory) find(account, id string) (*batholith.Job, error) {
	i := slices.IndexFunc(m.jobs, func(j batholith.Job) bool { return j.Account == account && j.ID == id })
	if i < 0 {
		return nil, batholith.ErrNotFound
	}
	return &m.jobs[i], nil
}

func (m *memory) Job(_ context.Context, account, id string) (batholith.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.find(account, id)
	if err != nil {
		return batholith.Job{}, err
	}
	return *j, nil
}

func (m *memory) Jobs(_ context.Context, q batholith.ListQuery) (page []batholith.Job, next int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.jobs {
		i := len(m.jobs) - 1 - n
		if q.Ascending {
			i = n
		}
		j, at := m.jobs[i], int64(i+1)
		switch {
		case j.Account != q.Account, q.Status != "" && j.Status != q.Status, !strings.Contains(j.Name, q.NameContains),
			!q.After.IsZero() && !j.Submitted.After(q.After), !q.Before.IsZero() && !j.Submitted.Before(q.Before),
			q.Cursor != 0 && (q.Ascending && at < q.Cursor || !q.Ascending && at > q.Cursor):
			continue
		case len(page) == q.Limit:
			return page, at, nil
		}
		if j.Tags = nil; q.Tags {
			for k, v := range m.tags[j.ID] {
				j.Tags = append(j.Tags, batholith.Tag{Key: k, Value: v})
			}
			slices.SortFunc(j.Tags, func(x, y batholith.Tag) int { return strings.Compare(x.Key, y.Key) })
		}
		page = append(page, j)
	}
	return page, 0, nil
}

// History returns one change of status for the present one.
func (m *memory) History(_ context.Context, id string) ([]batholith.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		if j.ID == id {
			return []batholith.Change{{Job: id, Status: j.Status, At: j.Submitted}}, nil
		}
	}
	return nil, nil
}

func (m *memory) Tags(_ context.Context, account, id string) (all []batholith.Tag, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find(account, id); err != nil {
		return nil, err
	}
	for k, v := range m.tags[id] {
		all = append(all, batholith.Tag{Key: k, Value: v})
	}
	slices.SortFunc(all, func(x, y batholith.Tag) int { return strings.Compare(x.Key, y.Key) })
	return all, nil
}

func (m *memory) PutTags(_ context.Context, account, id string, tags []batholith.Tag, limit int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find(account, id); err != nil {
		return err
	}
	n := len(m.tags[id])
	for _, t := range tags {
		if _, ok := m.tags[id][t.Key]; !ok {
			n++
		}
	}
	if n > limit {
		return batholith.ErrTooManyTags
	}
	for _, t := range tags {
		m.tags[id][t.Key] = t.Value
	}
	return nil
}

func (m *memory) DeleteTags(_ context.Context, account, id string, keys []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find(account, id); err != nil {
		return err
	}
	for _, k := range keys {
		delete(m.tags[id], k)
	}
	return nil
}

func (m *memory) Stop(_ context.Context, account, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.find(account, id)
	if err != nil {
		return err
	}
	next, err := j.Status.Next(batholith.EventStop)
	if err == nil {
		j.Status = next
	}
	return err
}

func (m *memory) set(id string, s batholith.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.jobs {
		if m.jobs[i].ID == id {
			m.jobs[i].Status = s
		}
	}
}

func (m *memory) PauseJob(_ context.Context, account, id, reason string) error {
	return m.changePause(account, id, batholith.Pause{Since: time.Unix(1e9, 0), Reason: reason})
}

func (m *memory) ResumeJob(_ context.Context, account, id string) error {
	return m.changePause(account, id, batholith.Pause{})
}

func (m *memory) changePause(account, id string, to batholith.Pause) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.find(account, id)
	if err != nil {
		return err
	}
	if !j.MayPause() {
		return batholith.ErrMoved
	}
	j.Paused = to
	return nil
}

// Spent returns the groups that a test has put there, for the principal and the jobs of the query.
func (m *memory) Spent(_ context.Context, q batholith.SpentQuery) (all []batholith.Spent, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = q
	for _, s := range m.spent {
		if (q.Principal == "" || q.Principal == s.Principal) && (q.Jobs == nil || slices.Contains(q.Jobs, s.Job)) && s.Account == q.Account {
			all = append(all, s)
		}
	}
	return all, nil
}

func (m *memory) ForgetJob(_ context.Context, account, id string, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.find(account, id)
	if err != nil {
		return err
	}
	if !j.Status.Terminal() || j.Kept != "" {
		return batholith.ErrMoved
	}
	return nil
}

func (m *memory) PublishKept(_ context.Context, account, id string) error {
	return m.keep(account, id, batholith.KeptPublishing)
}

func (m *memory) DiscardKept(_ context.Context, account, id string) error {
	return m.keep(account, id, "")
}

func (m *memory) keep(account, id string, to batholith.Kept) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	j, err := m.find(account, id)
	if err != nil {
		return err
	}
	if j.Kept == "" {
		return batholith.ErrNothingKept
	}
	j.Kept = to
	return nil
}
