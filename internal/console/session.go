package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Bounds of sessions.
const (
	idleTime     = time.Hour      // without a request
	longestTime  = 12 * time.Hour // from the sign-in
	mostSessions = 4096           // the one that was unused for the longest time ends for a new one
)

// cookieName is the cookie that holds a session's token.
const cookieName = "batholith_session"

// session is a browser that has signed in. Each request of it is verified by its proof. Its fields do not change, except used.
type session struct {
	id    [sha256.Size]byte // hash of the token
	proof proof
	key   string // id of the access key, for people; "": a bearer key
	began time.Time
	used  time.Time // guarded by sessions.mu
}

// csrf returns the token that the forms of the session carry.
func (s *session) csrf() string {
	m := hmac.New(sha256.New, s.id[:])
	m.Write([]byte("form"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// sends reports whether a form carries the session's token.
func (s *session) sends(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.csrf())) == 1
}

// sessions are all sessions, in memory: they end with the process.
type sessions struct {
	now func() time.Time

	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sha256.Size]byte]*session{}}
}

// begin makes a session and returns its token, which is stored nowhere.
func (s *sessions) begin(p proof, key string) (token string) {
	token = rand.Text() + rand.Text()
	now := s.now()
	n := &session{id: sha256.Sum256([]byte(token)), proof: p, key: key, began: now, used: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= mostSessions {
		var oldest *session
		for _, one := range s.all {
			if oldest == nil || one.used.Before(oldest.used) {
				oldest = one
			}
		}
		delete(s.all, oldest.id)
	}
	s.all[n.id] = n
	return token
}

// find returns the session of a token, which counts as used now; nil: it has ended, or there was none. A stream that is open does not
// keep its session: quiet looks only.
func (s *sessions) find(token string, quiet bool) *session {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[sha256.Sum256([]byte(token))]
	switch {
	case token == "" || one == nil:
		return nil
	case s.over(one, now):
		delete(s.all, one.id)
		return nil
	}
	if !quiet {
		one.used = now
	}
	return one
}

func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.used) > idleTime || now.Sub(one.began) > longestTime
}

// end ends a session.
func (s *sessions) end(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, one.id)
}

// lives reports whether a session has not ended.
func (s *sessions) lives(id [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id] != nil
}

// tidy removes the sessions that are over.
func (s *sessions) tidy() {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.all {
		if s.over(one, now) {
			delete(s.all, id)
		}
	}
}

// tokenOf returns the token in a request's cookie.
func tokenOf(r *http.Request) string {
	k, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return k.Value
}

// setCookie sets the cookie of a session; "" removes it. Its life ends with the session's at the latest.
func (c *Console) setCookie(w http.ResponseWriter, r *http.Request, token string) {
	k := &http.Cookie{Name: cookieName, Value: token, Path: Path, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: c.o.Secure || r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https", MaxAge: int(longestTime.Seconds())}
	if token == "" {
		k.MaxAge = -1
	}
	http.SetCookie(w, k)
}

// Bounds of failed sign-ins: each address may fail burstFailures times at once and then once in everyFailure; all addresses together
// mostFailures in a minute.
const (
	burstFailures = 10
	everyFailure  = 6 * time.Second
	mostFailures  = 300
	mostAddresses = 4096
)

// failures counts failed sign-ins by address.
type failures struct {
	now func() time.Time

	mu     sync.Mutex
	by     map[string]time.Time // when the failures of an address are forgotten: each adds everyFailure
	recent []time.Time          // of the last minute, of all addresses
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, by: map[string]time.Time{}}
}

// wait returns how long an address must wait until it may try again; 0: it may now.
func (f *failures) wait(address string) time.Duration {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent = slices.DeleteFunc(f.recent, func(t time.Time) bool { return now.Sub(t) > time.Minute })
	if len(f.recent) >= mostFailures {
		return time.Minute - now.Sub(f.recent[0])
	}
	if until, failed := f.by[address]; failed && until.After(now) {
		return max(0, until.Sub(now)-(burstFailures-1)*everyFailure)
	}
	return 0
}

// add counts a failure.
func (f *failures) add(address string) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.by) >= mostAddresses {
		for a, t := range f.by {
			if t.Before(now) {
				delete(f.by, a)
			}
		}
		if len(f.by) >= mostAddresses { // the bound of all addresses holds
			clear(f.by)
		}
	}
	since := f.by[address]
	if since.Before(now) {
		since = now
	}
	f.by[address] = since.Add(everyFailure)
	f.recent = append(f.recent, now)
}
