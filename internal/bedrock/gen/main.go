// Command gen generates the types, checks, rules and routes of package bedrock from api.yaml.
// Run it with `go generate ./internal/bedrock`.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run reads DIR/api.yaml and writes the generated *_gen.go files to DIR.
func run(dir string) error {
	source, err := os.ReadFile(filepath.Join(dir, "api.yaml"))
	if err != nil {
		return err
	}
	files, err := generate(source)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
