package s3serve

import (
	"context"
	"crypto/md5"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3response"
)

// watched is a store whose syncs are written down.
type watched struct {
	*store
	dir string

	mu    sync.Mutex
	syncs []string // what was synced, and whether the object had its name by then
	watch string   // path of the object
}

func openWatched(t *testing.T, metaFiles bool) *watched {
	t.Helper()
	w := &watched{dir: filepath.Join(t.TempDir(), "buckets")}
	mkdir(t, w.dir)
	root := Account{AccessKeyID: "root", Secret: "secret"}
	s, err := openStore(w.dir, filepath.Join(filepath.Dir(w.dir), "meta"), metaFiles, newAccounts("owner", root, nil), slog.New(slog.DiscardHandler),
		disk{sync: w.sync})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	w.store = s
	if err := s.ensureBucket(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) sync(f *os.File) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if strings.Contains(name, ".sgwtmp/") && !strings.Contains(name, "multipart") {
		name = "staged"
	}
	rel, _ := filepath.Rel(w.dir, strings.TrimSuffix(name, " (deleted)"))
	if name == "staged" {
		rel = name
	}
	body, err := os.ReadFile(w.watch)
	state := "absent"
	if err == nil {
		state = string(body)
	}
	w.syncs = append(w.syncs, rel+": "+state)
	return f.Sync()
}

// during returns the syncs that f causes.
func (w *watched) during(t *testing.T, key string, f func(context.Context) error) []string {
	t.Helper()
	w.mu.Lock()
	w.watch, w.syncs = filepath.Join(w.dir, "box", key), nil
	w.mu.Unlock()
	ctx := context.WithValue(t.Context(), "account", auth.Account{Access: "root"}) //nolint:staticcheck // the gateway's key
	if err := f(ctx); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncs
}

func (w *watched) put(body string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := w.PutObject(ctx, s3response.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("a/b/key"),
			Body: strings.NewReader(body), ContentLength: aws.Int64(int64(len(body)))})
		return err
	}
}

func TestBytesAreDurableBeforeTheirName(t *testing.T) {
	w := openWatched(t, false)
	got := w.during(t, "a/b/key", w.put("first"))
	want := []string{"staged: absent", "box/a/b/key: first", "box/a/b: first", "box/a: first", "box: first"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a new object:\n%s", diff)
	}
	got = w.during(t, "a/b/key", w.put("second"))
	want = []string{"staged: first", "box/a/b/key: second", "box/a/b: second"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an object in place of another:\n%s", diff)
	}
	got = w.during(t, "a/b/key", func(ctx context.Context) error {
		_, err := w.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("box"), Key: aws.String("a/b/key")})
		return err
	})
	if diff := cmp.Diff([]string{"box: absent"}, got); diff != "" {
		t.Errorf("a deleted object, whose directories went with it:\n%s", diff)
	}
	got = w.during(t, "a/b/key", w.put("third"))
	want = []string{"staged: absent", "box/a/b/key: third", "box/a/b: third", "box/a: third", "box: third"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an object where one was deleted:\n%s", diff)
	}
}

func TestPartsAndTheirObjectAreDurableBeforeTheirName(t *testing.T) {
	w := openWatched(t, false)
	box, key, id := aws.String("box"), aws.String("up"), ""
	w.during(t, "up", func(ctx context.Context) error {
		out, err := w.CreateMultipartUpload(ctx, s3response.CreateMultipartUploadInput{Bucket: box, Key: key})
		id = out.UploadId
		return err
	})
	dir := uploadDir("up", id)
	got := w.during(t, dir+"/1", func(ctx context.Context) error {
		_, err := w.UploadPart(ctx, &s3.UploadPartInput{Bucket: box, Key: key, UploadId: &id, PartNumber: aws.Int32(1),
			Body: strings.NewReader("part"), ContentLength: aws.Int64(4)})
		return err
	})
	if len(got) < 3 || !strings.HasSuffix(got[0], ": absent") || got[1] != "box/"+dir+"/1: part" || got[2] != "box/"+dir+": part" {
		t.Errorf("a part: %q", got)
	}
	got = w.during(t, "up", func(ctx context.Context) error {
		etag := fmt.Sprintf("%x", md5.Sum([]byte("part")))
		_, _, err := w.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: box, Key: key, UploadId: &id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: &etag}}}})
		return err
	})
	if diff := cmp.Diff([]string{"staged: absent", "box/up: part", "box: part", "box/" + uploadsDir + ": part"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataInFilesIsDurableToo(t *testing.T) {
	w := openWatched(t, true)
	got := w.during(t, "a/b/key", w.put("first"))
	if !slices.Contains(got, "../meta/box/a/b/key/meta/etag: absent") || !slices.Contains(got, "../meta/box: absent") {
		t.Errorf("synced: %q", got)
	}
}
