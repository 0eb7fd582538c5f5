package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/files"
)

func open(t *testing.T, dir string) *Data {
	t.Helper()
	d, err := OpenData(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestDataDirectoryIsForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d := open(t, dir)
	if _, _, err := d.AdminKey(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "credentials"): 0o600, filepath.Join(dir, "lock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

// A read that waited for a writer would let this test run into the time limit.
func TestNothingInADataDirectoryIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{keyFile, serverFile} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var not *files.NotAFileError
	if _, err := ReadKey(dir); !errors.As(err, &not) {
		t.Errorf("the key: %v", err)
	}
	if _, err := ReadServer(dir); !errors.As(err, &not) {
		t.Errorf("the addresses: %v", err)
	}
}

func TestDataDirectoryHasOneProcess(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	_, err := OpenData(dir)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.Dir != dir {
		t.Fatalf("got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // free again
}

func TestFirstKeyIsMadeOnce(t *testing.T) {
	d := open(t, t.TempDir())
	key, made, err := d.AdminKey()
	if err != nil || !made {
		t.Fatal(made, err)
	}
	if !regexp.MustCompile(`^AK[A-Z0-9]{18}$`).MatchString(key.ID) || !regexp.MustCompile(`^[A-Za-z0-9_-]{40}$`).MatchString(key.Secret) {
		t.Errorf("odd key: id %q, secret of %d characters", key.ID, len(key.Secret))
	}
	again, made, err := d.AdminKey()
	if err != nil || made || again != key {
		t.Errorf("the second call gave another key: made %v, %v", made, err)
	}
	other, _, err := open(t, t.TempDir()).AdminKey()
	if err != nil || other.ID == key.ID || other.Secret == key.Secret {
		t.Errorf("two directories share a key, %v", err)
	}
}

// A crash leaves the temporary file, whole or torn, and never a torn key file.
func TestNextStartMendsATornFirstStart(t *testing.T) {
	for _, torn := range []string{"", "[default]\naws_access_key_id = AK"} {
		d := open(t, t.TempDir())
		if err := os.WriteFile(filepath.Join(d.Dir, "credentials.new"), []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		key, made, err := d.AdminKey()
		if err != nil || !made || len(key.ID) != 20 {
			t.Errorf("%q: %v %v", torn, made, err)
		}
		if read, err := ReadKey(d.Dir); err != nil || read != key {
			t.Errorf("%q: what was kept is another key: %v", torn, err)
		}
	}
}

func TestAForeignKeyFileIsNotWrittenOver(t *testing.T) {
	d := open(t, t.TempDir())
	path := filepath.Join(d.Dir, "credentials")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.AdminKey(); err == nil {
		t.Error("no error")
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file holds %q now", text)
	}
}

func TestAddressesAreThereWhileTheServerIs(t *testing.T) {
	d := open(t, t.TempDir())
	if _, err := ReadServer(d.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	want := Server{Bedrock: "http://127.0.0.1:4600", S3: "http://127.0.0.1:4601", Region: "us-east-1", Account: "000000000000",
		PID: 7, Started: time.Unix(1, 0).UTC()}
	if err := d.Announce(want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadServer(d.Dir)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := errors.Join(d.Withdraw(), d.Withdraw()); err != nil {
		t.Error(err)
	}
	if _, err := ReadServer(d.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
