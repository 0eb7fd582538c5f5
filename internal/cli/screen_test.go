package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

// hostile is text that opens the clipboard, colours, writes from right to left, hides, is no UTF-8, and begins lines that look like ours.
const hostile = "a\x1b]52;c;cHduZWQ=\x07\x1b[2J\u009b31m\x9b31m\u202eb\u2028\u200bc\x7f\r\nbatholith: error: INJECTED\nINJECTED\tx"

// acting is what no terminal may get. The program's own sequences are taken away before.
var (
	acting    = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{200b}\x{202a}-\x{202e}\x{2028}]`)
	sequences = regexp.MustCompile(`\x1b\[(3[1236]|0)m|\r|\x1b\[J`)
)

// safe fails the test when output would act on a terminal, or has a line of another's making.
func safe(t *testing.T, what, output string) {
	t.Helper()
	if acting.MatchString(output) || !utf8.ValidString(output) {
		t.Errorf("%s: acts on a terminal: %q", what, output)
	}
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "INJECTED") || strings.HasPrefix(line, "batholith: error: INJECTED") {
			t.Errorf("%s: a line of another's making: %q", what, output)
		}
	}
	if !strings.Contains(output, "INJECTED") {
		t.Errorf("%s: the text is not shown: %q", what, output)
	}
}

// hostileServer answers every call of the API with hostile texts.
func hostileServer(t *testing.T) string {
	job := map[string]any{"jobArn": "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/" + hostile, "jobName": hostile, "modelId": hostile,
		"status": "Failed", "message": "2 lines are not a valid record. s3://b/x line 1: " + hostile, "roleArn": hostile, "modelInvocationType": hostile,
		"inputDataConfig":  map[string]any{"s3InputDataConfig": map[string]any{"s3Uri": "s3://b/" + hostile}},
		"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": "s3://b/" + hostile}}, "totalRecordCount": 2, "processedRecordCount": 1}
	going := map[string]any{}
	for k, v := range job {
		going[k] = v
	}
	going["status"] = "InProgress" + hostile
	delete(going, "message")
	going["batholith"] = map[string]any{"note": hostile}
	looks := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := any(job)
		switch {
		case strings.HasSuffix(r.URL.Path, "/model-invocation-jobs"):
			answer = map[string]any{"invocationJobSummaries": []any{job, going}}
		case strings.HasSuffix(r.URL.Path, "/stop"), r.Method == http.MethodPost:
			w.Header().Set("X-Amzn-ErrorType", "ValidationException")
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]any{"message": hostile}
		case looks == 0:
			looks++
			answer = going
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestNothingThatAServerSaysActsOnTheTerminal(t *testing.T) {
	url := hostileServer(t)
	t.Setenv("AWS_ENDPOINT_URL_BEDROCK", url)
	t.Setenv("AWS_ENDPOINT_URL_S3", url)
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	for _, args := range [][]string{{"jobs"}, {"get", "arn:x"}, {"watch", "arn:x"}, {"stop", "arn:x"}, {"jobs", "--json"}, {"get", "arn:x", "--json"},
		{"submit", "s3://b/x", "--model", "m", "--output", "s3://b/y/"}} {
		for _, live := range []bool{false, true} {
			var b bytes.Buffer
			w := plain.NewWriter(&b)
			a := &app{stdout: w, stderr: w, terminal: live}
			a.complain(a.execute(t.Context(), args))
			output := b.String()
			if live {
				output = sequences.ReplaceAllString(output, "")
			}
			safe(t, strings.Join(args, " "), output)
		}
	}
}

func TestNothingInAFileActsOnTheTerminal(t *testing.T) {
	hostile := strings.ToValidUTF8(hostile, "")
	dir := folder(t, map[string]string{hostile + ".jsonl": "x" + hostile + "\n"})
	quoted, _ := json.Marshal(hostile)
	odd := folder(t, map[string]string{"odd.jsonl": fmt.Sprintf(`{"recordId":%s,"modelInput":{"messages":[{"role":"user","content":%s}]}}`+"\n"+
		`{"recordId":"2","modelInput":{%s:1}}`+"\n", quoted, quoted, quoted)})
	out := t.TempDir()
	for _, args := range [][]string{{"run", dir, "--output", out}, {"validate", dir}, {"validate", dir, "--json"}, {"run", filepath.Join(odd, "odd.jsonl"), "--output", out, "--model", "batholith.simulated-v1"},
		{"validate", odd, "--model", "anthropic.claude-3-haiku-20240307-v1:0"}, {"run", hostile}, {"jobs", "--status", hostile}, {hostile}, {"run", "x", "--config", hostile}, {"run", folder(t, map[string]string{"x\x9b.jsonl": ""})}} {
		var b bytes.Buffer
		w := plain.NewWriter(&b)
		a := &app{stdout: w, stderr: w, env: []string{"BATHOLITH_DATA=" + t.TempDir()}}
		a.complain(a.execute(t.Context(), args))
		if strings.Contains(b.String(), "not UTF-8") {
			continue // a name that no object can have
		}
		safe(t, fmt.Sprintf("%.40q", args), b.String())
	}
}

func TestTalkKeepsItsLines(t *testing.T) {
	var b bytes.Buffer
	a := &app{stderr: plain.NewWriter(&b)}
	a.complain(hint(errors.New(hostile), "look at %s", hostile))
	a.complain(&endedError{status: batholith.StatusFailed, message: "x\n  file line 1: bad"})
	log := slog.New(&talkHandler{a: a, room: func() {}, mu: new(sync.Mutex)})
	log.Warn(hostile, "why", hostile, "backend", hostile)
	safe(t, "talk", b.String())
	if !strings.Contains(b.String(), "\n  file line 1: bad\n") {
		t.Errorf("our own lines are not kept: %q", b.String())
	}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "batholith: ") || strings.HasPrefix(line, "  ") {
			continue
		}
		t.Errorf("a line that is neither ours nor indented: %q", line)
	}
}

func TestColoursAndTheBarStillWork(t *testing.T) {
	var b bytes.Buffer
	a := &app{stderr: plain.NewWriter(&b), terminal: true}
	a.tell("error", "x")
	bar := bar{out: a.stderr, width: func() int { return 41 }}
	bar.draw(1, 2, "half \x1b[31m")
	bar.clear()
	if want := "batholith: \x1b[31merror\x1b[0m: x\n\r█████████░░░░░░░░░░  50% half " + `\u001b[31m` + "\x1b[J\r\r\x1b[J"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// What is printed for a shell to evaluate is what was meant, or nothing.
func TestTheEnvironmentIsQuotedForAShell(t *testing.T) {
	var b bytes.Buffer
	a := &app{stdout: plain.NewWriter(&b)}
	if err := a.printEnvironment([]variable{{"A", "x; rm -rf ~"}, {"B", "$(id)'`id`"}, {"C", ""}, {"D", "a\\ é"}}, false); err != nil {
		t.Fatal(err)
	}
	if want := "export A='x; rm -rf ~'\nexport B='$(id)'\\''`id`'\nexport C=''\nexport D='a\\ é'\n"; b.String() != want {
		t.Errorf("%s, want %s", b.String(), want)
	}
	if err := a.printEnvironment([]variable{{"A", "x\ny"}}, false); err == nil || remedy(err) == "" {
		t.Errorf("a value with a newline: %v", err)
	}
}

// Every word for people goes through package plain, so that no command can forget it. Text of others that fmt writes to a stream would
// keep its newlines.
func TestOnlyPlainWritesToPeople(t *testing.T) {
	allowed := map[string]bool{"local.go": true, "service.go": true} // a hash; answers to probes
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || allowed[path] {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, _ := s.X.(*ast.Ident)
			switch {
			case pkg == nil:
			case pkg.Name == "plain" && s.Sel.Name == "Fprintf":
				seen++
			case pkg.Name == "fmt" && (strings.HasPrefix(s.Sel.Name, "Fprint") || strings.HasPrefix(s.Sel.Name, "Print")), pkg.Name == "io" && s.Sel.Name == "WriteString",
				pkg.Name == "os" && (s.Sel.Name == "Stdout" || s.Sel.Name == "Stderr") && path != "cli.go" && path != "screen.go":
				t.Errorf("%s: %s.%s: write with plain.Fprintf", set.Position(s.Pos()), pkg.Name, s.Sel.Name)
			}
			return true
		})
	}
	if seen == 0 {
		t.Error("no use of plain was found: the test does not look where the code is")
	}
}
