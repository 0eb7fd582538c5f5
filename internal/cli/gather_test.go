package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// folder makes files below a new directory: path → content.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func keysOf(files []localFile) []string {
	var keys []string
	for _, f := range files {
		keys = append(keys, f.key)
	}
	return keys
}

func TestAFolderKeepsItsStructureAndItsMedia(t *testing.T) {
	dir := folder(t, map[string]string{"b.jsonl": "x", "a/c.jsonl": "xy", "a/pic.png": "", ".hidden/d.jsonl": "", ".DS_Store": ""})
	files, err := gather([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a/c.jsonl", "a/pic.png", "b.jsonl"}, keysOf(files)); diff != "" {
		t.Error(diff)
	}
	if files[0].bytes != 2 {
		t.Errorf("c.jsonl has %d bytes", files[0].bytes)
	}
}

func TestSeveralInputsStandSideBySide(t *testing.T) {
	dir := folder(t, map[string]string{"one/a.jsonl": "", "two/a.jsonl": "", "b.jsonl": ""})
	files, err := gather([]string{filepath.Join(dir, "one"), filepath.Join(dir, "two") + "/", filepath.Join(dir, "b.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one/a.jsonl", "two/a.jsonl", "b.jsonl"}, keysOf(files)); diff != "" {
		t.Error(diff)
	}
}

func TestInputsThatMakeNoJobAreRefused(t *testing.T) {
	dir := folder(t, map[string]string{"x/a.jsonl": "", "y/a.jsonl": "", "notes.txt": "", "empty/.keep": ""})
	for _, inputs := range [][]string{
		{filepath.Join(dir, "nowhere.jsonl")},
		{filepath.Join(dir, "notes.txt")},
		{filepath.Join(dir, "empty")},
		{filepath.Join(dir, "x/a.jsonl"), filepath.Join(dir, "y/a.jsonl")},
	} {
		if _, err := gather(inputs); err == nil || remedy(err) == "" {
			t.Errorf("%v: error %v, remedy %q", inputs, err, remedy(err))
		}
	}
}

func TestWhatAnEarlierRunWroteIsNoInput(t *testing.T) {
	dir := folder(t, map[string]string{"a.jsonl": "x", "batholith-out/.batholith/worker": "", "batholith-out/j/a.jsonl.out": "x",
		"data/batholith.db": "", "data/s3/batholith/in/a.jsonl": "x"})
	files, err := gather([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.jsonl"}, keysOf(files)); diff != "" {
		t.Error(diff)
	}
}

func TestConverseBodiesAreTold(t *testing.T) {
	for line, want := range map[string]batholith.InvocationType{
		`{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}}`:                                  batholith.Converse,
		`{"modelInput":{"messages":[{"role":"user","content":[{"image":{}},{"text":"Hi"}]}]}}`:                     batholith.Converse,
		`{"modelInput":{"messages":[{"role":"user","content":[{"image":{}}]}],"inferenceConfig":{"maxTokens":5}}}`: batholith.Converse,
		`{"modelInput":{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}}`:                    batholith.InvokeModel,
		`{"modelInput":{"messages":[{"role":"user","content":"Hi"}]}}`:                                             batholith.InvokeModel,
		`{"modelInput":{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"Hi"}]}]}}`:    batholith.InvokeModel,
		`{"modelInput":{"prompt":"Hi"}}`: batholith.InvokeModel,
		`not JSON`:                       batholith.InvokeModel,
		``:                               batholith.InvokeModel,
	} {
		files, err := gather([]string{folder(t, map[string]string{"a.png": "", "b.jsonl": line + "\nmore"})})
		if err != nil {
			t.Fatal(err)
		}
		a := &app{stderr: io.Discard}
		if got := a.invocationType("", files); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
		if got := a.invocationType(batholith.Converse, files); got != batholith.Converse {
			t.Errorf("%s: what was asked for became %s", line, got)
		}
	}
}

// Bedrock: jobName.
var jobNameForm = regexp.MustCompile(`^(?:[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63})$`)

func TestJobNamesAreThoseThatBedrockAccepts(t *testing.T) {
	for word, want := range map[string]string{
		"questions": "questions-S", "my file_2": "my-file-2-S", "-x-": "x-S", "": "job-S", "äöü": "job-S", "a.b+c": "a.b+c-S",
	} {
		if got := jobName(word, "S"); got != want {
			t.Errorf("%q becomes %q, want %q", word, got, want)
		}
	}
	long := make([]byte, 200)
	for i := range long {
		long[i] = 'a'
	}
	for _, word := range []string{string(long), "ab/..//c", "s3 name"} {
		if got := jobName(word, "20260102-030405-abc"); !jobNameForm.MatchString(got) || len(got) > 63 {
			t.Errorf("%q becomes %q", word, got)
		}
	}
}
