package objecttest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// partSize is S3's minimum for every part except the last.
const partSize = 5 << 20

// uploadParts starts an upload and sends the parts.
func uploadParts(t *testing.T, b Bucket, key string, parts ...[]byte) (id string, etags []string) {
	t.Helper()
	id, err := b.CreateUpload(t.Context(), key)
	must(t, err)
	for i, p := range parts {
		etag, err := b.UploadPart(t.Context(), key, id, i+1, p)
		must(t, err)
		etags = append(etags, etag)
	}
	return id, etags
}

// uploadJoins: the object consists of the parts in order.
func uploadJoins(t *testing.T, b Bucket) {
	// Two parts of equal size with different content, and a short last part.
	p1, p2, p3 := body(partSize), body(partSize + 1)[1:], body(17)
	id, etags := uploadParts(t, b, "up/joined", p1, p2, p3)
	must(t, b.CompleteUpload(t.Context(), "up/joined", id, etags))
	same(t, b, "up/joined", bytes.Join([][]byte{p1, p2, p3}, nil))
	info, err := b.Head(t.Context(), "up/joined")
	must(t, err)
	if got, err := read(t, b, "up/joined", info.ETag, partSize-1, 2); err != nil || got[0] != p1[partSize-1] || got[1] != p2[0] {
		t.Errorf("across the seam: %v, %v", got, err)
	}
}

// uploadReplaces: a completed upload replaces an existing object.
func uploadReplaces(t *testing.T, b Bucket) {
	put(t, b, "up/again", []byte("an older object"))
	for n := range 2 {
		p := body(100 + n)
		id, etags := uploadParts(t, b, "up/again", p)
		must(t, b.CompleteUpload(t.Context(), "up/again", id, etags))
		same(t, b, "up/again", p)
	}
}

// partReplaced: a part sent again replaces the earlier one.
func partReplaced(t *testing.T, b Bucket) {
	id, etags := uploadParts(t, b, "k", body(10))
	etag, err := b.UploadPart(t.Context(), "k", id, 1, body(20))
	must(t, err)
	if etag == etags[0] {
		t.Errorf("two parts, one ETag %s", etag)
	}
	must(t, b.CompleteUpload(t.Context(), "k", id, []string{etag}))
	same(t, b, "k", body(20))
}

// uploadInvisible: an unfinished upload neither shows an object nor changes the existing one.
func uploadInvisible(t *testing.T, b Bucket) {
	put(t, b, "dir/old", []byte("old"))
	uploadParts(t, b, "dir/old", body(50))
	uploadParts(t, b, "dir/new", body(60))
	same(t, b, "dir/old", []byte("old"))
	if got := keys(t, b, ""); len(got) != 1 {
		t.Errorf("visible: %q", got)
	}
	if _, err := b.Head(t.Context(), "dir/new"); !errors.Is(err, batholith.ErrNoObject) {
		t.Errorf("an unfinished upload is found: %v", err)
	}
}

// abortLeavesNothing: after an abort the upload cannot be completed, takes no parts and is not
// listed.
func abortLeavesNothing(t *testing.T, b Bucket) {
	id, etags := uploadParts(t, b, "deep/down/aborted", body(70))
	for range 2 {
		must(t, b.AbortUpload(t.Context(), "deep/down/aborted", id))
	}
	if got := keys(t, b, ""); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	if err := b.CompleteUpload(t.Context(), "deep/down/aborted", id, etags); err == nil {
		t.Error("an aborted upload was completed")
	}
	if _, err := b.UploadPart(t.Context(), "deep/down/aborted", id, 2, body(5)); err == nil {
		t.Error("an aborted upload takes parts")
	}
	if open := openUploads(t, b, ""); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
}

// openUploads returns the listed uploads as sorted "key id".
func openUploads(t *testing.T, b Bucket, prefix string) []string {
	t.Helper()
	all := []string{}
	for u, err := range b.ListUploads(t.Context(), prefix) {
		must(t, err)
		all = append(all, u.Key+" "+u.UploadID)
	}
	slices.Sort(all)
	return all
}

// uploadsListed: ListUploads yields exactly the open uploads below the prefix.
func uploadsListed(t *testing.T, b Bucket) {
	if open := openUploads(t, b, ""); len(open) != 0 {
		t.Errorf("open from the beginning: %v", open)
	}
	var open []string
	begin := func(key string) string {
		id, err := b.CreateUpload(t.Context(), key)
		must(t, err)
		open = append(open, key+" "+id)
		return id
	}
	for _, key := range oddKeys() {
		begin("odd/" + key)
	}
	begin("a/one")
	begin("a/one")
	begin("ab")
	slices.Sort(open)
	of := func(prefix string) []string {
		return slices.DeleteFunc(slices.Clone(open), func(u string) bool { return !strings.HasPrefix(u, prefix) })
	}
	for _, prefix := range []string{"", "a/", "a", "odd/", "nothing"} {
		if diff := cmp.Diff(of(prefix), openUploads(t, b, prefix)); diff != "" {
			t.Errorf("prefix %q:\n%s", prefix, diff)
		}
	}
	for _, u := range of("a") {
		key, id, _ := strings.Cut(u, " ")
		if key == "ab" {
			etag, err := b.UploadPart(t.Context(), key, id, 1, body(5))
			must(t, err)
			must(t, b.CompleteUpload(t.Context(), key, id, []string{etag}))
			continue
		}
		must(t, b.AbortUpload(t.Context(), key, id))
	}
	if left := openUploads(t, b, "a"); len(left) != 0 {
		t.Errorf("aborted and completed uploads are listed: %v", left)
	}
	for range b.ListUploads(t.Context(), "") {
		break // must not run on
	}
	for _, u := range of("odd/") {
		n := strings.LastIndex(u, " ")
		must(t, b.AbortUpload(t.Context(), u[:n], u[n+1:]))
	}
	if left := keys(t, b, ""); len(left) != 1 || left[0] != "ab" {
		t.Errorf("objects: %q", left)
	}
}

// abortOrComplete aborts uploads while they are being completed. Whoever was told that the
// upload is aborted may write the object anew.
func abortOrComplete(t *testing.T, b Bucket) {
	for range 20 {
		id, etags := uploadParts(t, b, "k", body(100))
		var wg sync.WaitGroup
		wg.Go(func() { _ = b.CompleteUpload(t.Context(), "k", id, etags) }) // either may be first
		must(t, b.AbortUpload(t.Context(), "k", id))
		put(t, b, "k", []byte("the successor's"))
		wg.Wait()
		same(t, b, "k", []byte("the successor's"))
	}
}

func completeRefuses(t *testing.T, b Bucket) {
	id, _ := uploadParts(t, b, "k", body(10))
	err := b.CompleteUpload(t.Context(), "k", id, []string{"0123456789abcdef0123456789abcdef"})
	if err == nil {
		t.Error("completed with a part that was never uploaded")
	}
	if _, err := b.Head(t.Context(), "k"); !errors.Is(err, batholith.ErrNoObject) {
		t.Errorf("an object came of it: %v", err)
	}
}

func completeUnknown(t *testing.T, b Bucket) {
	put(t, b, "k", []byte("there already"))
	id, etags := uploadParts(t, b, "k", body(10))
	must(t, b.AbortUpload(t.Context(), "k", id))
	if err := b.CompleteUpload(t.Context(), "k", id, etags); err == nil {
		t.Error("the completion of a dropped upload was believed, since there is an object of its key")
	}
	same(t, b, "k", []byte("there already"))
}

func completeRepeated(t *testing.T, b Bucket) {
	id, etags := uploadParts(t, b, "k", body(partSize), body(3))
	for range 2 { // the first answer was lost
		must(t, b.CompleteUpload(t.Context(), "k", id, etags))
	}
	same(t, b, "k", append(body(partSize), body(3)...))
}

// RunRemote holds a bucket in a store that has several to the law of what is missing and of
// calling off. absent names no bucket that exists.
func RunRemote(t *testing.T, absent Bucket) {
	t.Run("MissingBucketIsNamed", func(t *testing.T) {
		for verb, err := range missingBucket(t.Context(), absent) {
			if !errors.Is(err, batholith.ErrNoBucket) || !bytes.Contains([]byte(err.Error()), []byte(absent.Name())) {
				t.Errorf("%s in a missing bucket: %v", verb, err)
			}
		}
	})
	t.Run("CancelledContextEndsACall", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := absent.Head(ctx, "k"); !errors.Is(err, context.Canceled) {
			t.Errorf("head: %v", err)
		}
		if _, err := absent.Read(ctx, "k", "", 0, -1); !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
	})
}

func missingBucket(ctx context.Context, b Bucket) map[string]error {
	errs := map[string]error{"put": b.Put(ctx, "k", []byte("x"))}
	_, errs["head"] = b.Head(ctx, "k")
	_, errs["read"] = b.Read(ctx, "k", "", 0, -1)
	_, errs["begin upload"] = b.CreateUpload(ctx, "k")
	for _, err := range b.List(ctx, "") {
		errs["list"] = err
	}
	return errs
}
