package object_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// s3 stands for the network and an S3 behind it.
type s3 func(*http.Request) (*http.Response, error)

func (f s3) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (f s3) bucket(t *testing.T, o object.Options) *object.Bucket {
	t.Helper()
	return f.client(t, object.Config{Endpoint: "http://s3.test", PathStyle: true}).Bucket("box", o)
}

func (f s3) client(t *testing.T, c object.Config) *object.Client {
	t.Helper()
	c.Region, c.AccessKeyID, c.SecretAccessKey = "us-east-1", "AK", "secret"
	c.HTTPClient = object.NewHTTPClient(nil)
	c.HTTPClient.Transport = f
	client, err := object.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func answer(r *http.Request, status int, header map[string]string, body string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	for k, v := range header {
		resp.Header.Set(k, v)
	}
	return resp
}

func refusal(r *http.Request, status int, code string) *http.Response {
	body := "<Error><Code>" + code + "</Code><Message>as told</Message></Error>"
	if r.Method == http.MethodHead {
		body = ""
	}
	return answer(r, status, nil, body)
}

func TestFaultIsNoVerdictAndFewAttemptsAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		b := s3(func(r *http.Request) (*http.Response, error) {
			n++
			return refusal(r, 503, "SlowDown"), nil
		}).bucket(t, object.Options{})
		err := b.Put(t.Context(), "k", []byte("x"))
		for _, verdict := range []error{batholith.ErrNoObject, batholith.ErrNoBucket, batholith.ErrAccessDenied, batholith.ErrObjectChanged} {
			if err == nil || errors.Is(err, verdict) {
				t.Errorf("a busy S3 is %v", err)
			}
		}
		if n < 2 || n > 4 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestHeadTellsAMissingBucketFromAMissingObject(t *testing.T) {
	for path, want := range map[string]error{"/box": batholith.ErrNoBucket, "/box/k": batholith.ErrNoObject} {
		b := s3(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, path) {
				return refusal(r, 404, ""), nil
			}
			return answer(r, 200, nil, ""), nil
		}).bucket(t, object.Options{})
		if _, err := b.Head(t.Context(), "k"); !errors.Is(err, want) {
			t.Errorf("%s is missing: %v", path, err)
		}
	}
}

func TestReadIsNeverShortInSilence(t *testing.T) {
	for name, resp := range map[string]func(*http.Request) *http.Response{
		"less than the length": func(r *http.Request) *http.Response {
			a := answer(r, 206, ranged, "0123")
			a.ContentLength = 10
			return a
		},
		"less, of unknown length": func(r *http.Request) *http.Response {
			a := answer(r, 206, ranged, "0123")
			a.ContentLength = -1
			return a
		},
		"the object ends before":    func(r *http.Request) *http.Response { return answer(r, 206, ranged, "0123") },
		"the connection breaks off": func(r *http.Request) *http.Response { a := answer(r, 206, ranged, ""); a.Body = torn{}; return a },
	} {
		b := s3(func(r *http.Request) (*http.Response, error) { return resp(r), nil }).bucket(t, object.Options{})
		got, err := b.Read(t.Context(), "k", "", 3, 10)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(got); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: read %q and %v", name, body, err)
		}
		got.Close()
	}
}

var ranged = map[string]string{"Content-Range": "bytes 3-12/100"}

// torn is a body that breaks off after a byte.
type torn struct{}

func (torn) Read(p []byte) (int, error) { p[0] = 'x'; return 1, io.ErrUnexpectedEOF }
func (torn) Close() error               { return nil }

func TestAnswerWithoutTheRangeIsRefused(t *testing.T) {
	b := s3(func(r *http.Request) (*http.Response, error) { return answer(r, 200, nil, "the whole object"), nil }).bucket(t, object.Options{})
	if _, err := b.Read(t.Context(), "k", "", 4, 3); err == nil {
		t.Error("bytes from elsewhere were taken")
	}
	r, err := b.Read(t.Context(), "k", "", 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "the" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// stalled is a body that gives one byte and then nothing until its request is called off.
type stalled struct {
	ctx  context.Context
	sent bool
}

func (s *stalled) Read(p []byte) (int, error) {
	if !s.sent {
		s.sent = true
		return copy(p, "x"), nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s *stalled) Close() error { return nil }

func TestStallEndsEachVerb(t *testing.T) {
	silent := s3(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	mute := s3(func(r *http.Request) (*http.Response, error) {
		a := answer(r, 200, nil, "")
		a.ContentLength, a.Body = 100, &stalled{ctx: r.Context()}
		return a, nil
	})
	for name, verb := range map[string]func(context.Context, *testing.T) error{
		"put": func(ctx context.Context, t *testing.T) error {
			return silent.bucket(t, object.Options{}).Put(ctx, "k", []byte("x"))
		},
		"head": func(ctx context.Context, t *testing.T) error {
			_, err := silent.bucket(t, object.Options{}).Head(ctx, "k")
			return err
		},
		"delete": func(ctx context.Context, t *testing.T) error {
			return silent.bucket(t, object.Options{}).Delete(ctx, "k", "l")
		},
		"list": func(ctx context.Context, t *testing.T) error {
			return listError(ctx, silent.bucket(t, object.Options{}))
		},
		"complete": func(ctx context.Context, t *testing.T) error {
			return silent.bucket(t, object.Options{}).CompleteUpload(ctx, "k", "id", []string{"e"})
		},
		"open": func(ctx context.Context, t *testing.T) error {
			_, err := silent.bucket(t, object.Options{}).Read(ctx, "k", "", 0, -1)
			return err
		},
		"read": func(ctx context.Context, t *testing.T) error {
			r, err := mute.bucket(t, object.Options{}).Read(ctx, "k", "", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			_, err = io.ReadAll(r)
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			if err := verb(context.Background(), t); err == nil {
				t.Errorf("%s succeeded", name)
			}
			if d := time.Since(begin); d < time.Second || d > 15*time.Minute {
				t.Errorf("%s took %v", name, d)
			}
		})
	}
}

func listError(ctx context.Context, b *object.Bucket) error {
	for _, err := range b.List(ctx, "") {
		return err
	}
	return nil
}

func TestSlowReaderIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := s3(func(r *http.Request) (*http.Response, error) { return answer(r, 200, nil, "0123"), nil }).bucket(t, object.Options{})
		r, err := b.Read(context.Background(), "k", "", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range 4 {
			time.Sleep(10 * time.Minute) // of the bubble: the records are being worked on
			if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// partETags are the MD5 of "x" and of "y".
var partETags = []string{"9dd4e461268c8034f5c8564e155c67a6", "415290769594460e2e485922904f345d"}

// joined is the ETag of the object that parts make (S3: MD5 of the parts' MD5s, a dash, their number).
func joined(etags []string) string {
	sums, _ := hex.DecodeString(strings.Join(etags, ""))
	return fmt.Sprintf("%x-%d", md5.Sum(sums), len(etags))
}

func TestCompletionIsWhatHeadShows(t *testing.T) {
	whole := joined(partETags)
	for name, c := range map[string]struct {
		complete int    // status of CompleteMultipartUpload
		code     string // its error code
		etag     string // of the object that HEAD shows; "" for none
		done     bool
	}{
		"it is so":                                    {200, "", whole, true},
		"an error, yet it happened":                   {404, "NoSuchUpload", whole, true},
		"an error, and another object":                {404, "NoSuchUpload", "0123456789abcdef0123456789abcdef", false},
		"an error, and nothing":                       {404, "NoSuchUpload", "", false},
		"a 200 about an object that was there":        {200, "", "0123456789abcdef0123456789abcdef", false},
		"a 200 and nothing":                           {200, "", "", false},
		"a 200 whose body is an error, and no object": {200, "InternalError", "", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := completing(c.complete, c.code, whole, c.etag).bucket(t, object.Options{})
			if err := b.CompleteUpload(context.Background(), "k", "id", partETags); (err == nil) != c.done {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// completing is an S3 that answers a completion so, and then shows an object of two bytes with an ETag.
func completing(status int, code, said, etag string) s3 {
	return func(r *http.Request) (*http.Response, error) {
		switch {
		case r.Method == http.MethodPost && code != "":
			return refusal(r, status, code), nil
		case r.Method == http.MethodPost:
			return answer(r, status, nil, `<CompleteMultipartUploadResult><ETag>"`+said+`"</ETag></CompleteMultipartUploadResult>`), nil
		case etag == "" && r.URL.Path == "/box/k":
			return refusal(r, 404, ""), nil
		}
		a := answer(r, 200, map[string]string{"ETag": `"` + etag + `"`, "Content-Length": "2"}, "")
		a.ContentLength = 2
		return a, nil
	}
}

func TestCompletionOfAnotherSizeIsRefused(t *testing.T) {
	server := objecttest.NewHTTP("box", objecttest.Quirks{})
	longer := s3(func(r *http.Request) (*http.Response, error) {
		a, err := server.RoundTrip(r)
		if r.Method == http.MethodHead {
			a.Header.Set("Content-Length", "3")
			a.ContentLength = 3
		}
		return a, err
	}).bucket(t, object.Options{})
	w := blob.NewWriter(t.Context(), longer, "k", blob.WriterOptions{Abortable: true})
	_, _ = w.Write([]byte("xy"))
	if err := w.Close(); err == nil {
		t.Error("an object of another size was taken for the upload")
	}
}

func TestDeleteDoesWithoutDeleteObjects(t *testing.T) {
	var mu sync.Mutex
	var deleted []string
	b := s3(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			return refusal(r, 501, "NotImplemented"), nil
		}
		mu.Lock()
		defer mu.Unlock()
		deleted = append(deleted, r.URL.Path)
		return answer(r, 204, nil, ""), nil
	}).bucket(t, object.Options{})
	synctest.Test(t, func(t *testing.T) {
		if err := b.Delete(context.Background(), "a", "b", "c"); err != nil {
			t.Fatal(err)
		}
	})
	slices.Sort(deleted) // they go beside one another
	if diff := cmp.Diff([]string{"/box/a", "/box/b", "/box/c"}, deleted); diff != "" {
		t.Error(diff)
	}
}

func TestDeleteNamesTheKeyThatIsDenied(t *testing.T) {
	b := s3(func(r *http.Request) (*http.Response, error) {
		return answer(r, 200, nil, "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>"), nil
	}).bucket(t, object.Options{})
	err := b.Delete(t.Context(), "a", "b")
	if !errors.Is(err, batholith.ErrAccessDenied) || !strings.Contains(err.Error(), "s3://box/b") {
		t.Errorf("got %v", err)
	}
}

// Whatever an S3 without a list of uploads answers, it is a refusal; a fault that may pass is none.
func TestALackOfTheListOfUploadsIsARefusal(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{501, "NotImplemented", batholith.ErrRefused}, {405, "MethodNotAllowed", batholith.ErrRefused}, {400, "UnknownQuery", batholith.ErrRefused},
		{403, "AccessDenied", batholith.ErrAccessDenied}, {404, "NoSuchBucket", batholith.ErrNoBucket}, {503, "SlowDown", nil}, {429, "TooManyRequests", nil},
	} {
		b := s3(func(r *http.Request) (*http.Response, error) { return refusal(r, c.status, c.code), nil }).bucket(t, object.Options{})
		synctest.Test(t, func(t *testing.T) {
			var got error
			for _, err := range b.ListUploads(t.Context(), "out/") {
				got = err
			}
			if got == nil || blob.Permanent(got) != (c.want != nil) || c.want != nil && !errors.Is(got, c.want) {
				t.Errorf("%d %s: %v, want %v", c.status, c.code, got, c.want)
			}
		})
	}
}

func TestOwnerAndKMSKeyTravelWithEachRequest(t *testing.T) {
	seen := map[string]http.Header{}
	b := s3(func(r *http.Request) (*http.Response, error) {
		seen[r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery] = r.Header
		return answer(r, 200, map[string]string{"ETag": `"e"`, "X-Amz-Server-Side-Encryption": "aws:kms"}, "<R><UploadId>id</UploadId></R>"), nil
	}).bucket(t, object.Options{Owner: "111122223333", KMSKeyID: "key-1"})
	ctx := t.Context()
	b.Put(ctx, "put", []byte("x"))
	b.Head(ctx, "k")
	if r, err := b.Read(ctx, "k", "", 0, -1); err == nil {
		r.Close()
	}
	b.Delete(ctx, "k")
	b.Delete(ctx, "k", "l")
	listError(ctx, b)
	b.CreateUpload(ctx, "begun")
	b.UploadPart(ctx, "k", "id", 1, []byte("x"))
	b.CompleteUpload(ctx, "k", "id", []string{"e"})
	b.AbortUpload(ctx, "k", "id")
	for range b.ListUploads(ctx, "p") {
	}
	if len(seen) < 10 {
		t.Fatalf("only %d requests", len(seen))
	}
	for request, header := range seen {
		if header.Get("X-Amz-Expected-Bucket-Owner") != "111122223333" {
			t.Errorf("%s expects no owner", request)
		}
		writes := strings.Contains(request, "/put?") || strings.Contains(request, "/begun?")
		if encrypts := header.Get("X-Amz-Server-Side-Encryption") == "aws:kms" && header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") == "key-1"; encrypts != writes {
			t.Errorf("%s: encryption is asked for: %v", request, encrypts)
		}
	}
}

func TestOnlyAmazonGetsItsOwnWays(t *testing.T) {
	for _, c := range []struct {
		config object.Config
		host   string
		amazon bool
	}{
		{object.Config{}, "box.s3.us-east-1.amazonaws.com", true},
		{object.Config{Endpoint: "https://store.example.net", PathStyle: true}, "store.example.net", false},
	} {
		client := s3(func(r *http.Request) (*http.Response, error) {
			sum := r.Header.Get("X-Amz-Checksum-Crc32") + r.Header.Get("X-Amz-Trailer")
			if r.URL.Host != c.host || (sum != "") != c.amazon {
				t.Errorf("%+v: %s with checksum %q", c.config, r.URL, sum)
			}
			io.Copy(io.Discard, r.Body)
			return answer(r, 200, nil, ""), nil
		}).client(t, c.config)
		if err := client.Bucket("box", object.Options{}).Put(t.Context(), "k", []byte("x")); err != nil {
			t.Error(err)
		}
	}
}

func TestParseURI(t *testing.T) {
	for uri, want := range map[string]string{
		"s3://box/a/b.jsonl": "box|a/b.jsonl", "s3://box/": "box|", "s3://box": "box|", "s3://box//a": "box|/a", "s3://box/a b%20": "box|a b%20",
		"s3:///key": "error", "http://box/key": "error", "box/key": "error", "": "error",
	} {
		bucket, key, err := object.ParseURI(uri)
		if got := fmt.Sprintf("%s|%s", bucket, key); err == nil && got != want || (err != nil) != (want == "error") {
			t.Errorf("%q is %s, %v", uri, got, err)
		}
	}
}
