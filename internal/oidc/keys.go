package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// downKey is the key of a place in a context for the reason why the issuer's keys cannot be fetched. The verifier passes errors on as text only.
type downKey struct{}

// keySet holds the issuer's keys. Its own fetching, rather than the library's, has a pace, forgets withdrawn keys, and says whether it failed.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	fetching sync.Mutex // held while the issuer is asked; never waited for by a token whose key is known

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were
	tried   time.Time // when the issuer was asked last
	failed  error     // of that time
}

// VerifySignature implements the interface KeySet of the library.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSigned(token, algorithms)
	if err != nil {
		return nil, err
	}
	keys, fresh := k.known()
	payload, ok := verify(jws, keys)
	if ok && fresh {
		return payload, nil
	}
	if ok && !k.fetching.TryLock() { // another request fetches them
		return payload, nil
	} else if !ok {
		k.fetching.Lock()
	}
	down := k.fetch(ctx)
	k.fetching.Unlock()
	switch {
	case down != nil && ok: // the keys of before count
		return payload, nil
	case down != nil:
		if place, there := ctx.Value(downKey{}).(*error); there {
			*place = down
		}
		return nil, down
	}
	keys, _ = k.known()
	if payload, ok = verify(jws, keys); ok {
		return payload, nil
	}
	return nil, errors.New("it is not signed with a key of the issuer")
}

// verify returns what a token says when one of the keys has signed it.
func verify(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, bool) {
	for _, key := range keys {
		if id := jws.Signatures[0].Header.KeyID; id != "" && id != key.KeyID {
			continue
		}
		if payload, err := jws.Verify(&key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// known are the keys, and whether they were fetched lately.
func (k *keySet) known() (keys []jose.JSONWebKey, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, k.now().Sub(k.fetched) < refreshTime
}

// fetch asks the issuer for its keys, unless it was asked less than retryTime ago: then the result of that time holds. k.fetching is held.
func (k *keySet) fetch(ctx context.Context) error {
	k.mu.Lock()
	if now := k.now(); now.Sub(k.tried) < retryTime {
		defer k.mu.Unlock()
		return k.failed
	}
	k.mu.Unlock()
	keys, err := k.ask(context.WithoutCancel(ctx)) // serves other requests, too
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.failed = k.now(), err
	if err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	return err
}

func (k *keySet) ask(ctx context.Context) ([]jose.JSONWebKey, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", k.url, resp.Status)
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil {
		return nil, fmt.Errorf("%s has no keys: %w", k.url, err)
	}
	var keys []jose.JSONWebKey
	for _, text := range document.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) == nil && key.IsPublic() && (key.Use == "" || key.Use == "sig") { // others are of kinds that sign nothing here
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// maxAnswer is the longest document of an issuer in bytes.
const maxAnswer = 1 << 20

// bounded cuts every answer at maxAnswer.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}
