package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
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

func TestOutputOfAnEarlierRunIsNotReadAsInput(t *testing.T) {
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
	for _, c := range []struct {
		family, line string
		want         batholith.InvocationType
	}{
		{"any", `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}}`, batholith.Converse},
		{"anthropic", `{"modelInput":{"messages":[{"role":"user","content":[{"image":{}},{"text":"Hi"}]}]}}`, batholith.Converse},
		{"openai", `{"modelInput":{"messages":[{"role":"user","content":[{"image":{}}]}],"inferenceConfig":{"maxTokens":5}}}`, batholith.Converse},
		{"any", `{"modelInput":{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}}`, batholith.InvokeModel},
		{"any", `{"modelInput":{"messages":[{"role":"user","content":"Hi"}]}}`, batholith.InvokeModel},
		{"any", `{"modelInput":{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"Hi"}]}]}}`, batholith.InvokeModel},
		{"any", `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"max_new_tokens":5}}}`, batholith.InvokeModel},
		{"nova", `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"max_new_tokens":5}}}`, batholith.InvokeModel},
		{"nova", `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"maxTokens":5,"topK":1}}}`, batholith.InvokeModel},
		{"nova", `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}}`, batholith.InvokeModel},
		{"nova", `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"additionalModelRequestFields":{"topK":1}}}`, batholith.Converse},
		{"any", "\xef\xbb\xbf" + `{"modelInput":{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}}`, batholith.Converse},
		{"any", `{"modelInput":{"prompt":"Hi"}}`, batholith.InvokeModel},
		{"any", `not JSON`, batholith.InvokeModel},
		{"any", ``, batholith.InvokeModel},
	} {
		files, err := gather([]string{folder(t, map[string]string{"a.png": "", "b.jsonl": c.line + "\nmore"})})
		if err != nil {
			t.Fatal(err)
		}
		a := &app{stderr: io.Discard}
		if got := a.invocationType("", c.family, lineFormOf(files)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.family, c.line, got, c.want)
		}
		if got := a.invocationType(batholith.Converse, c.family, lineFormOf(files)); got != batholith.Converse {
			t.Errorf("%s: what was asked for became %s", c.line, got)
		}
	}
}

func TestTheFamilyOfANamedModelIsItsConfiguration(t *testing.T) {
	c := &config.Config{Models: []config.Model{{ID: "house", Family: "nova", Aliases: []string{"amazon.nova-pro-v1:0"}}, {ID: "anthropic.claude-v2"}}}
	for name, want := range map[string]string{
		"house": "nova", "us.amazon.nova-pro-v1:0": "nova", "anthropic.claude-v2": "anthropic", "amazon.nova-lite-v1:0": "nova", "mine": "any",
		"arn:aws:bedrock:us-east-1::foundation-model/house": "nova",
	} {
		if got := familyNamed(c, name); got != want {
			t.Errorf("%s is of %s, want %s", name, got, want)
		}
	}
	if got := familyNamed(&config.Config{Models: c.Models[:1]}, ""); got != "nova" {
		t.Errorf("the one model that is configured is of %s", got)
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

// What a job over S3 refuses is refused here: records are answered, or an error names them, and none is left out in silence.
func TestNoRecordIsLeftOutInSilence(t *testing.T) {
	link := func(t *testing.T, dir, target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		files   map[string]string
		change  func(t *testing.T, dir string)
		refused string
		leftOut string
	}{
		"records in a working folder":         {map[string]string{"a.jsonl": "", ".batholith/x.jsonl": ""}, nil, "x.jsonl cannot be part of a job", ""},
		"deeper":                              {map[string]string{"a.jsonl": "", "b/.batholith/segments/x.jsonl": ""}, nil, "x.jsonl cannot be part of a job", ""},
		"a working folder without records":    {map[string]string{"a.jsonl": "", "b/.batholith/segments/x.seg": ""}, nil, "", ""},
		"an output that would be below one":   {map[string]string{"a.jsonl": "", "a.jsonl.out/b.jsonl": ""}, nil, `a.jsonl.out/b.jsonl cannot be part of a job`, ""},
		"an output in place of the manifest":  {map[string]string{"a.jsonl": "", "manifest.json.out/b.jsonl": ""}, nil, "the job's manifest", ""},
		"records in an output folder":         {map[string]string{"a.jsonl": "", "o/.batholith/batholith.db": "", "o/b.jsonl": ""}, nil, "", "/o, since it is an output folder"},
		"an output folder":                    {map[string]string{"a.jsonl": "", "o/.batholith/batholith.db": "", "o/id/b.jsonl.out": ""}, nil, "", ""},
		"a link to a folder":                  {map[string]string{"a.jsonl": ""}, func(t *testing.T, dir string) { link(t, dir, t.TempDir(), "more") }, "", "/more, since it is a link to a folder"},
		"a pipe that is named as records are": {map[string]string{"a.jsonl": ""}, func(t *testing.T, dir string) { pipe(t, dir, "b.jsonl") }, "b.jsonl is a named pipe", ""},
		"a pipe of another name":              {map[string]string{"a.jsonl": ""}, func(t *testing.T, dir string) { pipe(t, dir, "control") }, "", ""},
		"a link to itself":                    {map[string]string{"a.jsonl": ""}, func(t *testing.T, dir string) { link(t, dir, "b.jsonl", "b.jsonl") }, "b.jsonl: too many levels of symbolic links", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, tt.files)
			if tt.change != nil {
				tt.change(t, dir)
			}
			files, leftOut, err := gatherAll([]string{dir})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want %s", err, tt.refused)
				}
				return
			}
			if err != nil || !slices.Equal(keysOf(files), []string{"a.jsonl"}) {
				t.Errorf("%v, %v", keysOf(files), err)
			}
			if told := strings.Join(leftOut, "; "); !strings.Contains(told, tt.leftOut) || (told == "") != (tt.leftOut == "") {
				t.Errorf("told %q, want %q", told, tt.leftOut)
			}
		})
	}
}

func pipe(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A command that waited would let this test run into its time limit: nobody writes into the pipe.
func TestNoCommandWaitsForAPipe(t *testing.T) {
	dir := t.TempDir()
	path := pipe(t, dir, "records.jsonl")
	manifest := t.TempDir()
	pipe(t, manifest, batholith.ManifestName)
	for _, args := range [][]string{
		{"run", path}, {"validate", path}, {"run", dir}, {"validate", dir}, {"run", "/dev/stdin"}, {"validate", "/dev/zero"}, {"validate", "-"}, {"run", "-"},
		{"verify", manifest}, {"submit", "-", "--model", "m"}, {"submit", path, "--model", "m"},
	} {
		var out strings.Builder
		a := &app{stdout: &out, stderr: &out, env: []string{"AWS_ENDPOINT_URL_BEDROCK=http://127.0.0.1:1"}}
		t.Setenv("AWS_ENDPOINT_URL_BEDROCK", "http://127.0.0.1:1")
		t.Setenv("AWS_ACCESS_KEY_ID", "x")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
		if err := a.execute(t.Context(), args); err == nil || remedy(err) == "" && args[0] != "verify" {
			t.Errorf("%v: %v, remedy %q", args, err, remedy(err))
		}
	}
}
