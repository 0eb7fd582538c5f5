package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/batholith/batholith/internal/cli"
)

// Every command has a page, which has its flags and each word of its help.
func TestEveryCommandHasAManualPage(t *testing.T) {
	pages := manPages("v9.8.7", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	texts := map[string]string{}
	for _, p := range pages {
		texts[p.path] = string(p.body)
	}
	unescaped := strings.NewReplacer(`\-`, "-", `\e`, `\`, `\fB`, "", `\fI`, "", `\fR`, "", `\&`, "")
	commands := 0
	eachCommand(cli.Command(), func(cmd *cobra.Command) {
		commands++
		page := unescaped.Replace(texts["man/"+pageOf(cmd)])
		for _, part := range []string{cmd.Short, "Batholith 9.8.7", "2026-01-02", ".SH SYNOPSIS\n.B " + cmd.UseLine()} {
			if !strings.Contains(page, part) {
				t.Errorf("%s has no %q", pageOf(cmd), part)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("%s does not have --%s", pageOf(cmd), f.Name)
			}
		})
		for word := range strings.FieldsSeq(cmd.Long + " " + cmd.Example) {
			if !strings.Contains(page, word) {
				t.Errorf("%s: the page has no %q", pageOf(cmd), word)
			}
		}
	})
	if commands < 30 || len(pages) < commands {
		t.Errorf("%d pages of %d commands", len(pages), commands)
	}
	for path, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			name, _, _ := strings.Cut(line, " ")
			switch name {
			case ".TH", ".SH", ".B", ".TP", ".PP", ".nf", ".fi":
			default:
				if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
					t.Errorf("%s: roff would take a line of text for a request: %s", path, line)
				}
			}
		}
	}
}
