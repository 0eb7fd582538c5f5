package object_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
)

const batchRole = "arn:aws:iam::111122223333:role/batch"

// service is a token service with a role that the user AK may assume.
func service(life time.Duration) *objecttest.TokenService {
	return &objecttest.TokenService{S3: objecttest.NewHTTP("box", objecttest.Quirks{}), Users: map[string]string{"AK": "secret"}, Life: life,
		RoleARN: batchRole, ExternalID: "ext", UsersOnlyAssume: true}
}

// own is a session of the role of service.
var own = object.Role{ARN: batchRole, ExternalID: "ext", SessionName: "batholith-abcdefghij00", Endpoint: "http://sts.test",
	SourceAccount: "000000000000", SourceARN: "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghij00"}

// begun is a session of a role.
func begun(t *testing.T, s http.RoundTripper, r object.Role) object.Config {
	t.Helper()
	config, err := object.Config{Endpoint: "http://s3.test/", PathStyle: true, Region: "us-east-1", AccessKeyID: "AK", SecretAccessKey: "secret",
		HTTPClient: &http.Client{Transport: s}}.Assume(r)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// as makes a bucket that is used in a session of a role.
func as(t *testing.T, s http.RoundTripper, r object.Role) *object.Bucket {
	t.Helper()
	client, err := object.New(begun(t, s, r))
	if err != nil {
		t.Fatal(err)
	}
	return client.Bucket("box", object.Options{})
}

func write(b *object.Bucket) error { return b.Put(context.Background(), "k", []byte("x")) }

// What a trust policy may ask for is in the request, and signed.
func TestASessionNamesItsRoleItsJobAndTheExternalID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(time.Hour)
		if err := write(as(t, s, own)); err != nil {
			t.Fatal(err)
		}
		asked := s.Asked()
		if len(asked) != 1 {
			t.Fatalf("asked %d times", len(asked))
		}
		form := asked[0].Form
		for name, want := range map[string]string{"RoleArn": batchRole, "ExternalId": "ext", "RoleSessionName": "batholith-abcdefghij00", "DurationSeconds": "3600"} {
			if form.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, form.Get(name), want)
			}
		}
		if asked[0].SourceAccount != own.SourceAccount || asked[0].SourceARN != own.SourceARN || asked[0].Host != "sts.test" {
			t.Errorf("on behalf of %q, %q at %s", asked[0].SourceAccount, asked[0].SourceARN, asked[0].Host)
		}
	})
}

// MinIO and Ceph have their token service at the root of the S3, and MinIO takes no notice of the role.
func TestTheTokenServiceOfAnS3WithoutAnotherIsTheS3Itself(t *testing.T) {
	for name, of := range map[string]struct {
		form func(*objecttest.TokenService)
		role object.Role
	}{
		"MinIO": {func(s *objecttest.TokenService) { s.Anybody = true }, object.Role{ARN: "arn:aws:iam::000000000000:role/any", SessionName: "batholith-a"}},
		"Ceph": {func(s *objecttest.TokenService) { s.RoleARN, s.ExternalID = "arn:aws:iam:::role/batch", "" },
			object.Role{ARN: "arn:aws:iam:::role/batch", SessionName: "batholith-a", AccessKeyID: "ASSUMER", SecretAccessKey: "other"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := service(time.Hour)
			of.form(s)
			s.Users["ASSUMER"] = "other"
			if err := write(as(t, s, of.role)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			asked := s.Asked()
			if want := map[bool]string{true: "AK", false: "ASSUMER"}[of.role.AccessKeyID == ""]; len(asked) != 1 || asked[0].Host != "s3.test" || asked[0].By != want {
				t.Errorf("%s: asked %+v", name, asked)
			}
		})
	}
}

// A request of Amazon's regional or global token service is signed for its region.
func TestATokenServiceOfAmazonIsAskedInItsRegion(t *testing.T) {
	for endpoint, want := range map[string]string{"https://sts.eu-west-1.amazonaws.com": "eu-west-1", "https://sts.amazonaws.com": "us-east-1",
		"https://sts-fips.us-west-2.amazonaws.com": "us-west-2", "https://sts.example.net": "ap-south-1"} {
		synctest.Test(t, func(t *testing.T) {
			got := ""
			config, err := object.Config{Region: "ap-south-1", AccessKeyID: "AK", SecretAccessKey: "secret", HTTPClient: &http.Client{Transport: s3(func(r *http.Request) (*http.Response, error) {
				got = r.Header.Get("Authorization")
				return nil, objecttest.ErrNoRoute
			})}}.Assume(object.Role{ARN: batchRole, SessionName: "batholith", Endpoint: endpoint})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := config.Credentials.Retrieve(t.Context()); err == nil || !strings.Contains(got, "/"+want+"/sts/aws4_request") {
				t.Errorf("%s: signed %q, %v", endpoint, got, err)
			}
		})
	}
}

// A job of a day needs many sessions of an hour: each is renewed before it expires, once, and no call fails.
func TestASessionIsRenewedBeforeItExpires(t *testing.T) {
	for _, life := range []time.Duration{15 * time.Minute, time.Hour, 12 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := service(life)
			keys := begun(t, s, own).Credentials
			begin := time.Now()
			for time.Since(begin) < 24*time.Hour {
				if k, err := keys.Retrieve(t.Context()); err != nil || !k.Expires.After(time.Now()) {
					t.Fatalf("after %v: keys that expire at %v, %v", time.Since(begin), k.Expires, err)
				}
				time.Sleep(30 * time.Second)
			}
			asked := s.Asked()
			for i := 1; i < len(asked); i++ {
				age := asked[i].At.Sub(asked[i-1].At)
				before := min(max(life/5, 5*time.Minute), life/2)
				if from, to := life-before, life-before+life/20+time.Minute; age < from || age > to {
					t.Errorf("a session of %v was renewed after %v, not after %v to %v", life, age, from, to)
				}
			}
			if len(asked) < 2 {
				t.Error("no session was renewed")
			}
		})
	}
}

// Sessions that are issued at the same time are not renewed at the same time.
func TestSessionsOfManyJobsAreNotRenewedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(time.Hour)
		var sessions []aws.CredentialsProvider
		for range 20 {
			sessions = append(sessions, begun(t, s, own).Credentials)
		}
		for range 60 {
			for _, keys := range sessions {
				if _, err := keys.Retrieve(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		minutes := map[time.Duration]int{}
		for _, a := range s.Asked()[20:] {
			minutes[time.Since(a.At).Truncate(time.Minute)]++
		}
		if len(minutes) < 2 {
			t.Errorf("20 sessions were renewed within %d minutes", len(minutes))
		}
	})
}

// While the service is away, the keys there are go on working until they expire. Then calls wait for it, with its name in their error, and
// none of them ends a job. It is asked once a second then, however many calls there are.
func TestATokenServiceThatIsAwayForADayCostsNothingForGood(t *testing.T) {
	for name, away := range map[string]func(*objecttest.TokenService){
		"unreachable": func(s *objecttest.TokenService) { s.Away = objecttest.ErrNoRoute },
		"busy":        func(s *objecttest.TokenService) { s.Busy = "ServiceUnavailable" },
		"throttling":  func(s *objecttest.TokenService) { s.Busy = "Throttling" },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := service(time.Hour)
			b := as(t, s, own)
			if err := write(b); err != nil {
				t.Fatal(err)
			}
			s.Set(away)
			for range 6 {
				time.Sleep(9 * time.Minute)
				if err := write(b); err != nil {
					t.Fatalf("%s: while the keys last: %v", name, err)
				}
			}
			time.Sleep(time.Hour)
			before, begin := len(s.Asked()), time.Now()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					err := write(b)
					if err == nil || blob.Permanent(err) || !strings.Contains(err.Error(), batchRole) || !strings.Contains(err.Error(), "nothing is lost meanwhile") {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			wg.Wait()
			if asked, most := len(s.Asked())-before, 3*(2+int(time.Since(begin)/time.Second)); asked > most { // the SDK repeats each up to three times
				t.Errorf("%s: 50 calls in %v asked %d times, not %d", name, time.Since(begin), asked, most)
			}
			time.Sleep(24 * time.Hour)
			s.Set(func(s *objecttest.TokenService) { s.Away, s.Busy = nil, "" })
			if err := write(b); err != nil {
				t.Errorf("%s: afterwards: %v", name, err)
			}
		})
	}
}

// A session that the S3 ends before its time is replaced during the call.
func TestASessionThatEndsEarlyIsReplacedDuringTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(time.Hour)
		b := as(t, s, own)
		for range 3 {
			if err := write(b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			s.Forget()
		}
		if n := len(s.Asked()); n != 3 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A denial of the role is told as such, with what the service said and what to do. Keys that are there go on working until they expire.
func TestADeniedRoleIsNamedWithItsRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*objecttest.TokenService)
		words  []string
	}{
		"denied":       {func(s *objecttest.TokenService) { s.Denied = true }, []string{"AccessDenied", "trust policy", "assume.external_id"}},
		"unknown keys": {func(s *objecttest.TokenService) { s.Users = nil }, []string{"InvalidClientTokenId", "assume.access_key_id"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := service(time.Hour)
			b := as(t, s, own)
			if err := write(b); err != nil {
				t.Fatal(err)
			}
			s.Set(c.change)
			time.Sleep(55 * time.Minute)
			if err := write(b); err != nil {
				t.Errorf("%s: while the keys last: %v", name, err)
			}
			time.Sleep(6 * time.Minute)
			err := write(b)
			if !errors.Is(err, batholith.ErrRoleDenied) || !errors.Is(err, batholith.ErrAccessDenied) {
				t.Errorf("%s: %v", name, err)
			}
			for _, word := range append(c.words, batchRole, "sts.test") {
				if err != nil && !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %q is missing in: %v", name, word, err)
				}
			}
		})
	}
}

// Temporary keys that the service does not know may have expired: that is waited for, unlike an unknown key that was given for good.
func TestTemporaryKeysThatTheTokenServiceForgotEndNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(time.Hour)
		config, err := object.Config{Endpoint: "http://s3.test", Region: "us-east-1", HTTPClient: &http.Client{Transport: s},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "GONE", SecretAccessKey: "s", SessionToken: "t"}, nil
			})}.Assume(own)
		if err != nil {
			t.Fatal(err)
		}
		client, err := object.New(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(client.Bucket("box", object.Options{})); err == nil || blob.Permanent(err) || !strings.Contains(err.Error(), "InvalidClientTokenId") {
			t.Error(err)
		}
	})
}

// A call that is cancelled while it asks leaves nothing behind that others would wait for.
func TestACancelledCallLeavesTheSessionToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(time.Hour)
		var hangs atomic.Bool
		hangs.Store(true)
		b := as(t, s3(func(r *http.Request) (*http.Response, error) {
			if hangs.Load() && r.URL.Host == "sts.test" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return s.RoundTrip(r)
		}), own)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, func() { hangs.Store(false); cancel() })
		if err := b.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := write(b); err != nil {
			t.Error(err)
		}
	})
}

// When the role was last allowed something is known from the answers, and a denial does not count.
func TestStandingIsTheTimeOfTheLastAnswerThatWasNoDenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, standing := service(time.Hour), &object.Standing{}
		client, err := object.New(object.Config{Endpoint: "http://s3.test", PathStyle: true, Region: "us-east-1", AccessKeyID: "AK", SecretAccessKey: "secret",
			HTTPClient: &http.Client{Transport: s}, Standing: standing})
		if err != nil {
			t.Fatal(err)
		}
		b := client.Bucket("box", object.Options{})
		if err := write(b); !errors.Is(err, batholith.ErrAccessDenied) || !standing.Allowed().IsZero() {
			t.Errorf("%v, allowed at %v", err, standing.Allowed())
		}
		s.Set(func(s *objecttest.TokenService) { s.UsersOnlyAssume = false })
		if _, err := b.Head(t.Context(), "missing"); !errors.Is(err, batholith.ErrNoObject) || !standing.Allowed().Equal(time.Now()) {
			t.Errorf("%v, allowed at %v", err, standing.Allowed())
		}
	})
}
