// Command licences writes docs/licences.md: the modules that the program links, and their licences. Run it from the
// top of the repository with `go generate ./scripts/licences`. With -texts it prints the texts that are to be
// shipped with the program instead.
package main

import (
	"flag"
	"fmt"
	"os"
)

//go:generate go run . -dir ../..

// systems are those for which the program is built. Some modules are linked on one of them only.
var systems = []string{"linux", "darwin", "freebsd", "windows"}

func main() {
	dir := flag.String("dir", ".", "the `directory` of the repository")
	texts := flag.Bool("texts", false, "print the licences and notices of all modules")
	flag.Parse()
	if err := run(*dir, *texts); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(dir string, texts bool) error {
	all := modules{}
	for _, system := range systems {
		if err := all.add(dir, system); err != nil {
			return err
		}
	}
	if err := all.vendored(dir); err != nil {
		return err
	}
	if texts {
		return all.print(os.Stdout)
	}
	page, err := all.page()
	if err != nil {
		return err
	}
	return os.WriteFile(dir+"/docs/licences.md", page, 0o644)
}
