package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/plain"
)

// documented is a section of docs/models.md: the body of a family.
type documented struct {
	family, model, record string
	path                  string // of the answer, in jq's words
}

// What a section says.
var (
	exampleModel = regexp.MustCompile("for example `([^`]+)`")
	answerPath   = regexp.MustCompile("`\\.(modelOutput[^`]*)`")
	jsonBlock    = regexp.MustCompile("(?s)```json\n(.*?)\n```")
)

// modelsPage reads the sections with a body. The section Converse has the family any.
func modelsPage(t *testing.T) (all []documented) {
	t.Helper()
	page, err := os.ReadFile("../../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range regexp.MustCompile(`(?m)^##+ `).Split(string(page), -1)[1:] {
		name, text, _ := strings.Cut(section, "\n")
		blocks := jsonBlock.FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 {
			continue
		}
		d := documented{family: name, record: blocks[0][1]}
		if m := exampleModel.FindStringSubmatch(text); m != nil {
			d.model = m[1]
		}
		if m := answerPath.FindStringSubmatch(text); m != nil {
			d.path = m[1]
		}
		if len(blocks) != 1 || d.path == "" || name != "Converse" && d.model == "" {
			t.Errorf("section %s: %d bodies, model %q, path %q", name, len(blocks), d.model, d.path)
		}
		all = append(all, d)
	}
	return all
}

func TestTheModelsPageHasEveryFamily(t *testing.T) {
	var named []string
	for _, d := range modelsPage(t) {
		if d.family == "Converse" {
			continue
		}
		named = append(named, d.family)
		if got := dialect.FamilyOf(d.model); got != d.family {
			t.Errorf("%s is an id of the family %q, not of %s", d.model, got, d.family)
		}
	}
	families := dialect.Families()
	slices.Sort(named)
	slices.Sort(families)
	if !slices.Equal(named, families) {
		t.Errorf("the page has %q, the program %q", named, families)
	}
}

// models --example prints what the page shows.
func TestExamplesAreThoseOfTheModelsPage(t *testing.T) {
	for _, d := range modelsPage(t) {
		args := []string{"models", "--example", d.model}
		if d.family == "Converse" {
			args = []string{"models", "--example", "batholith.tiny-v1", "--type", "converse"}
		}
		var out, told bytes.Buffer
		a := &app{stdout: &out, stderr: &told}
		if err := a.execute(t.Context(), args); err != nil {
			t.Fatalf("%s: %v", d.family, err)
		}
		if out.String() != d.record+"\n" || !strings.Contains(told.String(), "at ."+d.path) {
			t.Errorf("%s: %s %s", d.family, out.String(), told.String())
		}
	}
}

func TestEveryBodyOfTheModelsPageIsTaken(t *testing.T) {
	page := modelsPage(t)
	converse := page[slices.IndexFunc(page, func(d documented) bool { return d.family == "Converse" })]
	for _, d := range page {
		if d.family == "Converse" {
			continue
		}
		takesBody(t, d, batholith.InvokeModel)
		if strings.Contains(d.family, "embed") {
			continue
		}
		takesBody(t, documented{family: d.family, model: d.model, record: converse.record, path: converse.path}, batholith.Converse)
	}
}

// takesBody sends a record through the command validate, then through the translation, and looks for the answer where the page says that it is.
func takesBody(t *testing.T, d documented, typ batholith.InvocationType) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, []byte(d.record+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: plain.NewWriter(t.Output())}
	var found validated
	if err := a.execute(t.Context(), []string{"validate", path, "--model", d.model, "--type", string(typ), "--json"}); err != nil {
		t.Fatalf("%s: %v", d.family, err)
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || !found.OK || found.Records != 1 || found.Warnings != 0 || found.Unlimited != 0 && !strings.Contains(d.family, "embed") {
		t.Errorf("%s, %s: %v, %+v", d.family, typ, err, found)
	}
	translator, err := dialect.For(d.family, dialect.ProtocolOpenAI, typ, dialect.Options{Names: []string{dialect.LastPart(d.model)}, Checked: true})
	if err != nil {
		t.Fatal(err)
	}
	input := bodiesOf(t, path)[0]
	call, err := translator.Request(input, "m")
	if err != nil {
		t.Fatalf("%s: %v", d.family, err)
	}
	answer, err := translator.Answer(input, call, []byte(servers[call.Path]))
	if err != nil {
		t.Fatalf("%s: %v", d.family, err)
	}
	got, err := valueAt(t, answer.Output, strings.TrimPrefix(d.path, "modelOutput"))
	if want := map[bool]string{true: "[0.6 0.8]", false: "Good day."}[strings.Contains(call.Path, "embed")]; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%s, %s: .%s is %v (%v), want %s in %s", d.family, typ, d.path, got, err, want, answer.Output)
	}
}

// servers is what a model server answers at each path.
var servers = map[string]string{
	"/chat/completions": `{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Good day."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
	"/completions":      `{"id":"1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"Good day.","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
	"/embeddings":       `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`,
}

// steps are those of a path in jq's words: .name and [n].
var steps = regexp.MustCompile(`\.([A-Za-z]+)|\[([0-9]+)\]`)

// valueAt is the value at a path.
func valueAt(t *testing.T, output []byte, path string) (v any, err error) {
	t.Helper()
	if err := json.Unmarshal(output, &v); err != nil {
		return nil, err
	}
	for _, step := range steps.FindAllStringSubmatch(path, -1) {
		if step[1] != "" {
			object, _ := v.(map[string]any)
			v = object[step[1]]
			continue
		}
		n, _ := strconv.Atoi(step[2])
		list, _ := v.([]any)
		if n >= len(list) {
			return nil, fmt.Errorf("no element %d", n)
		}
		v = list[n]
	}
	return v, nil
}
