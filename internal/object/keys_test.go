package object_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
)

// issuer hands out temporary keys KEY1, KEY2, …
type issuer struct {
	mu     sync.Mutex
	issued int
	err    error
}

func (i *issuer) Retrieve(context.Context) (aws.Credentials, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.issued++
	return aws.Credentials{AccessKeyID: fmt.Sprintf("KEY%d", i.issued), SecretAccessKey: "s", SessionToken: "t"}, i.err
}

// renewing makes a bucket whose keys come from an issuer.
func renewing(t *testing.T, i aws.CredentialsProvider, network s3) *object.Bucket {
	t.Helper()
	client, err := object.New(object.Config{Endpoint: "http://s3.test", PathStyle: true, Region: "us-east-1", Credentials: aws.NewCredentialsCache(i),
		HTTPClient: &http.Client{Transport: network}})
	if err != nil {
		t.Fatal(err)
	}
	return client.Bucket("box", object.Options{})
}

func signedBy(r *http.Request, key string) bool {
	return strings.Contains(r.Header.Get("Authorization"), "Credential="+key+"/")
}

func TestTemporaryKeysThatExpireAreRenewedAndTheCallRepeated(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{{400, "ExpiredToken"}, {403, "InvalidToken"}, {403, "InvalidTokenId"}, {400, "TokenRefreshRequired"}, {403, "ExpiredTokenException"}, {403, "InvalidAccessKeyId"}, {401, "Unauthorized"}} {
		synctest.Test(t, func(t *testing.T) {
			keys := &issuer{}
			b := renewing(t, keys, func(r *http.Request) (*http.Response, error) {
				if signedBy(r, "KEY1") {
					return refusal(r, c.status, c.code), nil
				}
				return answer(r, 200, map[string]string{"Content-Length": "0"}, ""), nil
			})
			_, head := b.Head(t.Context(), "k")
			for verb, err := range map[string]error{"put": b.Put(t.Context(), "k", []byte("body")), "head": head} {
				if err != nil {
					t.Errorf("%s: %s: %v", c.code, verb, err)
				}
			}
			if keys.issued != 2 {
				t.Errorf("%s: keys were asked for %d times", c.code, keys.issued)
			}
		})
	}
}

func TestKeysThatStayExpiredEndNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &issuer{}
		b := renewing(t, keys, func(r *http.Request) (*http.Response, error) { return refusal(r, 400, "ExpiredToken"), nil })
		begin := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := b.Put(t.Context(), "k", nil); err == nil || blob.Permanent(err) || !strings.Contains(err.Error(), "expired") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if allowed := 2 + int(time.Since(begin)/(5*time.Second)); keys.issued > allowed {
			t.Errorf("50 calls in %v asked for keys %d times, not %d", time.Since(begin), keys.issued, allowed)
		}
	})
}

func TestATokenServiceThatIsAwayEndsNoJob(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		denied bool
	}{
		"away":    {func(*http.Request) (*http.Response, error) { return nil, errors.New("dial tcp: no route") }, false},
		"busy":    {sts(503, "ServiceUnavailable"), false},
		"expired": {sts(400, "ExpiredToken"), false},
		"unknown": {sts(403, "InvalidClientTokenId"), true},
		"strange": {sts(400, "ValidationError"), false},
		"denied":  {sts(403, "AccessDenied"), true},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := assume(t, c.answer)
			err := b.Put(t.Context(), "k", nil)
			if err == nil || errors.Is(err, batholith.ErrAccessDenied) != c.denied || blob.Permanent(err) != c.denied {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func sts(status int, code string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return answer(r, status, nil, "<ErrorResponse><Error><Code>"+code+"</Code><Message>as told</Message></Error></ErrorResponse>"), nil
	}
}

// A file of temporary keys that another program renews is read again.
func TestKeysOfAFileAreReadAgainWhenTheyExpire(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(key string) {
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id="+key+"\naws_secret_access_key=s\naws_session_token=t\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file, "AWS_CONFIG_FILE": file, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	write("OLD")
	client, err := object.New(object.Config{Endpoint: "http://s3.test", PathStyle: true, Region: "us-east-1", HTTPClient: &http.Client{Transport: s3(func(r *http.Request) (*http.Response, error) {
		if signedBy(r, "OLD") {
			return refusal(r, 400, "ExpiredToken"), nil
		}
		return answer(r, 200, nil, ""), nil
	})}})
	if err != nil {
		t.Fatal(err)
	}
	write("NEW")
	if err := client.Bucket("box", object.Options{}).Put(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}
