package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// lines are the requests in a log and the files set aside, the oldest first.
func lines(t *testing.T, file string, keep int) (ids []string) {
	t.Helper()
	for n := keep; n >= 0; n-- {
		name := file
		if n > 0 {
			name += "." + strconv.Itoa(n)
		}
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var e Entry
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v in %q", name, err, line)
			}
			ids = append(ids, e.Request)
		}
	}
	return ids
}

func TestARotatedLogKeepsEveryLineInOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	const keep = 50
	for begun := range 2 { // a second process continues the file
		l, err := Open(Options{File: file, MaxBytes: 600, Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			l.Write(NewTrail(Entry{Service: "s3"}).Done(strconv.Itoa(begun*20+i), 200, ""))
		}
		if err := l.Close(); err != nil || l.Note() != "" {
			t.Fatal(err, l.Note())
		}
	}
	got := lines(t, file, keep)
	for i, id := range got {
		if id != strconv.Itoa(i) {
			t.Fatalf("line %d is of request %s", i, id)
		}
	}
	info, err := os.Stat(file + ".1")
	if len(got) != 40 || err != nil || info.Size() > 600 || info.Mode().Perm() != 0o600 {
		t.Errorf("%d of 40 lines; %v %v", len(got), info, err)
	}
}

// Somebody, or a program such as logrotate, moves the file away. The next rotation finds nothing to set aside.
func TestALogThatWasMovedAwayLosesNoLine(t *testing.T) {
	for _, keep := range []int{0, 1, 3} {
		file := filepath.Join(t.TempDir(), "audit.log")
		l, err := Open(Options{File: file, MaxBytes: 1, Keep: keep}) // a file for each line
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.Write(NewTrail(Entry{}).Done("first", 200, ""))
		if err := os.Rename(file, file+".moved"); err != nil {
			t.Fatal(err)
		}
		l.Write(NewTrail(Entry{}).Done("second", 200, ""))
		if got := strings.Join(lines(t, file, keep), " "); got != "second" || l.Note() != "" {
			t.Errorf("keep %d: lines %q, note %q", keep, got, l.Note())
		}
	}
}

func TestALineThatCannotBeWrittenIsToldAndCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{File: filepath.Join(dir, "audit.log"), MaxBytes: 1, Keep: 3, Required: true}) // a file for each line
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	entry := NewTrail(Entry{}).Done("r", 200, "")
	l.Write(entry)
	if l.Note() != "" || l.Refuses(Entry{}) {
		t.Fatal(l.Note())
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	l.Write(entry)
	if note := l.Note(); !strings.HasPrefix(note, "1 lines are missing") || !l.Refuses(Entry{}) {
		t.Errorf("note %q", note)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if l.Refuses(Entry{}) || !strings.Contains(l.Note(), "written again") {
		t.Errorf("it still refuses: %s", l.Note())
	}
}

func TestALineHasTheKeysIDAndNothingSecret(t *testing.T) {
	for _, tt := range []struct{ authorization, credential, want string }{
		{"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=abc", "", "AKID"},
		{"Bearer very-secret", "", "bearer"},
		{"bearer very-secret", "", "bearer"},
		{"", "AKID/20260101/us-east-1/s3/aws4_request", "AKID"},
		{"very-secret", "", ""},
		{"Basic dmVyeS1zZWNyZXQ=", "", ""},
		{"AWS4-HMAC-SHA256 Credential=a\n{}/x", "", ""},
		{"", "", ""},
	} {
		if got := KeyOf(tt.authorization, tt.credential); got != tt.want {
			t.Errorf("%q %q: %q, want %q", tt.authorization, tt.credential, got, tt.want)
		}
	}
}
