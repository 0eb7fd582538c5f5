package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences, by their SPDX identifiers, under which a module may be linked: permissive ones, and one
// whose copyleft covers only the module's own files (MPL-2.0). Another licence needs a decision first.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "Unlicense", "Zlib"}

// enough returns the share of a file, in percent, that must be recognised. The rest of a licence is names and
// addresses; a collection of others' licences also says where each was found.
func enough(name string) float64 {
	if strings.Contains(name, "3RD-PARTY") {
		return 45
	}
	return 75
}

// sqlite begins the dedication of SQLite, which the library does not know.
const sqlite = "SQLite Is Public Domain\n\nAll of the code and documentation in SQLite has been dedicated to the public\ndomain by the authors."

// head is the text of the page above its table.
//
//go:embed head.md
var head string

// page returns docs/licences.md. The error names every module whose licence is unknown or not allowed.
func (all modules) page() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	var errs []error
	for _, m := range all.sorted() {
		row, err := m.row()
		errs = append(errs, err)
		b.WriteString(row)
	}
	return b.Bytes(), errors.Join(errs...)
}

// row returns a module's line of the table.
func (m *module) row() (string, error) {
	found, notices := map[string]bool{}, "–"
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		name := strings.ToUpper(filepath.Base(path))
		switch {
		case strings.HasPrefix(name, "NOTICE"):
			notices = "NOTICE"
			continue
		case strings.HasPrefix(name, "PATENTS"): // grants more rights and asks for nothing
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		ids, err := recognise(name, text)
		if err != nil {
			return "", fmt.Errorf("%s %s: %s: %w", m.path, m.version, filepath.Base(path), err)
		}
		for _, id := range ids {
			found[id] = true
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s %s has no licence file", m.path, m.version)
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", m.path, m.version, strings.Join(slices.Sorted(maps.Keys(found)), ", "), notices), nil
}

// recognise returns the licences in a file, by their SPDX identifiers. name is its name in capital letters. The error
// says that one is unknown or not allowed.
func recognise(name string, text []byte) ([]string, error) {
	if bytes.HasPrefix(text, []byte(sqlite)) {
		return []string{"public domain"}, nil
	}
	c := licensecheck.Scan(text)
	if c.Percent < enough(name) {
		return nil, fmt.Errorf("only %.0f %% of the text is of a known licence: read it", c.Percent)
	}
	var ids []string
	for _, m := range c.Match {
		if !slices.Contains(allowed, m.ID) {
			return nil, fmt.Errorf("the licence %s is not allowed", m.ID)
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// print writes the licences and notices of Go and of all modules.
func (all modules) print(w io.Writer) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find Go's own licence: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "LICENSE"))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "==== Go: LICENSE\n\n%s\n\n", bytes.TrimSpace(text)); err != nil {
		return err
	}
	for _, m := range all.sorted() {
		for _, path := range slices.Sorted(maps.Keys(m.files)) {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "==== %s %s: %s\n\n%s\n\n", m.path, m.version, filepath.Base(path), bytes.TrimSpace(text)); err != nil {
				return err
			}
		}
	}
	return nil
}
