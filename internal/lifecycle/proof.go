package lifecycle

import (
	"context"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

const (
	// proofTime is for how long an output that was written to counts as one that can be written to.
	proofTime = time.Minute
	// mostProofs bounds the memory of proofs. When there are more, all are forgotten, which costs one object for each output.
	mostProofs = 1024
)

// proofs remember which outputs this process has written to a moment ago. A job with such an output is read without writing to it first:
// what it writes next, the index or the list of bad lines, is refused in the same words if the right was taken away since.
type proofs struct {
	mu sync.Mutex
	at map[proof]time.Time
}

// proof is all that a bucket's answer to a write depends on, but for the key.
type proof struct{ role, bucket, owner, kms string }

func proofOf(job batholith.Job, place blob.Place) proof {
	return proof{job.RoleARN, place.Output.Name(), job.Output.Owner, job.KMSKeyID}
}

// fresh tells whether the output was written to within the last proofTime.
func (p *proofs) fresh(of proof) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[of]
	return ok && time.Since(at) < proofTime
}

func (p *proofs) put(of proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil || len(p.at) >= mostProofs {
		p.at = map[proof]time.Time{}
	}
	p.at[of] = time.Now()
}

// forget forgets all, since something was denied: the next job of each output finds out anew.
func (p *proofs) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.at)
}

// writable makes sure of the output by writing an object where the job's own will be, unless another job's was written a moment ago.
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
