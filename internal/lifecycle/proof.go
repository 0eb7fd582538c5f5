package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// proofs remembers the outputs that this process has just written to and read from. A job with such an output is validated without a test write. If the
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

// accessKey is the key of the empty object that proves that a job's output can be written and read.
func accessKey(place blob.Place) string { return place.Prefix + batholith.InternalFolder + "/access" }

// writable checks that the output can be written, by an empty object below the job's prefix, unless another job's proof is fresh. With the
// job's KMS key, this also proves that the key may encrypt.
func (l *Lifecycle) writable(ctx context.Context, job batholith.Job, place blob.Place) error {
	if l.proofs.fresh(proofOf(job, place)) {
		return nil
	}
	if err := place.Output.Put(ctx, accessKey(place), nil); err != nil {
		return access(err, "PutObject", place.Output.Name(), place.Prefix)
	}
	return nil
}

// readable checks that the object that writable has written can be read: the job reads its index and its segments from the output. With a
// KMS key, this also proves that the key may decrypt. Afterwards the proof is fresh.
func (l *Lifecycle) readable(ctx context.Context, job batholith.Job, place blob.Place) error {
	of := proofOf(job, place)
	if l.proofs.fresh(of) {
		return nil
	}
	body, err := place.Output.Read(ctx, accessKey(place), "", 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		err = errors.Join(err, body.Close())
	}
	switch {
	case errors.Is(err, batholith.ErrNoObject): // somebody has deleted it
		return fmt.Errorf("read back what was written: %v", err)
	case err != nil:
		return access(err, "GetObject", place.Output.Name(), place.Prefix)
	}
	l.proofs.put(of)
	return nil
}
