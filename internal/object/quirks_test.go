package object_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// quirky is a client's bucket on a server with quirks.
func quirky(t *testing.T, server *objecttest.HTTP, o object.Options) *object.Bucket {
	t.Helper()
	return s3(server.RoundTrip).client(t, object.Config{Endpoint: "http://s3.test", PathStyle: true}).Bucket("box", o)
}

// servers are the kinds of S3 servers that the client must do with.
var servers = map[string]objecttest.Quirks{
	"Amazon":                           {},
	"MinIO":                            {UploadsByKey: true, SilentSSE: true},
	"gofakes3":                         {ETags: objecttest.WholeETags, IgnoresSSE: true, NoMetadata: true, UploadsOrElse: true, IgnoresIfMatch: true},
	"versitygw":                        {BelievesComplete: true},
	"Google":                           {ETags: objecttest.OpaqueETags, NoDeleteObjects: true},
	"opaque, without metadata":         {ETags: objecttest.OpaqueETags, NoMetadata: true},
	"opaque, believes every complete":  {ETags: objecttest.OpaqueETags, NoMetadata: true, BelievesComplete: true},
	"whole, loses answers":             {ETags: objecttest.WholeETags, NoMetadata: true, LosesComplete: true},
	"opaque, marked, loses answers":    {ETags: objecttest.OpaqueETags, LosesComplete: true},
	"Amazon's, whose answers are lost": {LosesComplete: true},
}

func TestClientKeepsTheLawOnEveryKindOfServer(t *testing.T) {
	for _, name := range []string{"MinIO", "gofakes3", "versitygw", "Google", "whole, loses answers"} { // between them they have every quirk
		q := servers[name]
		t.Run(name, func(t *testing.T) {
			objecttest.Run(t, func(t *testing.T) objecttest.Bucket { return quirky(t, objecttest.NewHTTP("box", q), object.Options{}) })
			objecttest.RunRemote(t, quirky(t, objecttest.NewHTTP("other", q), object.Options{}))
		})
	}
}

// An upload is believed on what only its own object can show. An older object of the same key and size is another.
func TestCompletionOfAnOlderObjectOfTheSameSizeIsNotBelieved(t *testing.T) {
	for name, q := range servers {
		q.BelievesComplete = true
		b := quirky(t, objecttest.NewHTTP("box", q), object.Options{})
		up := func(body string) (id string, tags []string) {
			id, err := b.CreateUpload(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			tag, err := b.UploadPart(t.Context(), "k", id, 1, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			return id, []string{tag}
		}
		id, tags := up("older")
		if err := b.CompleteUpload(t.Context(), "k", id, tags); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		id, tags = up("newer")
		if err := b.AbortUpload(t.Context(), "k", id); err != nil {
			t.Fatal(err)
		}
		if err := b.CompleteUpload(t.Context(), "k", id, tags); err == nil {
			t.Errorf("%s: the older object was taken for the upload", name)
		}
	}
}

// An object of many gigabytes is read back only where nothing else tells that it is whole.
func TestAnObjectIsReadBackOnlyWhereNothingElseTells(t *testing.T) {
	for name, c := range map[string]struct {
		quirks objecttest.Quirks
		reads  bool
	}{
		"Amazon's ETag":       {objecttest.Quirks{NoMetadata: true}, false},
		"the mark":            {objecttest.Quirks{ETags: objecttest.OpaqueETags}, false},
		"neither, the answer": {objecttest.Quirks{ETags: objecttest.OpaqueETags, NoMetadata: true}, true},
	} {
		server := objecttest.NewHTTP("box", c.quirks)
		w := blob.NewWriter(t.Context(), quirky(t, server, object.Options{}), "k", blob.WriterOptions{PartBytes: 5 << 20})
		_, err := w.Write(bytes.Repeat([]byte("0123456789"), 1<<20))
		if err = errors.Join(err, w.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := server.Calls("Read"); (n > 0) != c.reads {
			t.Errorf("%s: %d reads", name, n)
		}
	}
}

func TestAServerThatDoesNotEncryptIsRefused(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:111122223333:key/6c5b6d5e"
	for name, c := range map[string]struct {
		quirks objecttest.Quirks
		asked  string
		words  string // of the error; "" = none
	}{
		"it encrypts":                 {objecttest.Quirks{}, key, ""},
		"it names the id alone":       {objecttest.Quirks{KMSKey: "6c5b6d5e"}, key, ""},
		"it names the ARN":            {objecttest.Quirks{KMSKey: key}, "6c5b6d5e", ""},
		"MinIO names its ARN":         {objecttest.Quirks{KMSKey: "arn:aws:kms:my-key"}, "my-key", ""},
		"MinIO says nothing at first": {objecttest.Quirks{SilentSSE: true}, "my-key", ""},
		"an alias":                    {objecttest.Quirks{KMSKey: key}, "alias/batch", ""},
		"another key":                 {objecttest.Quirks{KMSKey: "arn:aws:kms:us-east-1:111122223333:key/0000"}, key, "does not encrypt with"},
		"it ignores the header":       {objecttest.Quirks{IgnoresSSE: true}, key, "the S3 server does not encrypt"},
		"nobody asked for encryption": {objecttest.Quirks{IgnoresSSE: true}, "", ""},
	} {
		server := objecttest.NewHTTP("box", c.quirks)
		b := quirky(t, server, object.Options{KMSKeyID: c.asked})
		w := blob.NewWriter(t.Context(), b, "large", blob.WriterOptions{Abortable: true})
		_, _ = w.Write([]byte("x"))
		for verb, err := range map[string]error{"put": b.Put(t.Context(), "small", []byte("x")), "upload": w.Close()} {
			switch {
			case c.words == "" && err != nil, c.words != "" && (!errors.Is(err, batholith.ErrRefused) || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), c.asked)):
				t.Errorf("%s: %s: %v", name, verb, err)
			}
		}
		left := server.Keys()
		if c.words != "" && (len(left) > 0 || len(server.OpenUploads()) > 0) {
			t.Errorf("%s: what is not encrypted stays: %q, %q", name, left, server.OpenUploads())
		}
		if c.words == "" && !slices.Equal(left, []string{"large", "small"}) {
			t.Errorf("%s: %q", name, left)
		}
	}
}

// Where the beginning of an upload says nothing of encryption its object does.
func TestAnObjectThatIsSeenNotToBeEncryptedIsWithdrawn(t *testing.T) {
	server := objecttest.NewHTTP("box", objecttest.Quirks{})
	b := s3(func(r *http.Request) (*http.Response, error) {
		resp, err := server.RoundTrip(r)
		if r.Method == http.MethodHead {
			resp.Header.Del("X-Amz-Server-Side-Encryption")
		}
		return resp, err
	}).client(t, object.Config{Endpoint: "http://s3.test", PathStyle: true}).Bucket("box", object.Options{KMSKeyID: "key-1"})
	w := blob.NewWriter(t.Context(), b, "k", blob.WriterOptions{Abortable: true})
	_, _ = w.Write([]byte("x"))
	if err := w.Close(); !errors.Is(err, batholith.ErrRefused) || len(server.Keys()) > 0 {
		t.Errorf("%v; there: %q", err, server.Keys())
	}
}

// A node of a MinIO that was started anew lists no upload but by its key.
func TestUploadsAreFoundByTheirKeysWhereNothingElseLists(t *testing.T) {
	server := objecttest.NewHTTP("box", objecttest.Quirks{UploadsByKey: true})
	forgetful := s3(func(r *http.Request) (*http.Response, error) {
		if q := r.URL.Query(); q.Has("uploads") && r.Method == http.MethodGet && q.Get("prefix") == "" {
			return answer(r, 200, nil, "<ListMultipartUploadsResult/>"), nil
		}
		return server.RoundTrip(r)
	}).bucket(t, object.Options{})
	var want []batholith.Upload
	for _, key := range []string{"job/a", "job/a", "job/ab", "job/.batholith/b"} {
		id, err := forgetful.CreateUpload(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, batholith.Upload{Key: key, UploadID: id})
	}
	var got []batholith.Upload
	for u, err := range blob.Uploads(t.Context(), forgetful, "job/", []string{"job/none", "job/a", "job/ab", "job/.batholith/b"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, u)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
