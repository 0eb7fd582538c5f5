package authz

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	nobody   = ``
	redGroup = `@id("red") permit(principal in Group::"red", action, resource);`
	noRed    = redGroup + "\n" + `@id("no-red") forbid(principal in Group::"red", action, resource);`
)

// watched is a policy file with what was logged about it.
type watched struct {
	*Policies
	file string
	log  bytes.Buffer
}

func watch(t *testing.T, text string) *watched {
	t.Helper()
	w := &watched{file: filepath.Join(t.TempDir(), "policy.cedar")}
	w.write(t, text)
	var err error
	if w.Policies, err = Open(w.file, slog.New(slog.NewTextHandler(&w.log, nil))); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// holds demands that alice may do what she asks, or not, and that the note has these words.
func (w *watched) holds(t *testing.T, allowed bool, note string) {
	t.Helper()
	if d := w.Decide(t.Context(), get(alice, job("bob", nil))); d.Allowed != allowed {
		t.Errorf("allowed %t: %+v", d.Allowed, d)
	}
	if got := w.Note(); !strings.Contains(got, note) || (note == "") != (got == "") {
		t.Errorf("note %q, want %q", got, note)
	}
}

func TestAChangedFileCountsOnceItIsWhole(t *testing.T) {
	w := watch(t, noRed)
	w.look()
	w.holds(t, false, "")
	// An editor has written the first policy and not the second yet: the file is sound as it is, and says the opposite.
	w.write(t, redGroup)
	w.look()
	w.holds(t, false, "")
	w.write(t, noRed+"\n")
	w.look()
	w.holds(t, false, "")
	w.write(t, redGroup)
	w.look()
	w.look()
	w.holds(t, true, "")
	if got := strings.Count(w.log.String(), "read again"); got != 1 {
		t.Error(w.log.String())
	}
}

func TestABadFileKeepsThePoliciesOfBefore(t *testing.T) {
	w := watch(t, redGroup)
	w.write(t, redGroup+"\npermit(principal, action == Action::\"no\", resource);")
	for range 4 {
		w.look()
	}
	w.holds(t, true, "it has an error at line 2, column 37; see the log")
	if got := w.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `there is no action`) {
		t.Error(got)
	}
	// The file as it was before takes the note away; so does a good one.
	w.write(t, redGroup)
	w.look()
	w.look()
	w.holds(t, true, "")
	w.write(t, "permit(")
	w.look()
	w.look()
	w.holds(t, true, "line 1")
	w.write(t, nobody)
	w.look()
	w.look()
	w.holds(t, false, "")
}

func TestAFileThatIsGoneKeepsThePoliciesOfBefore(t *testing.T) {
	w := watch(t, redGroup)
	if err := os.Remove(w.file); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.look()
	w.holds(t, true, "it cannot be read; see the log")
	if got := strings.Count(w.log.String(), "\n"); got != 1 {
		t.Error(w.log.String())
	}
	w.write(t, redGroup)
	w.look()
	w.look()
	w.holds(t, true, "")
}

func TestAFileThatIsNotThereOrFaultyStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.cedar")
	if err := os.WriteFile(bad, []byte("permit"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{dir, filepath.Join(dir, "none"), bad} {
		if p, err := Open(file, nil); err == nil || p != nil || !strings.Contains(err.Error(), file) {
			t.Error(p, err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	set, err := Load("../../examples/policies/team-jobs.cedar")
	if err != nil {
		b.Fatal(err)
	}
	r := get(alice, job("bob", map[string]string{"team": "red"}))
	for b.Loop() {
		if !set.Decide(r).Allowed {
			b.Fatal("denied")
		}
	}
}
