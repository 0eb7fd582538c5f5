package object

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
)

// keys are the access keys of a client, which may be temporary. When an S3 says that they have expired they are fetched again from
// where they came from, whatever time they were said to hold for.
type keys struct {
	// load makes a provider anew, as the default chain does, which reads its files only once; nil for a provider that was given.
	load func(context.Context) (aws.CredentialsProvider, error)

	mu       sync.Mutex
	provider aws.CredentialsProvider // nil after renew, if there is a load
	renewed  time.Time
}

// renewEvery is how often keys are fetched again at most: many requests find out at once that they have expired.
const renewEvery = 5 * time.Second

// defaultKeys are those of the AWS default credential chain, or of one profile.
func defaultKeys(region, profile string) (*keys, error) {
	k := &keys{load: func(ctx context.Context) (aws.CredentialsProvider, error) {
		from := []func(*config.LoadOptions) error{config.WithRegion(region)}
		if profile != "" {
			from = append(from, config.WithSharedConfigProfile(profile))
		}
		chain, err := config.LoadDefaultConfig(ctx, from...)
		if err != nil {
			return nil, fmt.Errorf("load the AWS default credentials: %w", err)
		}
		return chain.Credentials, nil
	}}
	_, err := k.current(context.Background())
	return k, err
}

func (k *keys) current(ctx context.Context) (aws.CredentialsProvider, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.provider == nil {
		p, err := k.load(ctx)
		if err != nil {
			return nil, err
		}
		k.provider = p
	}
	return k.provider, nil
}

// Retrieve returns the keys.
func (k *keys) Retrieve(ctx context.Context) (aws.Credentials, error) {
	p, err := k.current(ctx)
	if err != nil {
		return aws.Credentials{}, &keysError{err}
	}
	c, err := p.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &keysError{err}
	}
	return c, nil
}

// renew makes the next request fetch the keys again, and tells whether others may come of it.
func (k *keys) renew() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	cache, cached := k.provider.(interface{ Invalidate() })
	if k.load == nil && !cached {
		return false
	}
	if time.Since(k.renewed) < renewEvery {
		return true // another request has just seen to it
	}
	k.renewed = time.Now()
	if cached {
		cache.Invalidate()
	}
	if k.load != nil {
		k.provider = nil
	}
	return true
}

// retryer makes the few attempts of one request: after a torn connection, a moment of 503, and with other keys after old ones expired.
func (k *keys) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(k.expired)}, o.Retryables...)
	})
}

// expired renews keys that an answer says have expired. Unknown ones are renewed too: some servers forget temporary keys once they expire.
func (k *keys) expired(err error) aws.Ternary {
	var own *keysError
	if errors.As(err, &own) {
		return aws.UnknownTernary // the token service said it, of its own keys
	}
	switch r := rule(code(err), status(err)); {
	case code(err) == "", r != expired && r != unknown && status(err) != 401:
		return aws.UnknownTernary
	}
	if k.renew() {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// keysError is why there are no keys to sign with.
type keysError struct{ err error }

func (e *keysError) Error() string { return "get keys for the S3: " + e.err.Error() }
func (e *keysError) Unwrap() error { return e.err }

// withoutKeys judges why there are no keys. Nothing of it ends a job, except that a token service denies the role.
func withoutKeys(err error) *Fault {
	f := &Fault{Remedy: "name keys in the settings (s3.access_key_id, roles), or let the AWS default chain find some: aws sts get-caller-identity tells"}
	var api smithy.APIError
	switch {
	case errors.As(err, &api):
		if r := rule(api.ErrorCode(), status(err)); r == denied {
			f.Verdict = batholith.ErrAccessDenied
			f.Cause = fmt.Sprintf("%v: the role may not be assumed (%s)", f.Verdict, said(api, err))
			f.Remedy = "let the role's trust policy name these keys"
			return f
		}
		f.Cause = "no keys for the S3: the token service answered " + said(api, err)
	default:
		way := unreached(err)
		f.Cause = "no keys for the S3: " + way.Cause
		if host, scheme := whither(err); secured(err, host, scheme) != nil {
			f.Remedy = way.Remedy
		}
	}
	return f
}
