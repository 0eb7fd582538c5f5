package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

// commandsHead is the text above the commands.
const commandsHead = `# Commands

Each command with its flags, as ` + "`batholith COMMAND --help`" + ` prints them. This page is made of the commands themselves.

Every command also has ` + "`--help`, `--help-all`" + ` (with the flags of all settings) and ` + "`--no-color`" + `. The flags of settings that are not in the tables here are in
[settings.md](settings.md). Results go to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the job did not end Completed,
130 interrupted.
`

// The page of commands is what the commands say of themselves.
func TestThePageOfCommandsIsWhatTheHelpSays(t *testing.T) {
	const path = "../../docs/commands.md"
	root := (&app{}).root()
	root.InitDefaultCompletionCmd("x")
	want := commandsPage(root)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the commands say (%v); make it anew with: go test ./internal/cli -run %s -update", path, err, t.Name())
	}
	for _, cmd := range commands(root) {
		if cmd.Runnable() && cmd.Name() != "help" && !cmd.Hidden && !bytes.Contains(got, []byte("\n## "+cmd.CommandPath()+"\n")) {
			t.Errorf("%s has no section", cmd.CommandPath())
		}
	}
}

// commandsPage is the text of docs/commands.md.
func commandsPage(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString(commandsHead)
	var all []*cobra.Command
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n| %s | |\n| --- | --- |\n", strings.TrimSuffix(g.Title, ":"))
		for _, top := range root.Commands() {
			if top.GroupID != g.ID || top.Hidden || top.Name() == "help" {
				continue
			}
			for _, c := range commands(top) {
				if c.Hidden {
					continue
				}
				all = append(all, c)
				path := strings.TrimPrefix(c.CommandPath(), "batholith ")
				fmt.Fprintf(&b, "| [%s](#batholith-%s) | %s |\n", path, strings.ReplaceAll(path, " ", "-"), inCell(c.Short))
			}
		}
	}
	for _, c := range all {
		commandSection(&b, c)
	}
	return b.Bytes()
}

// commandSection writes the section of a command.
func commandSection(b *bytes.Buffer, c *cobra.Command) {
	text := strings.TrimSpace(c.Long)
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n", c.CommandPath(), asMarkdown(text))
	if c.Runnable() {
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso: `%s`.\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.HasExample() {
		var lines []string
		for line := range strings.SplitSeq(strings.Trim(c.Example, "\n"), "\n") {
			lines = append(lines, strings.TrimPrefix(line, "  "))
		}
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.Join(lines, "\n"))
	}
	first := true
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || slices.Contains([]string{"help", "help-all", "no-color"}, f.Name) {
			return
		}
		if first {
			b.WriteString("\n| flag | value | default | meaning |\n| --- | --- | --- | --- |\n")
		}
		first = false
		value, usage := pflag.UnquoteUsage(f)
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		def := ""
		if !slices.Contains([]string{"", "[]", "0s"}, f.DefValue) && !(f.DefValue == "false" || f.DefValue == "0" && value != "list") {
			def = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, value, inCell(def), inCell(usage))
	})
}

// inCell is text for a cell of a table.
func inCell(text string) string {
	return strings.NewReplacer("\n", " ", "|", `\|`, "<", `\<`, "*", `\*`).Replace(text)
}

// block matches the lines that a help shows apart, indented.
var block = regexp.MustCompile(`^(?:\t|  )`)

// asMarkdown is the text of a help. Lines that are indented become blocks.
func asMarkdown(text string) string {
	var out []string
	in := false
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimPrefix(line, "#### ") // cobra's own, of completion
		indented := block.MatchString(line)
		if indented && !in {
			if len(out) > 0 && out[len(out)-1] != "" {
				out = append(out, "")
			}
			out = append(out, "```")
		}
		if !indented && in {
			out = append(out, "```")
			if line != "" {
				out = append(out, "")
			}
		}
		if in = indented; in {
			out = append(out, strings.TrimPrefix(strings.TrimPrefix(line, "\t"), "  "))
			continue
		}
		out = append(out, strings.NewReplacer("<", `\<`, "*", `\*`).Replace(line))
	}
	if in {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}
