package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A process whose directory is gone or another's ends within two seconds, and says what is lost.
func TestALossInTheDataDirectoryIsNoticed(t *testing.T) {
	rename := func(name string) func(t *testing.T, dir string) error {
		return func(t *testing.T, dir string) error {
			path := filepath.Join(dir, name)
			if err := os.Rename(path, path+".old"); err != nil {
				return err
			}
			if name == "" || name == "journal" {
				return os.Mkdir(path, 0o700)
			}
			return os.WriteFile(path, nil, 0o600)
		}
	}
	remove := func(name string) func(t *testing.T, dir string) error {
		return func(t *testing.T, dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
	}
	for name, tt := range map[string]struct {
		harm func(t *testing.T, dir string) error
		want *LostError // without Dir; nil: no loss
	}{
		"nothing":       {func(*testing.T, string) error { return nil }, nil},
		"the directory": {remove(""), &LostError{}},
		"a new directory": {func(t *testing.T, dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700))
		}, &LostError{Replaced: true}},
		"a file in its place": {func(t *testing.T, dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.WriteFile(dir, nil, 0o600))
		}, &LostError{Replaced: true}},
		"the lock":             {remove("lock"), &LostError{Name: "lock"}},
		"a new lock":           {rename("lock"), &LostError{Name: "lock", Replaced: true}},
		"the database":         {remove("batholith.db"), &LostError{Name: "batholith.db"}},
		"a new database":       {rename("batholith.db"), &LostError{Name: "batholith.db", Replaced: true}},
		"the journal":          {remove("journal"), &LostError{Name: "journal"}},
		"a new journal":        {rename("journal"), &LostError{Name: "journal", Replaced: true}},
		"the key":              {remove("credentials"), &LostError{Name: "credentials"}},
		"a key that is edited": {rename("credentials"), nil},
		"other files": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "server.json"), nil, 0o600)
		}, nil},
		"a file of the journal": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, "journal", "1.log"), nil, 0o600)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			d := open(t, dir)
			if _, _, err := d.AdminKey(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "batholith.db"), []byte("x"), 0o600), os.Mkdir(filepath.Join(dir, "journal"), 0o700)); err != nil {
				t.Fatal(err)
			}
			g, err := d.Guard("batholith.db", "journal")
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				harmed := time.AfterFunc(10*time.Second, func() {
					if err := tt.harm(t, dir); err != nil {
						t.Error(err)
					}
				})
				defer harmed.Stop()
				began := time.Now()
				err := g.Watch(ctx)
				if tt.want == nil {
					if err != nil || ctx.Err() == nil {
						t.Errorf("after %v: %v", time.Since(began), err)
					}
					return
				}
				tt.want.Dir = dir
				var lost *LostError
				if !errors.As(err, &lost) || *lost != *tt.want {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if took := time.Since(began) - 10*time.Second; took < 0 || took > 2*time.Second {
					t.Errorf("it was noticed after %v", took)
				}
			})
		})
	}
}

// A lock that was deleted before it was taken would be no lock: two processes could have the directory.
func TestAGuardNeedsWhatItGuards(t *testing.T) {
	d := open(t, t.TempDir())
	if _, err := d.Guard("batholith.db"); err == nil {
		t.Error("a database that is not there is guarded")
	}
}
