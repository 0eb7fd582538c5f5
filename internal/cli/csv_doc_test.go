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
	if _, err := exec.LookPath("python3"); err != nil {
		t.Fatal("python3 is missing: install it with scripts/deps.sh")
	}
	page, err := os.ReadFile("../../docs/from-csv.md")
	if err != nil {
		t.Fatal(err)
	}
	m := &heldModel{left: -1, held: make(chan struct{}), arrived: make(chan struct{}, 1000), gone: make(chan struct{}, 1000), answered: map[string]int{}}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	dir, printed, ran := t.TempDir(), "", map[string]int{}
	var commands []string
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
			commands = append(commands, text)
			printed = typed(t, dir, text)
		case "text":
			if printed != text {
				t.Errorf("printed is\n%s\nthe page says\n%s", printed, text)
			}
		default:
			t.Errorf("a block in %s: the test does not know what to do with it", language)
		}
	}
	if fmt.Sprint(ran) != "map[csv:1 sh:5 text:1 yaml:1]" {
		t.Errorf("the page has other blocks than the test expects: %v", ran)
	}
	if err := m.checkOnce("3"); err != nil { // the last command asked the server of the settings
		t.Error(err)
	}
	if again := typed(t, dir, commands[3]); !strings.Contains(again, "echo: I was charged twice") {
		t.Errorf("step 5 again, with the answers of the server, prints\n%s", again)
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
