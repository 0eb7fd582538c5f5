package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/batholith/batholith/internal/cli"
)

// manPages returns a manual page for each command (man(7)), made of its help: man/batholith.1, man/batholith-job-pause.1 … The texts of the
// help are no Markdown, so cobra's generator, which reads Markdown, would lose their <words> and * signs.
func manPages(version string, at time.Time) (all []entry) {
	root := cli.Command()
	root.InitDefaultCompletionCmd("bash")
	eachCommand(root, func(cmd *cobra.Command) {
		all = append(all, entry{path: "man/" + pageOf(cmd), mode: 0o644, body: manPage(cmd, version, at)})
	})
	return all
}

// nameOf returns the name of a command's page, such as batholith-job-pause.
func nameOf(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// pageOf returns the file of a command's page.
func pageOf(cmd *cobra.Command) string { return nameOf(cmd) + ".1" }

// eachCommand calls visit with all commands that the help lists, those above first.
func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() && !below.IsAdditionalHelpTopicCommand() {
			eachCommand(below, visit)
		}
	}
}

// manPage writes one page. That of serve has the flags of all settings.
func manPage(cmd *cobra.Command, version string, at time.Time) []byte {
	cmd.InitDefaultHelpFlag()
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %q 1 %q \"Batholith %s\" \"Batholith\"\n", strings.ToUpper(nameOf(cmd)), at.Format(time.DateOnly), strings.TrimPrefix(version, "v"))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n", escaped(nameOf(cmd)), escaped(cmd.Short), escaped(cmd.UseLine()))
	b.WriteString(".SH DESCRIPTION\n")
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	filled(&b, text)
	for _, group := range []struct {
		title string
		flags *pflag.FlagSet
	}{{"OPTIONS", cmd.NonInheritedFlags()}, {"GLOBAL OPTIONS", cmd.InheritedFlags()}} {
		title := fmt.Sprintf(".SH %s\n", group.title)
		group.flags.VisitAll(func(f *pflag.Flag) {
			if f.Hidden && cmd.Name() != "serve" || f.Deprecated != "" {
				return
			}
			b.WriteString(title)
			title = ""
			option(&b, f)
		})
	}
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n")
		verbatim(&b, strings.Split(cmd.Example, "\n"))
	}
	seeAlso(&b, cmd)
	return b.Bytes()
}

// option writes a flag.
func option(b *bytes.Buffer, f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	b.WriteString(".TP\n")
	if f.Shorthand != "" {
		fmt.Fprintf(b, "\\fB\\-%s\\fR, ", f.Shorthand)
	}
	fmt.Fprintf(b, "\\fB\\-\\-%s\\fR", escaped(f.Name))
	if value != "" {
		fmt.Fprintf(b, " \\fI%s\\fR", escaped(value))
	}
	b.WriteByte('\n')
	if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" && !strings.Contains(usage, "default") {
		usage += fmt.Sprintf(" (default %s)", d)
	}
	for line := range strings.SplitSeq(usage, "\n") {
		b.WriteString(escaped(line) + "\n")
	}
}

// filled writes paragraphs. Lines that begin with a blank stay as they are.
func filled(b *bytes.Buffer, text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		var plain []string
		for line := range strings.SplitSeq(paragraph, "\n") {
			if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
				plain = append(plain, line)
				continue
			}
			verbatim(b, plain)
			plain = nil
			b.WriteString(escaped(line) + "\n")
		}
		verbatim(b, plain)
	}
}

// verbatim writes lines that are not filled.
func verbatim(b *bytes.Buffer, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString(".nf\n")
	for _, line := range lines {
		b.WriteString(escaped(line) + "\n")
	}
	b.WriteString(".fi\n")
}

// seeAlso names the pages of the commands above and below.
func seeAlso(b *bytes.Buffer, cmd *cobra.Command) {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, nameOf(cmd.Parent()))
	}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() && !below.IsAdditionalHelpTopicCommand() {
			pages = append(pages, nameOf(below))
		}
	}
	for i, page := range pages {
		pages[i] = fmt.Sprintf("\\fB%s\\fR(1)", escaped(page))
	}
	if len(pages) > 0 {
		fmt.Fprintf(b, ".SH SEE ALSO\n%s\n", strings.Join(pages, ", "))
	}
}

// escaped returns text that roff shows as it is.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// writePages writes the manual pages to a folder.
func writePages(dir, version string) error {
	c, err := readCommit()
	if err != nil {
		return err
	}
	if version == "" {
		version = c.version
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range manPages(version, c.time) {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(p.path)), p.body, 0o644); err != nil {
			return err
		}
	}
	return nil
}
