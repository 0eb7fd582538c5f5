package engine

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/kms"
)

// Kept results are encrypted while the settings name a key, and read whether they are or not.
func TestKeptResultsAreReadAsTheyWereWrittenAndShowNothing(t *testing.T) {
	dir := t.TempDir()
	out, err := files.NewPrivateOutput(filepath.Join(dir, "kept"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	file := filepath.Join(dir, "k")
	if _, err := kms.Create(file, "k1", time.Now()); err != nil {
		t.Fatal(err)
	}
	ring, err := kms.Open("us-east-1", "000000000000", []kms.Key{{File: file}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, with, without := t.Context(), keptResults{out, ring.DataKeys("k1", kms.Context{"use": "kept"})}, keptResults{out, ring.DataKeys("", kms.Context{"use": "kept"})}
	body := bytes.Repeat([]byte("BLSG a prompt "), 20_000)
	for name, k := range map[string]keptResults{"sealed": with, "plain": without, "none": {Output: out}} {
		if err := k.Put(ctx, name, body); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "kept", name))
		if err != nil || bytes.Contains(raw, []byte("prompt")) != (name != "sealed") {
			t.Errorf("%s: the file shows prompts: %v", name, err)
		}
		for _, k := range []keptResults{with, without} {
			o, err := k.Head(ctx, name)
			if err != nil || o.Bytes != int64(len(body)) {
				t.Errorf("%s: %d bytes, %v", name, o.Bytes, err)
			}
			for _, part := range [][2]int64{{0, -1}, {0, 1}, {65535, 3}, {int64(len(body)) - 1, 1}, {100_000, -1}} {
				end := part[0] + part[1]
				if part[1] < 0 {
					end = int64(len(body))
				}
				r, err := k.Read(ctx, name, o.ETag, part[0], part[1])
				if err != nil {
					t.Fatal(name, part, err)
				}
				got, err := io.ReadAll(r)
				if r.Close(); err != nil || !bytes.Equal(got, body[part[0]:end]) {
					t.Errorf("%s, %v: %d bytes, %v", name, part, len(got), err)
				}
			}
			if r, err := k.Read(ctx, name, "", int64(len(body))-1, 5); err == nil {
				if _, err = io.ReadAll(r); err == nil {
					t.Errorf("%s: a part beyond the end is no error", name)
				}
				r.Close()
			}
		}
	}
	path := filepath.Join(dir, "kept", "sealed")
	raw, _ := os.ReadFile(path)
	for _, at := range []int{len(keptMagic) + 3, len(raw) / 2, len(raw) - 1} {
		changed := bytes.Clone(raw)
		changed[at] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := with.Read(ctx, "sealed", "", 0, -1)
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if err == nil {
			t.Errorf("byte %d is changed: no error", at)
		}
	}
}
