package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build describes how the binary was built: its version, the revision of the source, and whether that was
// modified.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuild returns the information that the Go toolchain stores in the binary. A build outside version control
// has the version "(devel)" and no revision. A build with uncommitted changes says so, because its revision does
// not describe it.
func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// buildVersion returns the version alone, as --version prints it.
func buildVersion() string { return readBuild().Version }

// String returns the text of the command version: one line, and a second one if the revision is known.
func (b build) String() string {
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
				return a.printJSON(readBuild())
			}
			return writeLines(a.stdout, readBuild().String())
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
