package objecttest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// Run tests the contract of a bucket. open returns an empty bucket; each subtest calls it once.
func Run(t *testing.T, open func(t *testing.T) Bucket) {
	RunReads(t, func(t *testing.T, objects map[string][]byte) Reader {
		b := open(t)
		putAll(t, b, objects)
		return b
	})
	for name, law := range map[string]func(*testing.T, Bucket){
		"PutReplaces":                    putReplaces,
		"PutThenListHeadAndReadAgree":    putAgrees,
		"ChangedObjectIsNotRead":         changedObject,
		"DeleteIsIdempotent":             deleteIdempotent,
		"DeleteLeavesNeighbours":         deleteNeighbours,
		"ConcurrentPutsAllArrive":        concurrentPuts,
		"ConcurrentPutsOfOneKeyAreWhole": concurrentPutsOfOneKey,
		"UploadJoinsItsParts":            uploadJoins,
		"UploadReplaces":                 uploadReplaces,
		"PartIsReplaced":                 partReplaced,
		"UploadIsInvisibleUntilComplete": uploadInvisible,
		"AbortLeavesNothing":             abortLeavesNothing,
		"CompleteRefusesAnotherPart":     completeRefuses,
		"CompleteRefusesAnUnknownUpload": completeUnknown,
		"CompleteMayBeRepeated":          completeRepeated,
		"OpenUploadsAreListed":           uploadsListed,
		"AbortOrCompleteWins":            abortOrComplete,
	} {
		t.Run(name, func(t *testing.T) { law(t, open(t)) })
	}
}

// putAll writes objects, up to 16 in parallel.
func putAll(t *testing.T, b Bucket, objects map[string][]byte) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 16) // limits the parallel requests
	// Errors are reported, and the test fails after all writes.
	for key, body := range objects {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := b.Put(t.Context(), key, body); err != nil {
				t.Error(err)
			}
		})
	}
}

// putReplaces: a Put replaces the whole object, also by an empty one.
func putReplaces(t *testing.T, b Bucket) {
	put(t, b, "a/key", []byte("the first body, which is longer"))
	put(t, b, "a/key", []byte("second"))
	same(t, b, "a/key", []byte("second"))
	put(t, b, "a/key", nil)
	same(t, b, "a/key", nil)
}

// putAgrees: List, Head and Read return what was put, under unusual keys too, with the same
// ETag.
func putAgrees(t *testing.T, b Bucket) {
	for _, key := range oddKeys() {
		put(t, b, key, []byte("body of "+key))
	}
	listed := map[string]string{}
	for info, err := range b.List(t.Context(), "") {
		must(t, err)
		listed[info.Key] = info.ETag
	}
	for _, key := range oddKeys() {
		info, err := b.Head(t.Context(), key)
		must(t, err)
		if info.ETag == "" || info.ETag != listed[key] || strings.Contains(info.ETag, `"`) {
			t.Errorf("%q: Head has ETag %q, List has %q", key, info.ETag, listed[key])
		}
		got, err := read(t, b, key, info.ETag, 0, -1)
		must(t, err)
		if string(got) != "body of "+key {
			t.Errorf("%q holds %q", key, got)
		}
	}
	must(t, b.Delete(t.Context(), oddKeys()...))
	if got := keys(t, b, ""); len(got) != 0 {
		t.Errorf("after deleting all there are %q", got)
	}
}

// changedObject: a Read with the ETag of an older object fails with ErrObjectChanged.
func changedObject(t *testing.T, b Bucket) {
	put(t, b, "k", []byte("before"))
	info, err := b.Head(t.Context(), "k")
	must(t, err)
	put(t, b, "k", []byte("after!"))
	if _, err := read(t, b, "k", info.ETag, 1, 2); !errors.Is(err, batholith.ErrObjectChanged) {
		t.Errorf("read of a changed object: %v", err)
	}
}

// deleteIdempotent: Delete may be repeated, and missing keys are not an error.
func deleteIdempotent(t *testing.T, b Bucket) {
	put(t, b, "d/one", []byte("1"))
	put(t, b, "d/two", []byte("2"))
	for range 2 { // the second time all keys are missing
		must(t, b.Delete(t.Context(), "d/one", "d/two", "d/never", "other/never"))
	}
	must(t, b.Delete(t.Context(), "d/one"))
	must(t, b.Delete(t.Context()))
	if _, err := b.Head(t.Context(), "d/one"); !errors.Is(err, batholith.ErrNoObject) {
		t.Errorf("deleted object: %v", err)
	}
	put(t, b, "d/one", []byte("again"))
	same(t, b, "d/one", []byte("again"))
}

// deleteNeighbours: Delete removes only the named keys, not keys below them.
func deleteNeighbours(t *testing.T, b Bucket) {
	for _, key := range []string{"a/b/c", "a/b/d", "a/e"} {
		put(t, b, key, []byte(key))
	}
	// "a/b" and "a" are not objects; deleting them must not delete what is below.
	must(t, b.Delete(t.Context(), "a/b/c", "a/b", "a"))
	if diff := cmp.Diff([]string{"a/b/d", "a/e"}, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
}

// concurrentPuts: parallel Puts of different keys all succeed.
func concurrentPuts(t *testing.T, b Bucket) {
	const n = 24
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := b.Put(t.Context(), fmt.Sprintf("deep/%d/er/%d", i%3, i), body(1000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := keys(t, b, "deep/"); len(got) != n {
		t.Errorf("%d of %d objects arrived: %q", len(got), n, got)
	}
	for i := range n {
		same(t, b, fmt.Sprintf("deep/%d/er/%d", i%3, i), body(1000+i))
	}
}

// concurrentPutsOfOneKey: after parallel Puts the object is one of the bodies, not a mixture.
func concurrentPutsOfOneKey(t *testing.T, b Bucket) {
	var wg sync.WaitGroup
	// Different lengths, so that a mixture is noticed by its size too.
	bodies := [][]byte{bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 70_000), bytes.Repeat([]byte("c"), 10)}
	for i := range 9 {
		wg.Go(func() {
			if err := b.Put(t.Context(), "same/key", bodies[i%3]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := read(t, b, "same/key", "", 0, -1)
	must(t, err)
	if !slices.ContainsFunc(bodies, func(b []byte) bool { return bytes.Equal(b, got) }) {
		t.Errorf("a mixture of %d bytes", len(got))
	}
}

// body returns n pseudo-random bytes that depend only on n.
func body(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}
