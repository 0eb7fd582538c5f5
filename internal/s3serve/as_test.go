package s3serve

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/sigv4"
)

// TestACallerReadsWhatItsSignedRequestWould: a caller of this process without an access key has the rights of its account, of its restrictions
// and of the policies, and no name of a bucket leads out of the storage.
func TestACallerReadsWhatItsSignedRequestWould(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/in/a.png", "picture")
	w.put(t, "/box/secret/b.png", "secret")
	permits := func(actions ...string) func(r authz.Request) authz.Decision {
		return func(r authz.Request) authz.Decision {
			for _, a := range actions {
				if a == r.Action {
					return authz.Decision{Allowed: r.Who.Principal == "alice" && r.Resource.ID == "box" && r.Resource.Account == "000000000000"}
				}
			}
			return authz.Decision{}
		}
	}
	alice := Account{Identity: sigv4.Identity{Account: "000000000000", Principal: "alice"}}
	role := func(buckets ...string) Account {
		return Account{Identity: sigv4.Identity{Account: "000000000000", Principal: "arn:aws:sts::000000000000:assumed-role/r/s"}, Role: true, Buckets: buckets}
	}
	both := permits("s3:GetObject", "s3:ListBucket")
	for name, c := range map[string]struct {
		who                Account
		allows             func(r authz.Request) authz.Decision // nil: no policies
		bucket, owner, key string
		want               error
	}{
		"no policies":             {alice, nil, "box", "", "in/a.png", nil},
		"its own account":         {alice, nil, "box", "000000000000", "in/a.png", nil},
		"permitted":               {alice, both, "box", "", "in/a.png", nil},
		"not permitted":           {alice, permits("s3:ListBucket"), "box", "", "in/a.png", batholith.ErrAccessDenied},
		"another principal":       {Account{Identity: sigv4.Identity{Principal: "bob"}}, both, "box", "", "in/a.png", batholith.ErrAccessDenied},
		"a role needs no permit":  {role(), permits(), "box", "", "in/a.png", nil},
		"a role in its bucket":    {role("box/in/"), nil, "box", "", "in/a.png", nil},
		"a role outside":          {role("box/in/"), nil, "box", "", "secret/b.png", batholith.ErrAccessDenied},
		"a role of other buckets": {role("other"), nil, "box", "", "in/a.png", batholith.ErrAccessDenied},
		"another account":         {Account{Identity: sigv4.Identity{Account: "111111111111", Principal: "alice"}}, nil, "box", "", "in/a.png", batholith.ErrAccessDenied},
		"another owner":           {alice, nil, "box", "111111111111", "in/a.png", batholith.ErrAccessDenied},
		"missing, may list":       {alice, both, "box", "", "none", batholith.ErrNoObject},
		"missing, may not list":   {alice, permits("s3:GetObject"), "box", "", "none", batholith.ErrAccessDenied},
		"no bucket":               {alice, nil, "none", "", "in/a.png", batholith.ErrNoBucket},
		"dots":                    {alice, nil, "..", "", "in/a.png", batholith.ErrNoBucket},
		"a path":                  {alice, nil, "box/in", "", "a.png", batholith.ErrNoBucket},
		"dots in the key":         {alice, nil, "box", "", "../box/in/a.png", batholith.ErrNoObject},
	} {
		w.server.store.authorizer = nil
		if c.allows != nil {
			w.server.store.authorizer = &judge{allows: c.allows}
		}
		b := w.server.As(c.who, c.bucket, c.owner)
		head, err := b.Head(t.Context(), c.key)
		if !errors.Is(err, c.want) || err == nil && (head.Bytes != 7 || head.ETag == "") {
			t.Errorf("%s: Head: %v %+v, want %v", name, err, head, c.want)
		}
		body, err := b.Read(t.Context(), c.key, head.ETag, 0, 7)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: Read: %v, want %v", name, err, c.want)
		}
		if err == nil {
			if got, _ := io.ReadAll(body); string(got) != "picture" {
				t.Errorf("%s: got %q", name, got)
			}
			body.Close()
		}
	}
	w.server.store.authorizer = nil
	if _, err := w.server.As(alice, "box", "").Read(context.Background(), "in/a.png", "other", 0, 7); !errors.Is(err, batholith.ErrObjectChanged) {
		t.Errorf("another version: %v", err)
	}
}
