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

// keys provides the access keys of a client, which may be temporary. If an S3 reports that they
// have expired, they are loaded again from their source, whatever their expiry time was.
type keys struct {
	// load creates a new provider. It is needed for the default chain, which reads its files
	// only once. nil for a provider from outside.
	load func(context.Context) (aws.CredentialsProvider, error)

	mu       sync.Mutex
	provider aws.CredentialsProvider // nil after renew if load is set
	renewed  time.Time               // time of the last renewal
}

// renewEvery is the minimum time between two renewals: many parallel requests see expired keys
// at once.
const renewEvery = 5 * time.Second

// defaultKeys returns the keys of the AWS default credential chain, or of one profile.
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

// current returns the provider, and loads it if necessary.
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

// Retrieve implements aws.CredentialsProvider.
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

// renew makes the next request load the keys again. It returns false if the provider cannot
// return other keys.
func (k *keys) renew() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	// The SDK's cache returns its keys until they expire, unless it is invalidated.
	cache, cached := k.provider.(interface{ Invalidate() })
	if k.load == nil && !cached {
		return false
	}
	if time.Since(k.renewed) < renewEvery {
		return true // another request has just renewed them
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

// retryer returns the SDK's retry policy: after a broken connection, a short 503, and once more
// with renewed keys.
func (k *keys) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(barred), retry.IsErrorRetryableFunc(k.expired)}, o.Retryables...)
	})
}

// expired renews the keys if an answer says that they have expired. It treats unknown keys the
// same way, because some servers forget temporary keys when they expire.
func (k *keys) expired(err error) aws.Ternary {
	var own *keysError // an error of getting keys, not of using them
	if errors.As(err, &own) {
		return aws.UnknownTernary // the error comes from the token service, about the keys sent to it
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

// keysError means that there are no keys to sign with.
type keysError struct{ err error }

// Error names what failed. Unwrap returns the provider's error.
func (e *keysError) Error() string { return "get keys for the S3: " + e.err.Error() }
func (e *keysError) Unwrap() error { return e.err }

// withoutKeys converts the error of a credentials provider into a Fault. Only an AccessDenied
// from the token service is permanent.
func withoutKeys(err error) *Fault {
	var role *assumeError
	if errors.As(err, &role) {
		return role.fault()
	}
	f := &Fault{Remedy: "name keys in the settings (s3.access_key_id, roles), or make the AWS default chain find some; aws sts get-caller-identity shows which"}
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
		// A remedy about TLS applies to the token service too; remedies about s3.endpoint do
		// not.
		if host, scheme := destination(err); secured(err, host, scheme) != nil {
			f.Remedy = way.Remedy
		}
	}
	return f
}
