package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/batholith/batholith/internal/document"
)

// printed is a command that a page shows, with the names of its flags.
type printed struct {
	page, text string
	path       string // such as "job pause"
	flags      []string
}

var (
	quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	// invoked is the program's name and what follows it, up to the end of the shell's command.
	invoked = regexp.MustCompile(`(?:^|[ (\x60/])batholith ([a-z][^|;&)\x60#>]*)`)
)

// printedCommands are the commands of a page. Text that names no command of the program is left out.
func printedCommands(t *testing.T, root *cobra.Command, page string) (all []printed) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := false
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			block = !block
			continue
		}
		codes := []string{line}
		if !block && !strings.HasPrefix(line, "    ") {
			codes = regexp.MustCompile("`[^`]+`").FindAllString(line, -1)
		}
		for _, code := range codes {
			for _, m := range invoked.FindAllStringSubmatch(code, -1) {
				args := strings.Fields(quoted.ReplaceAllString(m[1], "TEXT"))
				if args[0] == document.Command { // a process of the program's own
					continue
				}
				cmd, rest, err := root.Find(args)
				if err != nil || cmd == root {
					t.Errorf("%s: batholith %s: there is no such command", page, m[1])
					continue
				}
				p := printed{page: page, text: strings.TrimSpace(m[1]), path: strings.TrimPrefix(cmd.CommandPath(), "batholith ")}
				for _, word := range rest {
					name, _, _ := strings.Cut(strings.TrimLeft(strings.Trim(word, `"'[],.`), "-"), "=")
					if strings.HasPrefix(strings.Trim(word, `"'[]`), "--") && name != "help" {
						p.flags = append(p.flags, name)
					}
				}
				all = append(all, p)
			}
		}
	}
	return all
}

// Every command that the documentation shows exists with its flags, and a test runs it with them.
func TestEveryCommandOfTheDocumentationIsRun(t *testing.T) {
	root := (&app{}).root()
	root.InitDefaultCompletionCmd("x")
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	runs := commandsOfTests(t)
	for _, page := range append(pages, "../../README.md") {
		for _, p := range printedCommands(t, root, page) {
			cmd, _, err := root.Find(strings.Fields(p.path))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range p.flags {
				known := func(f *pflag.FlagSet) bool { return f.Lookup(name) != nil }
				if !known(cmd.Flags()) && !known(cmd.InheritedFlags()) {
					t.Errorf("%s: batholith %s: the command has no flag --%s", page, p.text, name)
				}
			}
			if !slices.ContainsFunc(runs, p.isIn) {
				t.Errorf("%s: no test runs batholith %s with the flags %q", page, p.path, p.flags)
			}
		}
	}
}

// The table of the README has every command.
func TestTheReadmeHasEveryCommand(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range (&app{}).root().Commands() {
		if !cmd.Hidden && !regexp.MustCompile("(?m)^\\| [^|]*`"+cmd.Name()+"[ `]").Match(text) {
			t.Errorf("the README does not name batholith %s", cmd.Name())
		}
	}
}

// isIn reports whether a line of a test runs the command with all of its flags.
func (p printed) isIn(line string) bool {
	if !strings.Contains(" "+line+" ", " "+p.path+" ") {
		return false
	}
	for _, name := range p.flags {
		if !regexp.MustCompile(`--` + name + `\b`).MatchString(line) {
			return false
		}
	}
	return true
}

// commandsOfTests are the lines of stories and tests that may run commands, without the signs of Go's strings.
func commandsOfTests(t *testing.T) (lines []string) {
	t.Helper()
	for _, pattern := range []string{"testdata/script/*.txtar", "*_test.go", "../../tests/*/*_test.go", "../../tests/*/testdata/*.txtar"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(string(text), "\n") {
				lines = append(lines, strings.NewReplacer(`"`, " ", `,`, " ", `'`, " ", "{", " ", "}", " ", "(", " ", ")", " ").Replace(line))
			}
		}
	}
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return lines
}
