package dialect

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/document"
)

var update = flag.Bool("update", false, "write what the dialects do into the golden files, to be read before it is committed")

// golden is one case of a golden file. Its sections are NAME/request, the modelInput; NAME/call, what the backend gets;
// NAME/answer, what the backend says; NAME/output, the modelOutput. An error stands in the place of what it prevents.
type golden struct {
	name                          string
	request, call, answer, output []byte
}

// readGolden reads a file testdata/golden/FAMILY.txtar, or testdata/golden/PROTOCOL/FAMILY.txtar for another protocol than OpenAI's. Of a
// family with several, a word after a dot tells them apart; "converse" is the invocation type.
func readGolden(t testing.TB, file string) (Dialect, []golden) {
	family, word, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".txtar"), ".")
	typ := batholith.InvokeModel
	if word == "converse" {
		typ = batholith.Converse
	}
	id := map[string]string{"anthropic": "anthropic.claude-3-haiku-20240307-v1:0"}[family]
	if id == "" {
		id = family + ".model"
	}
	protocol := ProtocolOpenAI
	if dir := filepath.Base(filepath.Dir(file)); dir != "golden" {
		protocol = dir
	}
	d, err := For(family, protocol, typ, Options{Names: []string{id, "alias"}, Documents: document.Here{}})
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	for _, f := range archive.Files {
		name, section, _ := strings.Cut(f.Name, "/")
		if len(cases) == 0 || cases[len(cases)-1].name != name {
			cases = append(cases, golden{name: name})
		}
		g := &cases[len(cases)-1]
		data := bytes.TrimSuffix(f.Data, []byte("\n"))
		switch section {
		case "request":
			g.request = data
		case "call":
			g.call = data
		case "answer":
			g.answer = data
		case "output":
			g.output = data
		default:
			t.Fatalf("%s: unknown section %s", file, f.Name)
		}
	}
	return d, cases
}

func goldenFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	more, _ := filepath.Glob("testdata/golden/*/*.txtar")
	if err != nil || len(files) == 0 || len(more) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return append(files, more...)
}

// TestBodiesAreTranslatedAsTheGoldenFilesSay also checks what holds of every translation: one line of valid JSON.
func TestBodiesAreTranslatedAsTheGoldenFilesSay(t *testing.T) {
	for _, file := range goldenFiles(t) {
		t.Run(strings.TrimPrefix(strings.TrimSuffix(file, ".txtar"), "testdata/golden/"), func(t *testing.T) {
			d, cases := readGolden(t, file)
			for i := range cases {
				g := &cases[i]
				call, output := translate(t, d, *g)
				if *update {
					g.call, g.output = call, output
					continue
				}
				if diff := cmp.Diff(string(g.call), string(call)); diff != "" {
					t.Errorf("%s: call (-want +got):\n%s", g.name, diff)
				}
				if diff := cmp.Diff(string(g.output), string(output)); diff != "" {
					t.Errorf("%s: output (-want +got):\n%s", g.name, diff)
				}
			}
			if *update {
				writeGolden(t, file, cases)
			}
		})
	}
}

// translate runs one case both ways, and writes calls, answers and errors the way the files hold them.
func translate(t *testing.T, d Dialect, g golden) (call, output []byte) {
	c, err := d.Request(g.request, "served-model")
	if err != nil {
		return recordErrorText(t, err), nil
	}
	wholesome(t, g.name, c.Body)
	call = fmt.Appendf(nil, "POST %s\n", c.Path)
	for _, h := range c.Headers {
		call = fmt.Appendf(call, "%s: %s\n", h[0], h[1])
	}
	call = append(call, c.Body...)
	if len(g.answer) == 0 {
		return call, nil
	}
	a, err := d.Answer(g.request, c, g.answer)
	if errors.Is(err, ErrNonsense) {
		return call, []byte("nonsense: " + err.Error())
	}
	if f, ok := errors.AsType[*batholith.Failure](err); ok {
		return call, []byte("failure, " + f.Kind.String() + ": " + f.Message)
	}
	if err != nil {
		return call, recordErrorText(t, err)
	}
	wholesome(t, g.name, a.Output)
	return call, fmt.Appendf(nil, "%s\ntokens: %d in, %d out, %d read from cache", a.Output, a.Tokens.Input, a.Tokens.Output, a.Tokens.CacheRead)
}

func recordErrorText(t *testing.T, err error) []byte {
	e, ok := errors.AsType[*batholith.RecordError](err)
	if !ok {
		t.Errorf("%v is not a record's error", err)
		return nil
	}
	return fmt.Appendf(nil, "error: %v", e)
}

func wholesome(t testing.TB, name string, b []byte) {
	t.Helper()
	if !jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true)) {
		t.Errorf("%s: not valid JSON: %q", name, b)
	}
	if bytes.ContainsAny(b, "\r\n") {
		t.Errorf("%s: has a line break: %q", name, b)
	}
}

func writeGolden(t *testing.T, file string, cases []golden) {
	old, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := &txtar.Archive{Comment: old.Comment}
	for _, g := range cases {
		for _, s := range []struct {
			name string
			data []byte
		}{{"request", g.request}, {"call", g.call}, {"answer", g.answer}, {"output", g.output}} {
			if len(s.data) > 0 {
				a.Files = append(a.Files, txtar.File{Name: g.name + "/" + s.name, Data: append(s.data, '\n')})
			}
		}
	}
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}
