package files_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/object/objecttest"
)

func open(t *testing.T, dir string) *files.Output {
	t.Helper()
	o, err := files.NewOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func write(t *testing.T, path, body string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOutputKeepsTheLawOfABucket(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) objecttest.Bucket { return open(t, filepath.Join(t.TempDir(), "made", "anew")) })
}

func TestInputKeepsTheLawOfReading(t *testing.T) {
	objecttest.RunReads(t, func(t *testing.T, objects map[string][]byte) objecttest.Reader {
		dir, paths := t.TempDir(), map[string]string{}
		for key, body := range objects {
			paths[key] = write(t, filepath.Join(dir, strconv.Itoa(len(paths))), string(body))
		}
		return files.NewInput(paths)
	})
}

func TestInputIsNeverChanged(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), "kept")
	in := files.NewInput(map[string]string{"k": path})
	_, create := in.CreateUpload(t.Context(), "k")
	for verb, err := range map[string]error{"put": in.Put(t.Context(), "k", nil), "delete": in.Delete(t.Context(), "k"), "create": create,
		"complete": in.CompleteUpload(t.Context(), "k", "id", nil)} {
		if !errors.Is(err, batholith.ErrAccessDenied) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "kept" {
		t.Errorf("the file holds %q", got)
	}
}

func TestFileThatChangesWhileItIsReadIsNoticed(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), "0123456789")
	in := files.NewInput(map[string]string{"k": path})
	for name, change := range map[string]func(){
		"written over": func() { write(t, path, "abcdefghij") },
		"cut":          func() { os.Truncate(path, 3) },
	} {
		write(t, path, "0123456789")
		r, err := in.Read(t.Context(), "k", "", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(r, first); err != nil {
			t.Fatal(err)
		}
		change()
		if rest, err := io.ReadAll(r); err == nil {
			t.Errorf("%s: read %q and nothing was noticed", name, rest)
		}
		r.Close()
	}
}

func TestKeysStayInsideTheDirectory(t *testing.T) {
	top := t.TempDir()
	secret := write(t, filepath.Join(top, "secret"), "untouched")
	dir := filepath.Join(top, "out")
	o := open(t, dir)
	if err := os.Symlink(top, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../secret", "a/../../secret", secret, "", ".", "..", "a//b", "a/", "./a", "link/secret", "a\x00b",
		".batholith/files", ".batholith/files/put-x", "../out/a"} {
		_, head := o.Head(t.Context(), key)
		_, read := o.Read(t.Context(), key, "", 0, -1)
		_, create := o.CreateUpload(t.Context(), key)
		errs := map[string]error{"put": o.Put(t.Context(), key, []byte("overwritten")), "head": head, "read": read}
		if key != "link/secret" { // an upload may begin; its completion is what writes
			errs["create"] = create
			errs["delete"] = o.Delete(t.Context(), key)
		}
		for verb, err := range errs {
			if err == nil {
				t.Errorf("%s of %q was done", verb, key)
			}
		}
	}
	if got, _ := os.ReadFile(secret); string(got) != "untouched" {
		t.Errorf("a file outside holds %q", got)
	}
}

func TestFilesOfADeadProcessAreInvisible(t *testing.T) {
	dir := t.TempDir()
	before := open(t, dir)
	id, err := before.CreateUpload(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.UploadPart(t.Context(), "big", id, 1, []byte("half")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".batholith/files/put-torn"), "to")
	after := open(t, dir)
	for info := range after.List(t.Context(), "") {
		t.Errorf("seen: %s", info.Key)
	}
	if err := after.AbortUpload(t.Context(), "big", id); err != nil { // the id is known from before
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".batholith/files/*"))
	if diff := cmp.Diff([]string{filepath.Join(dir, ".batholith/files/put-torn")}, left); diff != "" {
		t.Error(diff)
	}
}

func TestNothingOfOursRemains(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir)
	id, err := o.CreateUpload(t.Context(), "job/a.jsonl.out")
	if err != nil {
		t.Fatal(err)
	}
	etag, err := o.UploadPart(t.Context(), "job/a.jsonl.out", id, 1, bytes.Repeat([]byte("line\n"), 9))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Put(t.Context(), "job/.batholith/x", []byte("scratch of the job")); err != nil {
		t.Fatal(err)
	}
	if err := o.CompleteUpload(t.Context(), "job/a.jsonl.out", id, []string{etag}); err != nil {
		t.Fatal(err)
	}
	if err := o.Delete(t.Context(), "job/.batholith/x"); err != nil {
		t.Fatal(err)
	}
	var all []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		all = append(all, rel)
		return err
	})
	if diff := cmp.Diff([]string{".", "job", "job/a.jsonl.out"}, all); diff != "" {
		t.Error(diff)
	}
}

func TestDirectoriesGoAndComeUnderWriters(t *testing.T) {
	o := open(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				key := fmt.Sprintf("a/b/%d-%d", w, i)
				if err := o.Put(t.Context(), key, []byte(key)); err != nil {
					t.Error(err)
				}
				if err := o.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestFileAndDirectoryOfOneNameIsExplained(t *testing.T) {
	o := open(t, t.TempDir())
	if err := o.Put(t.Context(), "d", []byte("x")); err != nil {
		t.Fatal(err)
	}
	err := o.Put(t.Context(), "d/e", []byte("y"))
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("both a file and files below it")) {
		t.Errorf("got %v", err)
	}
}

func TestFilesAreNamedByWhereTheyLie(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	in := files.NewInput(map[string]string{"a b.jsonl": "x/a b.jsonl"})
	if got, want := in.URI("a b.jsonl"), "file://"+filepath.ToSlash(dir)+"/x/a%20b.jsonl"; got != want {
		t.Errorf("the input is %s, want %s", got, want)
	}
	out, err := files.NewOutput("out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if got, want := out.URI("job/x/a.jsonl.out"), "file://"+filepath.ToSlash(dir)+"/out/job/x/a.jsonl.out"; got != want {
		t.Errorf("the output is %s, want %s", got, want)
	}
}
