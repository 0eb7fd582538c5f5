package objecttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// oddKeys returns keys that a faulty client or server would change.
func oddKeys() []string {
	keys := []string{"plain", "with space/and more", "ünïcode/日本語.jsonl", "plus+plus", "percent%20literal%", "a=b&c;d,e",
		"quote'\"`", "tilde~star*", "hash#mark?query=1", "colon:at@", "brackets[1]{2}(3)", "back\\slash", ".dot/.hidden", "dots..and...more", "-dash"}
	if Quirk("backslash") {
		keys = slices.DeleteFunc(keys, func(k string) bool { return strings.Contains(k, `\`) })
	}
	return keys
}

// Quirk reports whether the tested server is known to differ from S3 in this way. BATHOLITH_TEST_S3_QUIRKS
// lists them, separated by commas. backslash: it treats \ in a key as /. makes-buckets: it creates a missing
// bucket.
func Quirk(name string) bool {
	return slices.Contains(strings.Split(os.Getenv("BATHOLITH_TEST_S3_QUIRKS"), ","), name)
}

// RunReads tests the reading part of the contract. open returns a bucket with exactly these objects.
func RunReads(t *testing.T, open func(t *testing.T, objects map[string][]byte) Reader) {
	t.Run("ListIsInOrderOfBytes", func(t *testing.T) { listOrder(t, open) })
	t.Run("ListOfManyIsComplete", func(t *testing.T) { listMany(t, open) })
	t.Run("OddKeysAreKept", func(t *testing.T) { oddKeysKept(t, open) })
	t.Run("RangesAreExact", func(t *testing.T) { ranges(t, open) })
	t.Run("ShortReadIsAnError", func(t *testing.T) { shortRead(t, open) })
	t.Run("EmptyObjectIsRead", func(t *testing.T) { emptyObject(t, open) })
	t.Run("LargeObjectIsRead", func(t *testing.T) { largeObject(t, open) })
	t.Run("MissingObjectIsNamed", func(t *testing.T) { missingObject(t, open) })
	t.Run("ETagIsDemanded", func(t *testing.T) { etagDemanded(t, open) })
}

type opener = func(*testing.T, map[string][]byte) Reader

// listOrder: List yields keys in byte order, with size and ETag, and applies the prefix.
func listOrder(t *testing.T, open opener) {
	// Keys around the slash: '-' and '.' sort before it, '0' after it. A server that walks
	// directories gets the order wrong.
	all := []string{"a", "a.b", "b/1", "b/10", "b/2", "b/c/d", "b/c/e/f", "b/cc", "b-", "b0", "Z", "é", "z/z"}
	objects := map[string][]byte{}
	for i, k := range all {
		objects[k] = body(i)
	}
	b := open(t, objects)
	slices.Sort(all)
	for prefix, want := range map[string][]string{
		"": all, "b/": {"b/1", "b/10", "b/2", "b/c/d", "b/c/e/f", "b/cc"}, "b/c": {"b/c/d", "b/c/e/f", "b/cc"}, "b": {"b-", "b/1", "b/10", "b/2", "b/c/d", "b/c/e/f", "b/cc", "b0"},
		"b/c/": {"b/c/d", "b/c/e/f"}, "b/c/d": {"b/c/d"}, "a": {"a", "a.b"}, "nothing/": {}, "a/": {}, "é": {"é"},
	} {
		if diff := cmp.Diff(want, keys(t, b, prefix)); diff != "" {
			t.Errorf("prefix %q:\n%s", prefix, diff)
		}
	}
	for info, err := range b.List(t.Context(), "") {
		must(t, err)
		if info.Bytes != int64(len(objects[info.Key])) || info.Modified.IsZero() || info.ETag == "" {
			t.Errorf("listed %+v, the object has %d bytes", info, len(objects[info.Key]))
		}
	}
}

// listMany: a list of more than one page (1,000 keys) is complete, and can be ended early.
func listMany(t *testing.T, open opener) {
	objects, want := map[string][]byte{}, []string{}
	for i := range 1100 { // more than a page
		key := fmt.Sprintf("many/%04d", i)
		objects[key], want = []byte("x"), append(want, key)
	}
	b := open(t, objects)
	if diff := cmp.Diff(want, keys(t, b, "many/")); diff != "" {
		t.Error(diff)
	}
	n := 0
	for range b.List(t.Context(), "") {
		if n++; n == 3 {
			break // the list must stop here
		}
	}
}

// oddKeysKept: unusual keys are stored and listed unchanged.
func oddKeysKept(t *testing.T, open opener) {
	objects := map[string][]byte{}
	for _, key := range oddKeys() {
		objects[key] = []byte("body of " + key)
	}
	b := open(t, objects)
	want := slices.Sorted(slices.Values(oddKeys()))
	if diff := cmp.Diff(want, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
	for _, key := range oddKeys() {
		same(t, b, key, objects[key])
		if diff := cmp.Diff([]string{key}, keys(t, b, key)); diff != "" {
			t.Errorf("prefix %q:\n%s", key, diff)
		}
	}
}

// ranges: Read returns exactly the requested range.
func ranges(t *testing.T, open opener) {
	// Ranges at the start, in the middle and at the end; n = -1 means to the end.
	want := body(10_000)
	b := open(t, map[string][]byte{"r": want})
	for _, r := range [][2]int64{{0, -1}, {0, 1}, {0, 10_000}, {1, 1}, {9_999, 1}, {9_999, -1}, {5_000, 2_500}, {10_000, -1}, {3, 0}} {
		end := r[0] + r[1]
		if r[1] < 0 {
			end = 10_000
		}
		got, err := read(t, b, "r", "", r[0], r[1])
		if err != nil || !bytes.Equal(got, want[r[0]:end]) {
			t.Errorf("range %v: %d bytes, %v", r, len(got), err)
		}
	}
}

// shortRead: a range that ends after the object is io.ErrUnexpectedEOF, never a short success.
func shortRead(t *testing.T, open opener) {
	b := open(t, map[string][]byte{"s": body(100), "empty": nil})
	for _, r := range []struct {
		key       string
		offset, n int64
	}{{"s", 0, 101}, {"s", 99, 2}, {"s", 100, 1}, {"s", 200, 1}, {"s", 101, -1}, {"empty", 0, 1}} {
		if got, err := read(t, b, r.key, "", r.offset, r.n); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%+v: %d bytes, error %v", r, len(got), err)
		}
	}
}

// emptyObject: an empty object can be read and has an ETag.
func emptyObject(t *testing.T, open opener) {
	b := open(t, map[string][]byte{"empty": nil})
	same(t, b, "empty", nil)
	info, err := b.Head(t.Context(), "empty")
	if err != nil || info.Bytes != 0 || info.ETag == "" || info.Key != "empty" {
		t.Errorf("%+v, %v", info, err)
	}
}

// largeObject: 20 MiB can be read completely and in part.
func largeObject(t *testing.T, open opener) {
	want := body(20 << 20)
	b := open(t, map[string][]byte{"large": want})
	same(t, b, "large", want)
	got, err := read(t, b, "large", "", 15<<20, 5<<20)
	if err != nil || !bytes.Equal(got, want[15<<20:]) {
		t.Errorf("the end of a large object: %d bytes, %v", len(got), err)
	}
}

// missingObject: Head and Read of a missing key return ErrNoObject, and the error names the key.
func missingObject(t *testing.T, open opener) {
	b := open(t, map[string][]byte{"there/key": []byte("x")})
	// Also names that are directories of existing keys, or begin like them.
	for _, key := range []string{"missing", "there/missing", "there", "there/key2", "no/such/path"} {
		if _, err := b.Head(t.Context(), key); !errors.Is(err, batholith.ErrNoObject) {
			t.Errorf("head of %q: %v", key, err)
		} else if !bytes.Contains([]byte(err.Error()), []byte(key)) {
			t.Errorf("the error does not name %q: %v", key, err)
		}
		if _, err := read(t, b, key, "", 0, -1); !errors.Is(err, batholith.ErrNoObject) {
			t.Errorf("read of %q: %v", key, err)
		}
	}
}

// etagDemanded: Read succeeds with the object's ETag and fails with another.
func etagDemanded(t *testing.T, open opener) {
	b := open(t, map[string][]byte{"k": []byte("0123456789")})
	info, err := b.Head(t.Context(), "k")
	must(t, err)
	if got, err := read(t, b, "k", info.ETag, 2, 3); err != nil || string(got) != "234" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := read(t, b, "k", "00000000000000000000000000000000", 2, 3); !errors.Is(err, batholith.ErrObjectChanged) {
		t.Errorf("read with another ETag: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, b Bucket, key string, body []byte) {
	t.Helper()
	must(t, b.Put(t.Context(), key, body))
}

func read(t *testing.T, b Reader, key, etag string, offset, n int64) ([]byte, error) {
	t.Helper()
	r, err := b.Read(t.Context(), key, etag, offset, n)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	must(t, r.Close())
	return got, err
}

func same(t *testing.T, b Reader, key string, want []byte) {
	t.Helper()
	got, err := read(t, b, key, "", 0, -1)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q holds %d bytes, not the %d written: %v", key, len(got), len(want), err)
	}
	if info, err := b.Head(t.Context(), key); err != nil || info.Bytes != int64(len(want)) || info.Key != key {
		t.Errorf("head of %q: %+v, %v", key, info, err)
	}
}

func keys(t *testing.T, b Reader, prefix string) []string {
	t.Helper()
	all := []string{}
	for info, err := range b.List(t.Context(), prefix) {
		must(t, err)
		all = append(all, info.Key)
	}
	return all
}
