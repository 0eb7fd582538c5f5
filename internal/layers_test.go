package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/batholith/batholith"

// layers is the order of the packages. A package may import packages of earlier layers, but none of its own.
// "." is the root package. A package below another belongs to the same layer, and that one may import it
// (internal/tinylm/training).
var layers = [][]string{
	{"."},
	{"internal/pgtest", "internal/jsonscan", "internal/plain", "internal/words", "internal/audit", "internal/follow", "internal/door", "internal/backoff", "internal/raced", "internal/confine", "internal/document", "internal/system", "internal/release"},
	{"internal/bedrock", "internal/sigv4", "internal/authz", "internal/oidc", "internal/certs", "internal/blob", "internal/jsonl", "internal/dialect", "internal/failpoint", "internal/memory", "internal/limit", "internal/kms", "internal/network", "internal/reuse", "internal/records", "internal/preview"},
	{"internal/control", "internal/lifecycle", "internal/dispatch", "internal/results", "internal/catalog", "internal/sts", "internal/runtime", "internal/meter", "internal/openai"},
	{"internal/store", "internal/object", "internal/files", "internal/s3serve", "internal/managed", "internal/upstream", "internal/tinylm", "internal/simlm",
		"internal/console", "internal/events"},
	{"internal/engine", "internal/verify", "internal/doctor", "internal/backup", "internal/telemetry"},
	{"internal/config", "internal/cli", "cmd/batholith"},
}

// beside lists the allowed imports within a layer: the command reads its settings, main starts it, an error of the
// network has the numbers of its system, and a document is read in a process with limits.
var beside = map[string][]string{
	"internal/words":    {"internal/system"},
	"internal/document": {"internal/confine"},
	"internal/cli":      {"internal/config"},
	"cmd/batholith":     {"internal/cli"},
}

// adapters is the index of the layer whose packages must not import the layer before it: they know the nouns
// and the pure packages, but no part of the service.
const adapters = 4

func TestImportsPointDownOnly(t *testing.T) {
	seen := 0
	eachImport(t, func(file, from, imported string) {
		seen++
		if why := forbidden(from, imported); why != "" {
			t.Errorf("%s imports %s: %s", file, imported, why)
		}
	})
	if seen == 0 {
		t.Error("no import was found: the test does not look where the code is")
	}
}

func TestForbiddenImportsAreSeen(t *testing.T) {
	for _, tt := range []struct {
		from, imported string
		ok             bool
	}{
		{"internal/jsonl", module, true},
		{"internal/cli", module + "/internal/store", true},
		{"internal/tinylm", module + "/internal/tinylm/training", true},
		{"internal/store", "modernc.org/sqlite", true},
		{".", "time", true},
		{".", "golang.org/x/sync/errgroup", false},
		{".", module + "/internal/jsonl", false},
		{"internal/jsonl", module + "/internal/dialect", false},
		{"internal/dispatch", module + "/internal/store", false},
		{"internal/store", module + "/internal/object", false},
		{"internal/store", module + "/internal/catalog", false},
		{"internal/engine", module + "/internal/store", true},
		{"internal/engine", module + "/internal/dispatch", true},
		{"internal/engine", module + "/internal/config", false},
		{"internal/doctor", module + "/internal/engine", false},
		{"internal/store", module + "/internal/engine", false},
		{"internal/config", module + "/internal/cli", false},
		{"internal/unheard-of", module, false},
	} {
		if got := forbidden(tt.from, tt.imported) == ""; got != tt.ok {
			t.Errorf("%s imports %s: allowed %v", tt.from, tt.imported, got)
		}
	}
}

// forbidden returns why package from must not import imported, or "".
func forbidden(from, imported string) string {
	layer := layerOf(from)
	if layer < 0 {
		return from + " is in no layer; add it to the table"
	}
	to, ours := strings.CutPrefix(imported, module)
	if !ours {
		if layer == 0 && strings.Contains(strings.Split(imported, "/")[0], ".") {
			return "the root package uses the standard library only"
		}
		return ""
	}
	if to = strings.TrimPrefix(to, "/"); to == "" {
		to = "."
	}
	target := layerOf(to)
	switch {
	case target < 0:
		return to + " is in no layer; add it to the table"
	case owner(from) == owner(to), slices.Contains(beside[owner(from)], to):
		return ""
	case target == layer:
		return "packages of one layer do not import one another"
	case target > layer:
		return "arrows point down only"
	case layer == adapters && target == adapters-1:
		return "an adapter knows no part of the service"
	}
	return ""
}

// owner returns the entry of the table for a package: itself, or the package above it.
func owner(pkg string) string {
	for _, layer := range layers {
		for _, p := range layer {
			if pkg == p || p != "." && strings.HasPrefix(pkg, p+"/") {
				return p
			}
		}
	}
	return ""
}

func layerOf(pkg string) int {
	for i, layer := range layers {
		if slices.Contains(layer, owner(pkg)) {
			return i
		}
	}
	return -1
}

// A package whose tests use testing/synctest must import internal/raced in a test file; doc.go there gives the
// reason.
func TestEveryBubbleRunsOnOneProcessorWithTheRaceDetector(t *testing.T) {
	bubbles, safe := map[string]bool{}, map[string]bool{}
	for _, pattern := range []string{"../*_test.go", "*/*_test.go", "*/*/*_test.go", "../cmd/*/*_test.go", "../tests/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			err := imports(file, func(imported string) {
				switch imported {
				case "testing/synctest":
					bubbles[filepath.Dir(file)] = true
				case module + "/internal/raced":
					safe[filepath.Dir(file)] = true
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(bubbles) == 0 {
		t.Error("no bubble was found: the test does not look where the tests are")
	}
	delete(bubbles, "raced")
	for dir := range bubbles {
		if !safe[dir] {
			t.Errorf("the tests of %s use testing/synctest: one of their files must import _ %q", dir, module+"/internal/raced")
		}
	}
}

// tools are directories with programs and tests that may import anything.
var tools = []string{"internal/bench", "internal/deps", "scripts", "tests", "examples", "docs"}

// eachImport parses the imports of every non-test file of the module. It reads the files itself, because a
// cached result of go list could hide a change.
func eachImport(t *testing.T, visit func(file, from, imported string)) {
	t.Helper()
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || slices.Contains(tools, rel)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		return imports(path, func(imported string) { visit(rel, filepath.ToSlash(filepath.Dir(rel)), imported) })
	})
	if err != nil {
		t.Fatal(err)
	}
}

func imports(path string, visit func(string)) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		visit(name)
	}
	return nil
}
