package engine

import (
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
)

// A role that is assumed has a session for each job: its name and its source say which job calls, in the log of the role's owner and in
// the trust policy. All parts of a process that work on a job share its session.

// mostSessions bounds the sessions that are remembered. One that is forgotten while the job needs it costs another request to the token
// service.
const mostSessions = 1024

// sessions are the clients of the jobs whose roles are assumed. The zero value is ready.
type sessions struct {
	mu   sync.Mutex
	jobs map[string]*jobSession // by job id
}

// jobSession is a session and when it was last asked for.
type jobSession struct {
	role   string
	client *object.Client
	used   time.Time
}

// of returns the client of a job, and begins a session if there is none.
func (s *sessions) of(j batholith.Job, begin func(batholith.Job) (*object.Client, error)) (*object.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.jobs[j.ID]; known != nil && known.role == j.RoleARN {
		known.used = time.Now()
		return known.client, nil
	}
	client, err := begin(j)
	if err != nil {
		return nil, err
	}
	if s.jobs == nil {
		s.jobs = map[string]*jobSession{}
	}
	if len(s.jobs) >= mostSessions {
		s.forget()
	}
	s.jobs[j.ID] = &jobSession{j.RoleARN, client, time.Now()}
	return client, nil
}

// forget removes the session that was not asked for the longest. The caller holds mu.
func (s *sessions) forget() {
	var oldest string
	for id, session := range s.jobs {
		if oldest == "" || session.used.Before(s.jobs[oldest].used) {
			oldest = id
		}
	}
	delete(s.jobs, oldest)
}

// session begins a session for a job, or for the process itself if the job has no id. It sends no request.
func (as access) session(j batholith.Job) (*object.Client, error) {
	role := *as.assume
	if role.ARN == "" {
		role.ARN = j.RoleARN
	}
	role.SessionName = "batholith"
	if j.ID != "" {
		role.SessionName += "-" + j.ID
		role.SourceAccount, role.SourceARN = j.Account, j.ARN().String()
	}
	config, err := as.base.Assume(role)
	if err != nil {
		return nil, err
	}
	return object.New(config)
}
