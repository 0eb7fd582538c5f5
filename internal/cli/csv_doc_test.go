package cli

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pageBlock is a block of code in a page, with its language.
var pageBlock = regexp.MustCompile("(?s)```([a-z]+)\n(.*?\n)```")

// TestTheCommandsOfTheCSVPageWork does what docs/from-csv.md says: it writes the table and the settings, runs each command, and compares what the
// page says that a command printed. The model server of the page is one of the test.
func TestTheCommandsOfTheCSVPageWork(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/from-csv.md")
	if err != nil {
		t.Fatal(err)
	}
	m := &heldModel{left: -1, held: make(chan struct{}), arrived: make(chan struct{}, 1000), gone: make(chan struct{}, 1000), answered: map[string]int{}}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	dir, printed, ran := t.TempDir(), "", map[string]int{}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, block := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		language, text := block[1], block[2]
		ran[language]++
		switch language {
		case "csv":
			write("tickets.csv", text)
		case "yaml":
			settings := strings.NewReplacer("http://127.0.0.1:8000", server.URL, "served-model", "held").Replace(text)
			if !strings.Contains(settings, server.URL) {
				t.Error("the page's settings have another URL than the test replaces")
			}
			write("batholith.yaml", settings)
		case "sh":
			printed = typed(t, dir, text)
		case "text":
			if printed != text {
				t.Errorf("printed is\n%s\nthe page says\n%s", printed, text)
			}
		default:
			t.Errorf("a block in %s: the test does not know what to do with it", language)
		}
	}
	if fmt.Sprint(ran) != "map[csv:1 sh:3 text:1 yaml:1]" {
		t.Errorf("the page has other blocks than the test expects: %v", ran)
	}
	if err := m.checkOnce("3"); err != nil { // the last command asked the server of the settings
		t.Error(err)
	}
	for file, want := range map[string]string{"translated.csv": "\n1002,Björn,\"I was charged twice, please refund one of the payments.\",\"echo: Translate to German: I was charged twice", "answered.parquet": "PAR1"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s has no %q: %v\n%.500q", file, want, err, got)
		}
	}
}

// typed runs commands as a person's shell does, and returns what they print.
func typed(t *testing.T, dir, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-u", "-c", commands)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v\n%s%s", commands, err, out, said.String())
	}
	return string(out)
}
