package object

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// session holds the temporary keys of one session of a role, and gets new ones in time:
//
//	life     = expiration − time of issue
//	renewal  begins at max(20 % of life, 5 minutes) before the expiration, at most at half of the life,
//	         and up to 5 % of the life later, so that the sessions of many jobs are not renewed at once
//
// A renewal that fails changes nothing while the keys last: it is repeated after renewAgain. Then
// the callers get its error, which the token service is asked about at most every askAgain.
// Only one caller at a time asks; the others go on with the keys there are, or wait for it.
type session struct {
	ask  func(context.Context) (aws.Credentials, error)
	turn chan struct{} // 1-buffered, never closed; full while a caller asks

	mu      sync.Mutex
	keys    aws.Credentials // without an access key id: none
	until   time.Time       // the keys are used until then; zero: as long as they work
	renewAt time.Time       // a new session is asked for from then on; zero: never
	failed  error           // of the last call of ask; nil: it succeeded, or there was none
	askAt   time.Time       // after a failure, ask is not called before
}

const (
	renewShare  = 5               // renewal begins at 1/renewShare of the life before the expiration
	renewLeast  = 5 * time.Minute // or earlier
	renewJitter = 20              // and up to 1/renewJitter of the life later
	renewAgain  = 30 * time.Second
	askAgain    = time.Second
	askTime     = 20 * time.Second // timeout of one call of the token service, repetitions included
	// leastLife is how long new keys are used whatever their expiration says. The clocks may
	// differ, and keys that have expired are noticed by the S3's answer.
	leastLife = renewEvery
)

// newSession returns a session without keys.
func newSession(ask func(context.Context) (aws.Credentials, error)) *session {
	return &session{ask: ask, turn: make(chan struct{}, 1)}
}

// Retrieve implements aws.CredentialsProvider.
func (s *session) Retrieve(ctx context.Context) (aws.Credentials, error) {
	keys, usable, fresh, err := s.present()
	switch {
	case fresh:
		return keys, nil
	case err != nil && !usable:
		return aws.Credentials{}, err
	case err != nil:
		return keys, nil
	}
	select {
	case s.turn <- struct{}{}:
	default:
		if usable {
			return keys, nil // another caller renews them
		}
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return aws.Credentials{}, ctx.Err()
		}
	}
	defer func() { <-s.turn }()
	// Another caller may have asked meanwhile.
	if keys, usable, fresh, err = s.present(); fresh || usable && err != nil {
		return keys, nil
	}
	if err != nil {
		return aws.Credentials{}, err
	}
	return s.renew(ctx, keys, usable)
}

// present returns the keys, whether they can be used, and whether they need no renewal yet. err
// is the last failure of a renewal, as long as the next one may not begin.
func (s *session) present() (keys aws.Credentials, usable, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	usable = s.keys.AccessKeyID != "" && (s.until.IsZero() || now.Before(s.until))
	fresh = usable && (s.renewAt.IsZero() || now.Before(s.renewAt))
	if s.failed != nil && now.Before(s.askAt) {
		err = s.failed
	}
	return s.keys, usable, fresh, err
}

// renew asks for new keys. If that fails, it returns the old ones while they are usable. The
// caller holds the turn.
func (s *session) renew(ctx context.Context, old aws.Credentials, usable bool) (aws.Credentials, error) {
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	keys, err := s.ask(asking)
	if err != nil && ctx.Err() != nil { // the caller gave up; this says nothing about the service
		return aws.Credentials{}, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err != nil {
		s.failed, s.askAt = err, now.Add(askAgain)
		if usable {
			s.askAt = now.Add(renewAgain)
			return old, nil
		}
		return aws.Credentials{}, err
	}
	s.keys, s.failed, s.until, s.renewAt = keys, nil, time.Time{}, time.Time{}
	if keys.CanExpire {
		life := max(keys.Expires.Sub(now), leastLife)
		before := min(max(life/renewShare, renewLeast), life/2)
		s.until = now.Add(life)
		s.renewAt = s.until.Add(-before).Add(rand.N(life / renewJitter))
	}
	return keys, nil
}

// Invalidate discards the keys: the next request asks for others.
func (s *session) Invalidate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = aws.Credentials{}
	if s.askAt.After(time.Now().Add(askAgain)) {
		s.askAt = time.Now().Add(askAgain) // renewAgain holds only beside keys that work
	}
}

// errNoSession means that a token service answered without keys.
var errNoSession = errors.New("the answer of the token service has no keys")
