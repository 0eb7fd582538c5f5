package results

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// testKeys "wrap" a key by turning its bits over. Its text is the error of either method.
type testKeys struct{ fault string }

func (k testKeys) NewKey() (key, wrapped []byte, err error) {
	if k.fault != "" {
		return nil, nil, errors.New(k.fault)
	}
	key = bytes.Repeat([]byte("key\n"), 8)
	return key, turned(key), nil
}

func (k testKeys) OpenKey(wrapped []byte) ([]byte, error) {
	if k.fault != "" {
		return nil, errors.New(k.fault)
	}
	return turned(wrapped), nil
}

func turned(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		b[i] ^= 0xff
	}
	return b
}

// unlocked reads a journal file with keys.
func unlocked(path string, keys Keys) (all []batholith.Outcome, err error) {
	_, err = replaySealed(path, true, keys, func(worker string, o batholith.Outcome) error {
		if worker != "a" {
			return errors.New("worker " + worker)
		}
		all = append(all, o)
		return nil
	})
	return all, err
}

func TestAnEncryptedJournalReadsBackAndShowsNothing(t *testing.T) {
	want := some(50)
	path := filepath.Join(sealedJournalOf(t, testKeys{}, want), "0000000000.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range want {
		if bytes.Contains(whole, o.Line) || bytes.Contains(whole, []byte(o.Job+"\x00")) {
			t.Fatalf("the journal shows %q", o.Line)
		}
	}
	got, err := unlocked(path, testKeys{})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// Cut anywhere, an encrypted journal reads back up to there, and that is no damage.
func TestAnEncryptedJournalReadsBackUpToWhereItIsCut(t *testing.T) {
	want := some(4)
	path := filepath.Join(sealedJournalOf(t, testKeys{}, want), "0000000000.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 3 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := unlocked(path, testKeys{})
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
		}
		for i, o := range got {
			if o.Key != want[i].Key || !bytes.Equal(o.Line, want[i].Line) {
				t.Fatalf("cut at %d of %d: outcome %d is another", n, len(whole), i)
			}
		}
	}
}

// Without the key the file stays, and the error says what is missing: its outcomes are not taken for damaged.
func TestAnEncryptedJournalWithoutItsKeyIsNoDamage(t *testing.T) {
	path := filepath.Join(sealedJournalOf(t, testKeys{}, some(3)), "0000000000.log")
	for name, keys := range map[string]Keys{"no key": nil, "put it back": testKeys{"put it back"}} {
		_, err := unlocked(path, keys)
		if err == nil || errors.Is(err, errDamaged) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	files, err := Inspect(filepath.Dir(path))
	if err != nil || len(files) != 1 || !files[0].Encrypted || files[0].Unreadable > 0 {
		t.Errorf("%+v, %v", files, err)
	}
}

func TestAFileOfBeforeIsReadWithKeys(t *testing.T) {
	want := some(5)
	got, err := unlocked(filepath.Join(journalOf(t, want), "0000000000.log"), testKeys{"not needed"})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// While the key cannot be used, outcomes are not journalled: they are never journalled in plain.
func TestAJournalThatCannotBeEncryptedIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	j, err := openJournal(dir, "a", slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	j.keys = testKeys{"the key file is missing"}
	o := some(1)
	if f, written := j.append(&o[0]); f != nil || written != nil {
		t.Error("the outcome is journalled")
	}
	j.write()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) > 0 || !strings.Contains(said.String(), "the key file is missing") {
		t.Error(files, err, said.String())
	}
}

func FuzzAnEncryptedJournalFile(f *testing.F) {
	want := some(7)
	path := filepath.Join(sealedJournalOf(f, testKeys{}, want), "0000000000.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), uint16(0), uint16(0), byte(0))
	f.Add(uint16(9), uint16(40), uint16(3), byte(1))
	f.Add(uint16(len(whole)-1), uint16(len(whole)), uint16(0), byte(0x80))
	f.Add(uint16(4), uint16(len(whole)-9), uint16(0), byte(7))
	f.Fuzz(func(t *testing.T, change, cut, length uint16, bits byte) {
		path := filepath.Join(t.TempDir(), "0000000000.log")
		if err := os.WriteFile(path, harmed(whole, change, cut, length, bits), 0o600); err != nil {
			t.Fatal(err)
		}
		next := 0
		_, err := replaySealed(path, true, testKeys{}, func(_ string, o batholith.Outcome) error {
			for ; next < len(want); next++ {
				if cmp.Equal(o, want[next]) {
					next++
					return nil
				}
			}
			return errors.New("an outcome that nobody wrote")
		})
		if err != nil && !errors.Is(err, errDamaged) && !strings.Contains(err.Error(), "newer") && !strings.Contains(err.Error(), "open its key") {
			t.Error(err)
		}
	})
}
