package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a module of which the program links at least one package.
type module struct {
	path, version string
	files         map[string]bool // paths of its licences and notices on this machine
}

// modules are modules by their path.
type modules map[string]*module

// add adds the modules that the program links when it is built for a system. dir is the directory of the repository.
// It reads the module cache, and uses the network only if a module is not there.
func (all modules) add(dir, system string) error {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/batholith")
	list.Dir = dir
	list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	var complaint bytes.Buffer
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the packages of the program for %s: %w: %s", system, err, complaint.Bytes())
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) == 1 && f[0] == "" {
			continue
		}
		if len(f) != 4 {
			return fmt.Errorf("go list wrote %q: want path, version and two directories", line)
		}
		m := all[f[0]]
		if m == nil {
			m = &module{f[0], f[1], map[string]bool{}}
			all[f[0]] = m
		}
		if err := m.collect(f[2], f[3]); err != nil {
			return err
		}
	}
	return nil
}

// legal are the names of files with licences and notices. The logo of modernc.org/memory has a licence of its own,
// and no program contains it.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-_.].*)?$`)

// collect finds the licences of a package: those in its directory and in the directories above it, up to that of the
// module. A package copied from elsewhere has its own licence beside it.
func (m *module) collect(root, dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && legal.MatchString(e.Name()) && e.Name() != "LICENSE-LOGO" && !strings.HasSuffix(e.Name(), ".go") {
				m.files[filepath.Join(dir, e.Name())] = true
			}
		}
		if dir == root || len(dir) <= len(root) {
			return nil
		}
	}
}

// pages is the folder with the front-end files that the console's pages contain, and vendoredRow a line of its README: files, package, version.
const pages = "internal/console/static/vendor"

var vendoredRow = regexp.MustCompile(`(?m)^\| (\S+?)\.\S.* \| (\S+), \S+ \| ([0-9.]+) \|`)

// vendored adds the npm packages of the front-end files. The licence of NAME.min.js and the like is beside it, in NAME.LICENSE.
func (all modules) vendored(dir string) error {
	readme, err := os.ReadFile(filepath.Join(dir, pages, "README.md"))
	if err != nil {
		return err
	}
	found := vendoredRow.FindAllStringSubmatch(string(readme), -1)
	if len(found) == 0 {
		return fmt.Errorf("%s/README.md names no package", pages)
	}
	for _, f := range found {
		name := "npm: " + f[2]
		all[name] = &module{name, f[3], map[string]bool{filepath.Join(dir, pages, f[1]+".LICENSE"): true}}
	}
	return nil
}

// sorted returns the modules by path.
func (all modules) sorted() []*module {
	return slices.SortedFunc(maps.Values(all), func(a, b *module) int { return strings.Compare(a.path, b.path) })
}
