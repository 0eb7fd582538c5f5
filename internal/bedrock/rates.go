package bedrock

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// mostRates bounds the callers whose rate is remembered. Principals of an OpenID Connect issuer are unbounded in number.
const mostRates = 10_000

// Rates limits how often each principal of each account may do something: a token bucket that holds the calls of one second. Its zero
// value is ready. It is kept in memory: after a restart every bucket is full. If several processes answer behind a load balancer, each allows
// its share, so that all of them together allow the rate.
type Rates struct {
	// Processes is the number of processes that share the rate. nil: 1. It must not be changed after the first Allow.
	Processes func() int

	mu      sync.Mutex
	callers map[principal]*rate.Limiter
}

type principal struct{ account, name string }

// Allow reports whether the caller may do it now, and takes one of its calls if so.
func (r *Rates) Allow(now time.Time, who Caller, perSecond int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := principal{who.Account, who.Principal}
	processes := 1
	if r.Processes != nil {
		processes = max(1, r.Processes())
	}
	limit, burst := rate.Limit(float64(perSecond)/float64(processes)), max(1, perSecond/processes)
	bucket := r.callers[key]
	if bucket == nil {
		if len(r.callers) >= mostRates {
			r.forget(now)
		}
		if r.callers == nil {
			r.callers = map[principal]*rate.Limiter{}
		}
		bucket = rate.NewLimiter(limit, burst)
		r.callers[key] = bucket
	}
	if bucket.Limit() != limit || bucket.Burst() != burst {
		bucket.SetLimitAt(now, limit)
		bucket.SetBurstAt(now, burst)
	}
	return bucket.AllowN(now, 1)
}

// forget drops the full buckets, which a new one equals. If none is full, it drops all: to forget is kinder than to grow without bound.
func (r *Rates) forget(now time.Time) {
	for key, bucket := range r.callers {
		if bucket.TokensAt(now) >= float64(bucket.Burst()) {
			delete(r.callers, key)
		}
	}
	if len(r.callers) >= mostRates {
		clear(r.callers)
	}
}
