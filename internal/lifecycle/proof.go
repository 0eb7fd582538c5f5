package lifecycle

import (
	"context"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

const (
	// proofTime is how long a successful write proves that an output is writable.
	proofTime = time.Minute
	// mostProofs bounds the number of proofs. When it is reached, all are forgotten, which costs one more write for each output.
	mostProofs = 1024
)

// proofs remembers the outputs to which this process has just written. A job with such an output is validated without a test write. If the
// right was taken away since, the job's next write, of its index or list of bad lines, fails with the same message.
type proofs struct {
	mu sync.Mutex
	at map[proof]time.Time
}

// proof is everything that decides whether a bucket accepts a write, except the key.
type proof struct{ role, bucket, owner, kms string }

// proofOf is the proof that a job's output needs.
func proofOf(job batholith.Job, place blob.Place) proof {
	return proof{job.RoleARN, place.Output.Name(), job.Output.Owner, job.KMSKeyID}
}

// fresh reports whether the output was written to within the last proofTime.
func (p *proofs) fresh(of proof) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[of]
	return ok && time.Since(at) < proofTime
}

// put notes a successful write.
func (p *proofs) put(of proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil || len(p.at) >= mostProofs {
		p.at = map[proof]time.Time{}
	}
	p.at[of] = time.Now()
}

// forget drops all proofs, because something was denied: the next job of each output writes a test object again.
func (p *proofs) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.at)
}

// writable checks that the output can be written, by an empty object below the job's prefix, unless another job's write has just shown it.
func (l *Lifecycle) writable(ctx context.Context, job batholith.Job, place blob.Place) error {
	of := proofOf(job, place)
	if l.proofs.fresh(of) {
		return nil
	}
	key := place.Prefix + batholith.InternalFolder + "/access"
	if err := place.Output.Put(ctx, key, nil); err != nil {
		return access(err, "PutObject", place.Output.Name(), place.Prefix)
	}
	l.proofs.put(of)
	return nil
}
