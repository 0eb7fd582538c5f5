package kms

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// made creates a key and opens a ring with it under the alias prompts.
func made(t testing.TB, id string) (*Ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.key")
	if _, err := Create(path, id, noon); err != nil {
		t.Fatal(err)
	}
	return opened(t, Key{Aliases: []string{"prompts"}, File: path}), path
}

func opened(t testing.TB, keys ...Key) *Ring {
	t.Helper()
	r, err := Open("us-east-1", "000000000000", keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAKeyHasTheFourNamesOfKMS(t *testing.T) {
	r, _ := made(t, "k1")
	want := Ref{ID: "k1", ARN: "arn:aws:kms:us-east-1:000000000000:key/k1", Account: "000000000000"}
	for _, name := range []string{"", "k1", "alias/prompts", want.ARN, "arn:aws:kms:us-east-1:000000000000:alias/prompts"} {
		if got, err := r.Find(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"k2", "prompts", "alias/k1", "arn:aws:kms:us-east-1:000000000000:key/", "arn:aws:kms:us-east-1:000000000000:k1",
		"arn:aws:kms:us-west-2:000000000000:key/k1", "arn:aws:kms:us-east-1:111122223333:key/k1", "arn:aws:iam::000000000000:role/k1", "alias/", "arn:"} {
		if _, err := r.Find(name); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestTheDefaultKeyIsTheOneOfTheAliasOrTheFirst(t *testing.T) {
	dir := t.TempDir()
	var keys []Key
	for _, id := range []string{"one", "two"} {
		path := filepath.Join(dir, id)
		if _, err := Create(path, id, noon); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, Key{File: path})
	}
	if ref, err := opened(t, keys...).Find(""); err != nil || ref.ID != "one" {
		t.Error(ref, err)
	}
	keys[1].Aliases = []string{"alias/aws/s3"}
	if ref, err := opened(t, keys...).Find(""); err != nil || ref.ID != "two" {
		t.Error(ref, err)
	}
	if _, err := opened(t).Find(""); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "batholith kms create") {
		t.Error(err)
	}
	keys[0].Aliases = []string{"aws/s3"}
	if _, err := Open("us-east-1", "000000000000", keys); err == nil || !strings.Contains(err.Error(), "alias/aws/s3") {
		t.Error(err)
	}
}

// A data key unwraps with the key, the version and the context that it was wrapped with, and
// with nothing else.
func TestADataKeyKeepsItsContext(t *testing.T) {
	r, _ := made(t, "")
	texts := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "ab", ""}), rapid.SampledFrom([]string{"", "a", "b", "bc"}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		in, other := Context(texts.Draw(t, "context")), Context(texts.Draw(t, "other"))
		d, err := r.Generate("", in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Unwrap(d.ID, d.Wrapped, in); err != nil || !bytes.Equal(got.Plain, d.Plain) {
			t.Fatal(got, err)
		}
		_, err = r.Unwrap(d.ID, d.Wrapped, other)
		if same := equal(in, other); same != (err == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(in, other, err)
		}
		changed := bytes.Clone(d.Wrapped)
		changed[rapid.IntRange(0, len(changed)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if _, err := r.Unwrap(d.ID, changed, in); err == nil {
			t.Fatal("a changed wrapped key unwraps")
		}
	})
}

func equal(a, b Context) bool {
	return bytes.Equal(authenticated("", a), authenticated("", b))
}

// Each rotation adds its version, whichever name of the file it has.
func TestRotationsAtTheSameTimeKeepEveryVersion(t *testing.T) {
	for name, other := range map[string]func(path string) string{
		"one name": func(path string) string { return path },
		"another name": func(path string) string {
			return filepath.Dir(path) + "/./../" + filepath.Base(filepath.Dir(path)) + "/a.key"
		},
		"a link to it":   func(path string) string { return linked(t, path) },
		"a link to that": func(path string) string { return linked(t, linked(t, path)) },
	} {
		r, path := made(t, "")
		var wait sync.WaitGroup
		rotated := make([]*File, 8)
		for i, at := range slices.Repeat([]string{path, other(path)}, len(rotated)/2) {
			wait.Go(func() {
				f, err := Rotate(at, noon)
				if err != nil {
					t.Error(name, err)
				}
				rotated[i] = f
			})
		}
		wait.Wait()
		file, err := ReadFile(path)
		if err != nil || len(file.Versions) != 1+len(rotated) {
			t.Fatalf("%s: %d versions, %v", name, len(file.Versions), err)
		}
		for _, f := range rotated {
			if lost := f.lostIn(file); lost != 0 {
				t.Errorf("%s: version %d of a rotation is lost", name, lost)
			}
		}
		if d, err := r.Generate("", nil); err != nil || int(d.Wrapped[4]) != len(file.Versions) {
			t.Errorf("%s: the ring encrypts with version %d, %v", name, d.Wrapped[4], err)
		}
	}
}

// linked returns a symbolic link to a file, in another directory.
func linked(t testing.TB, path string) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "link.key")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestRotationKeepsWhatOldVersionsWrapped(t *testing.T) {
	r, path := made(t, "")
	var all []DataKey
	for i := range 3 {
		d, err := r.Generate("alias/prompts", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(d.Wrapped[4]); got != i+1 {
			t.Errorf("version %d encrypts after %d rotations", got, i)
		}
		all = append(all, d)
		if _, err := Rotate(path, noon); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*Ring{r, opened(t, Key{File: path})} {
		for _, d := range all {
			if got, err := r.Unwrap(d.ID, d.Wrapped, nil); err != nil || !bytes.Equal(got.Plain, d.Plain) {
				t.Error(err)
			}
		}
	}
}

// A server that read the file before a rotation decrypts what another process encrypted after
// it.
func TestARunningRingLearnsNewVersions(t *testing.T) {
	old, path := made(t, "")
	if _, err := Rotate(path, noon); err != nil {
		t.Fatal(err)
	}
	d, err := opened(t, Key{File: path}).Generate("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := old.Unwrap(d.ID, d.Wrapped, nil); err != nil || !bytes.Equal(got.Plain, d.Plain) {
		t.Error(err)
	}
}

func TestAKeyFileIsForItsOwnerAlone(t *testing.T) {
	_, path := made(t, "")
	for mode := range os.FileMode(0o100) {
		if err := os.Chmod(path, 0o600|mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(path)
		if (err == nil) != (mode == 0) || err != nil && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v", 0o600|mode, err)
		}
	}
}

func TestAKeyFileIsNeverReplacedByCreate(t *testing.T) {
	_, path := made(t, "")
	before, _ := os.ReadFile(path)
	if _, err := Create(path, "", noon); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the key is gone")
	}
	files, _ := os.ReadDir(filepath.Dir(path))
	if len(files) != 1 {
		t.Error("a file stays behind:", files)
	}
}

func TestAnUnusableKeyIsNamedWithItsRemedy(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(path string) error
		want   string // in the error of Generate
	}{
		"missing":   {os.Remove, "put it back"},
		"damaged":   {func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, "put it back"},
		"loose":     {func(path string) error { return os.Chmod(path, 0o644) }, "chmod 600"},
		"empty":     {func(path string) error { return os.WriteFile(path, []byte(fileHead+"k1\n"), 0o600) }, "put it back"},
		"other key": {func(path string) error { return replace(path, "other") }, "k1"},
		"same id":   {func(path string) error { return replace(path, "k1") }, "put the file back"},
	} {
		r, path := made(t, "k1")
		d, err := r.Generate("", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.change(path); err != nil {
			t.Fatal(err)
		}
		for range 2 { // also when it was noticed before
			_, err = r.Generate("", nil)
			if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := r.Unwrap(d.ID, d.Wrapped, nil); err != nil || !bytes.Equal(got.Plain, d.Plain) {
			t.Errorf("%s: what the running process has read decrypts no more: %v", name, err)
		}
		again, err := Open("us-east-1", "000000000000", []Key{{ID: "k1", File: path}})
		if name == "same id" {
			_, err = again.Unwrap(d.ID, d.Wrapped, nil)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil {
			t.Errorf("%s: the key opens", name)
		}
	}
}

// replace makes a key file in the place of another.
func replace(path, id string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	_, err := Create(path, id, noon)
	return err
}

func TestADisabledKeyDoesNothing(t *testing.T) {
	r, path := made(t, "k1")
	d, err := r.Generate("", nil)
	if err != nil {
		t.Fatal(err)
	}
	off := opened(t, Key{File: path, Disabled: true})
	_, gerr := off.Generate("k1", nil)
	_, uerr := off.Unwrap("k1", d.Wrapped, nil)
	for _, err := range []error{gerr, uerr} {
		if !errors.Is(err, ErrDisabled) || !strings.Contains(err.Error(), "disabled") {
			t.Error(err)
		}
	}
}

func FuzzAKeyFileIsReadWholeOrNotAtAll(f *testing.F) {
	file := &File{ID: "k"}
	file.add(noon)
	file.add(noon)
	text := string(file.text())
	f.Add(text)
	f.Add(strings.Replace(text, "2 ", "3 ", 1))
	f.Add(text[:len(text)-3])
	f.Add(fileHead + "k\n1 2026-01-02T12:00:00Z AAAA 00\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFile([]byte(text))
		if err != nil {
			for _, word := range strings.Fields(text) {
				if len(word) > 20 && strings.Contains(err.Error(), word) {
					t.Error("an error quotes the key file:", err)
				}
			}
			return
		}
		again, err := parseFile(got.text())
		if err != nil || again.ID != got.ID || got.lostIn(again) != 0 || again.lostIn(got) != 0 {
			t.Errorf("%v: %+v, %+v", err, got, again)
		}
	})
}
