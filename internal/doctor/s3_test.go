package doctor

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
)

const ownRole = "arn:aws:iam::000000000000:role/batholith"

// s3At is an S3 at an endpoint, which these roles use with the same keys.
func s3At(t *testing.T, endpoint string, roles ...string) *S3 {
	t.Helper()
	base := object.Config{Endpoint: endpoint, Region: "us-east-1", PathStyle: true, AccessKeyID: "AK", SecretAccessKey: "secret"}
	client, err := object.New(base)
	if err != nil {
		t.Fatal(err)
	}
	return &S3{Name: endpoint, Base: base, Roles: append([]string{ownRole}, roles...), Client: func(string) *object.Client { return client }}
}

// consult lets a doctor try the S3.
func consult(s *S3, at string, recent ...batholith.Job) *doctor {
	d := newDoctor()
	d.o.S3, d.o.Bucket, d.recent = func() (*S3, error) { return s, nil }, at, recent
	d.buckets(context.Background(), true)
	return d
}

// jobAt is a job of a role with these places.
func jobAt(role, input, output, kms string) batholith.Job {
	return batholith.Job{Request: batholith.Request{RoleARN: role, Input: batholith.Location{URI: input}, Output: batholith.Location{URI: output}, KMSKeyID: kms}}
}

func serveObjects(t *testing.T, q objecttest.Quirks) (*objecttest.HTTP, *httptest.Server) {
	t.Helper()
	objects := objecttest.NewHTTP("box", q)
	server := httptest.NewServer(objects)
	t.Cleanup(server.Close)
	return objects, server
}

func TestDoctorTriesWhatAJobDoesAndLeavesNothing(t *testing.T) {
	objects, server := serveObjects(t, objecttest.Quirks{})
	const other = "arn:aws:iam::000000000000:role/other"
	c := s3At(t, server.URL, other)
	if err := objects.Put(t.Context(), "in/a.jsonl", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*doctor{
		"a bucket that is named": consult(c, "s3://box/some/prefix"),
		"recent jobs":            consult(c, "", jobAt(ownRole, "s3://box/in/", "s3://box/out/", ""), jobAt(other, "s3://box/in/a.jsonl", "s3://box/out", "")),
	} {
		got := d.said(Sound)
		for _, w := range []string{"role/batholith can list, write, read, upload in parts to, abort uploads to, delete in s3://box/", "role/other can list, write"} {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %q in %+v", name, w, d.findings)
			}
		}
		if len(d.findings) != strings.Count(got, "\n") {
			t.Errorf("%s: %+v", name, d.findings)
		}
	}
	if left := objects.Keys(); len(left) != 1 || len(objects.OpenUploads()) != 0 {
		t.Errorf("left: %q, uploads %q", left, objects.OpenUploads())
	}
	if d := consult(c, ""); !strings.Contains(d.said(Sound), "answers the keys of role") {
		t.Errorf("without a place: %+v", d.findings)
	}
	if d := consult(c, "box"); !strings.Contains(d.said(Problem), "--bucket s3://") {
		t.Errorf("a bucket that is no URI: %+v", d.findings)
	}
}

func TestDoctorNamesWhatARoleMayNotDo(t *testing.T) {
	for op, verb := range map[string]string{"List": "list", "Put": "write", "Read": "read", "Head": "read", "CreateUpload": "upload in parts to", "AbortUpload": "abort uploads to", "Delete": "delete in"} {
		objects, server := serveObjects(t, objecttest.Quirks{})
		objects.Fault = func(o, _ string) (bool, error) {
			if o == op {
				return false, batholith.ErrAccessDenied
			}
			return true, nil
		}
		got := consult(s3At(t, server.URL), "s3://box/out").said(Problem)
		if !strings.Contains(got, "role/batholith cannot "+verb+" s3://box/out/ (access denied") || !strings.Contains(got, "policy") {
			t.Errorf("%s: %s", op, got)
		}
	}
}

func TestDoctorNamesWhatIsWrongWithTheS3(t *testing.T) {
	_, plain := serveObjects(t, objecttest.Quirks{IgnoresSSE: true})
	gone := httptest.NewServer(nil)
	gone.Close()
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
	secured.StartTLS()
	defer secured.Close()
	var wg sync.WaitGroup
	answering := func(status int, code string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			if r.Method != http.MethodHead {
				fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for name, c := range map[string]struct {
		endpoint, kms string
		words         []string
	}{
		"nothing listens":         {gone.URL, "", []string{"nothing listens", "start the S3 server"}},
		"an unknown authority":    {secured.URL, "", []string{"authority", "AWS_CA_BUNDLE"}},
		"http to TLS":             {strings.Replace(secured.URL, "https", "http", 1), "", []string{"speaks TLS", "https://"}},
		"TLS to http":             {strings.Replace(plain.URL, "http", "https", 1), "", []string{"does not speak TLS", "http://"}},
		"no such host":            {"http://no-such-host.invalid", "", []string{"no-such-host.invalid"}},
		"the wrong region":        {answering(400, "AuthorizationHeaderMalformed"), "", []string{"region", "s3.region"}},
		"another bucket's region": {answering(301, "PermanentRedirect"), "", []string{"region", "s3.region"}},
		"a wrong secret":          {answering(403, "SignatureDoesNotMatch"), "", []string{"signature", "secret access key"}},
		"an unknown key":          {answering(403, "InvalidAccessKeyId"), "", []string{"does not know this access key"}},
		"keys that expired":       {answering(400, "ExpiredToken"), "", []string{"expired"}},
		"a clock that is wrong":   {answering(403, "RequestTimeTooSkewed"), "", []string{"clock", "NTP"}},
		"no such bucket":          {answering(404, "NoSuchBucket"), "", []string{"no such bucket"}},
		"an unknown KMS key":      {answering(400, "KMS.NotFoundException"), "k", []string{"KMS key", "s3EncryptionKeyId"}},
		"no encryption":           {plain.URL, "k", []string{"does not encrypt"}},
	} {
		wg.Go(func() { // each takes the pauses between a request's attempts
			external := s3At(t, c.endpoint)
			d := consult(external, "", jobAt(ownRole, "s3://box/in/", "s3://box/out/", c.kms))
			for _, w := range append(c.words, "s3://box/") {
				if !strings.Contains(d.said(Problem), w) {
					t.Errorf("%s: no %q in %+v", name, w, d.findings)
				}
			}
			if d := consult(external, ""); c.kms == "" && name != "no such bucket" && d.said(Problem) == "" {
				t.Errorf("%s, without a place: %+v", name, d.findings)
			}
		})
	}
	wg.Wait()
}

func TestDoctorNamesAClockThatIsWrong(t *testing.T) {
	_, server := serveObjects(t, objecttest.Quirks{})
	for skew, want := range map[time.Duration]string{time.Second: "", time.Hour: "clock is 1h ahead of that of the S3", -time.Hour: "clock is 1h behind that of the S3"} {
		d := newDoctor()
		d.now = func() time.Time { return time.Now().Add(skew) }
		d.o.S3, d.o.Bucket = func() (*S3, error) { return s3At(t, server.URL), nil }, "s3://box"
		if d.buckets(t.Context(), true); !strings.Contains(d.said(Problem), want) || (want == "") != (d.said(Problem) == "") {
			t.Errorf("%v: %+v", skew, d.findings)
		}
	}
}
