package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/release"
)

// buildText returns the text of the command version: one line, and a second one if the revision is known.
func buildText(b release.Build) string {
	s := fmt.Sprintf("batholith %s %s %s", b.Version, b.Go, b.Platform)
	if b.Revision == "" {
		return s
	}
	s += fmt.Sprintf("\nrevision %.12s of %s", b.Revision, b.Time)
	if b.Modified {
		s += ", with changes"
	}
	return s
}

// versionCommand returns the command version.
func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show which build this is",
		Args:  arguments(0, -1, ""),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printJSON(release.This())
			}
			return writeLines(a.stdout, buildText(release.This()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printJSON prints v as indented JSON with a newline on stdout. "<", ">" and "&" stay readable, because the output
// is not for HTML. The error is that of stdout, such as a closed pipe.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
